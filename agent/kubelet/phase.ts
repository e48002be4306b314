// The phase of a pod from its container statuses, by upstream's rules. Pure.
import type { Container, ContainerStatus, Pod } from "../../api/types.ts";
import { isSidecar, shouldRestart } from "./observed.ts";

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";

interface Counts {
  pendingInit: number;
  pendingSidecars: number;
  failedInit: number;
  unknown: number;
  running: number;
  waiting: number;
  stopped: number;
  stoppedForGood: number;
  succeeded: number;
}

/** `isTerminal`: the pod's containers are stopped for good, whatever the restart policy says. */
export function phaseOf(pod: Pod, statuses: readonly ContainerStatus[], state: { isTerminal: boolean; hasStartedRegular: boolean }): PodPhase {
  const counts: Counts = { pendingInit: 0, pendingSidecars: 0, failedInit: 0, unknown: 0, running: 0, waiting: 0, stopped: 0, stoppedForGood: 0, succeeded: 0 };
  const byName = new Map(statuses.map((status) => [status.name, status]));
  for (const container of pod.spec?.initContainers ?? []) {
    const status = byName.get(container.name);
    if (isSidecar(container)) countSidecar(counts, status);
    else countInit(counts, { pod, container, status });
  }
  for (const container of pod.spec?.containers ?? []) countRegular(counts, { pod, container, status: byName.get(container.name) });
  return decide(counts, state);
}

function decide(counts: Counts, { isTerminal, hasStartedRegular }: { isTerminal: boolean; hasStartedRegular: boolean }): PodPhase {
  if (counts.failedInit > 0) return "Failed";
  if (counts.pendingInit > 0 || (counts.pendingSidecars > 0 && !hasStartedRegular) || counts.waiting > 0) return "Pending";
  if (counts.running > 0 && counts.unknown === 0) return "Running";
  if (counts.running > 0 || counts.stopped === 0 || counts.unknown > 0) return "Pending";
  if (!isTerminal && counts.stopped !== counts.stoppedForGood) return "Running";
  return counts.stopped === counts.succeeded ? "Succeeded" : "Failed";
}

interface Subject {
  readonly pod: Pod;
  readonly container: Container;
  readonly status: ContainerStatus | undefined;
}

/** The exit a status tells of: now, or of the last instance while the next one waits. */
function exitOf(status: ContainerStatus | undefined): number | undefined {
  if (status?.state?.terminated) return status.state.terminated.exitCode;
  return status?.state?.waiting ? status.lastState?.terminated?.exitCode : undefined;
}

function countInit(counts: Counts, { pod, container, status }: Subject): void {
  const exit = exitOf(status);
  if (exit === undefined) counts.pendingInit++;
  else if (exit !== 0 && !shouldRestart(pod, container, exit)) counts.failedInit++;
  // Waiting to be tried again: not failed for good, and not initialised either.
  else if (exit !== 0) counts.pendingInit++;
}

function countSidecar(counts: Counts, status: ContainerStatus | undefined): void {
  if (!status) counts.unknown++;
  else if (status.state?.running) {
    if (!status.started) counts.pendingSidecars++;
    counts.running++;
  } else if (status.state?.terminated) return;
  else if (status.state?.waiting) {
    if (status.lastState?.terminated) return;
    counts.pendingSidecars++;
    counts.waiting++;
  } else {
    counts.pendingSidecars++;
    counts.unknown++;
  }
}

function countRegular(counts: Counts, { pod, container, status }: Subject): void {
  if (!status) {
    counts.unknown++;
    return;
  }
  const exit = exitOf(status);
  if (status.state?.running) counts.running++;
  else if (exit !== undefined) {
    counts.stopped++;
    if (!shouldRestart(pod, container, exit)) counts.stoppedForGood++;
    if (exit === 0 && status.state?.terminated) counts.succeeded++;
  } else if (status.state?.waiting) counts.waiting++;
  else counts.unknown++;
}
