// What `kubectl get pods` shows: the state of a pod in one word, as upstream derives it from its containers.
import type { Container, ContainerStatus, Pod } from "../../../../api/types.ts";
import { ageColumn, nameColumn, printer, text, wide } from "../print/columns.ts";
import { humanDuration } from "../print/duration.ts";

/** The columns of pods. */
export const podPrinter = printer<Pod>(
  nameColumn(),
  text("Ready", (pod) => summarize(pod).ready, "The aggregate readiness state of this pod for accepting traffic."),
  text("Status", (pod) => summarize(pod).reason, "The aggregate status of the containers in this pod."),
  text("Restarts", (pod, now) => restarts(pod, now), "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted."),
  ageColumn(),
  wide(text("IP", (pod) => pod.status?.podIPs?.[0]?.ip || "<none>", "The address of the pod.")),
  wide(text("Node", (pod) => pod.spec?.nodeName || "<none>", "The node the pod is bound to.")),
  wide(text("Nominated Node", (pod) => pod.status?.nominatedNodeName || "<none>", "The node on which preemption makes room for the pod.")),
  wide(text("Readiness Gates", readinessGates, "How many readiness gates are met.")),
);

/** The row of one pod before it is laid out. */
interface Summary {
  ready: string;
  reason: string;
  restarts: number;
  lastRestart: string;
}

// Three cells of a row come from one look at the containers; rows are asked for cell after cell.
let latest: { pod: Pod; summary: Summary } | undefined;

function summarize(pod: Pod): Summary {
  if (latest?.pod !== pod) latest = { pod, summary: summaryOf(pod) };
  return latest.summary;
}

function restarts(pod: Pod, now: number): string {
  const { restarts: count, lastRestart } = summarize(pod);
  return count !== 0 && lastRestart !== "" ? `${count} (${humanDuration(now - Date.parse(lastRestart))} ago)` : `${count}`;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  const met = gates.filter(({ conditionType }) => pod.status?.conditions?.find(({ type }) => type === conditionType)?.status === "True");
  return `${met.length}/${gates.length}`;
}

/** The state of a pod in one word, readiness and restarts. */
export function summaryOf(pod: Pod): Summary {
  const start = startUp(pod);
  const isInitialized = pod.status?.conditions?.some(({ type, status }) => type === "Initialized" && status === "True") ?? false;
  const run = start.reason === undefined || isInitialized ? running(pod, start) : undefined;
  const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar).length;
  const total = (pod.spec?.containers?.length ?? 0) + sidecars;
  const ready = start.ready + (run?.ready ?? 0);
  const reason = deletionReason(pod) ?? run?.reason ?? start.reason ?? phaseReason(pod);
  return { ready: `${ready}/${total}`, reason, ...(run ? { restarts: run.restarts, lastRestart: run.lastRestart } : { restarts: start.restarts, lastRestart: start.lastRestart }) };
}

function phaseReason({ status }: Pod): string {
  const isGated = status?.conditions?.some(({ type, reason }) => type === "PodScheduled" && reason === "SchedulingGated");
  return isGated ? "SchedulingGated" : status?.reason || status?.phase || "";
}

function deletionReason({ metadata, status }: Pod): string | undefined {
  if (!metadata.deletionTimestamp) return undefined;
  if (status?.reason === "NodeLost") return "Unknown";
  return status?.phase === "Succeeded" || status?.phase === "Failed" ? undefined : "Terminating";
}

interface StartUp {
  /** Why the pod is still initializing; undefined when it is not. */
  reason: string | undefined;
  ready: number;
  restarts: number;
  lastRestart: string;
  sidecarRestarts: number;
  lastSidecarRestart: string;
}

function startUp(pod: Pod): StartUp {
  const result: StartUp = { reason: undefined, ready: 0, restarts: 0, lastRestart: "", sidecarRestarts: 0, lastSidecarRestart: "" };
  const containers = pod.spec?.initContainers ?? [];
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = isSidecar(containers.find(({ name }) => name === status.name));
    result.restarts += status.restartCount;
    result.lastRestart = later(result.lastRestart, status);
    if (sidecar) {
      result.sidecarRestarts += status.restartCount;
      result.lastSidecarRestart = later(result.lastSidecarRestart, status);
    }
    if (status.state?.terminated?.exitCode === 0) continue;
    if (sidecar && status.started) {
      if (status.ready) result.ready++;
      continue;
    }
    result.reason = `Init:${initReason(status) ?? `${index}/${containers.length}`}`;
    break;
  }
  return result;
}

function initReason({ state }: ContainerStatus): string | undefined {
  if (state?.terminated) return terminatedReason(state.terminated);
  const waiting = state?.waiting?.reason;
  return waiting && waiting !== "PodInitializing" ? waiting : undefined;
}

interface Running {
  reason: string | undefined;
  ready: number;
  restarts: number;
  lastRestart: string;
}

function running(pod: Pod, start: StartUp): Running {
  const result: Running = { reason: undefined, ready: 0, restarts: start.sidecarRestarts, lastRestart: start.lastSidecarRestart };
  let errorReason = "";
  let hasRunning = false;
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    const { state } = status;
    result.restarts += status.restartCount;
    result.lastRestart = later(result.lastRestart, status);
    if (state?.waiting?.reason) result.reason = state.waiting.reason;
    else if (state?.terminated) {
      result.reason = terminatedReason(state.terminated);
      if (state.terminated.exitCode !== 0) errorReason = result.reason;
    } else if (status.ready && state?.running) {
      hasRunning = true;
      result.ready++;
    }
  }
  result.reason ??= start.reason ?? phaseReason(pod);
  if (result.reason === "Completed") result.reason = completedReason(pod, hasRunning, errorReason);
  return result;
}

/** One finished container does not finish the pod: others may run, or have failed. */
function completedReason(pod: Pod, hasRunning: boolean, errorReason: string): string {
  const isReady = pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
  if (hasRunning && isReady) return "Running";
  if (errorReason !== "") return errorReason;
  return hasRunning ? "NotReady" : "Completed";
}

function terminatedReason({ reason, signal, exitCode }: { reason?: string | undefined; signal?: number | undefined; exitCode: number }): string {
  if (reason) return reason;
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}

function later(latest: string, { lastState }: ContainerStatus): string {
  const finished = lastState?.terminated?.finishedAt ?? "";
  return finished > latest ? finished : latest;
}

function isSidecar(container: Container | undefined): boolean {
  return container?.restartPolicy === "Always";
}
