// What a change of a pod's status adds to the node's counts.
import type { ContainerStatus, Pod, PodStatus, Volume } from "../../api/types.ts";
import { hasStarted } from "./conditions.ts";
import type { Figures } from "./figures.ts";
import type { ObservedPod } from "./observed.ts";

const ROLES = [["container", "containerStatuses"], ["init_container", "initContainerStatuses"], ["ephemeral_container", "ephemeralContainerStatuses"]] as const;
/** A pod with a volume of another kind starts as fast as its storage does, which nobody promises. */
const STATELESS: readonly (keyof Volume)[] = ["secret", "configMap", "downwardAPI", "emptyDir", "projected"];

export interface StatusChange {
  readonly pod: Pod;
  readonly old: PodStatus;
  readonly status: PodStatus;
  readonly now: number;
  /** When it came; undefined for a pod that has run before. */
  readonly firstSeenAt: number | undefined;
  readonly observed: ObservedPod;
  /** How long it waited for images. */
  readonly pulledMs: number;
}

/** Counts containers that have ended, and how long a pod that was seen as new took to run. */
export function countStatus(figures: Figures, change: StatusChange): void {
  const { old, status, firstSeenAt, now } = change;
  for (const [container_type, key] of ROLES) {
    for (const { exitCode, reason = "" } of newlyEnded(old[key] ?? [], status[key] ?? [])) figures.count("kubelet_terminated_containers_total", { container_type, exit_code: String(exitCode), reason });
  }
  if (firstSeenAt === undefined || status.phase !== "Running" || !status.containerStatuses?.every(hasStarted)) return;
  figures.observe("kubelet_pod_start_duration_seconds", (now - firstSeenAt) / 1000);
  countStart(figures, change);
}

function countStart(figures: Figures, { pod, now, observed, pulledMs }: StatusChange): void {
  const created = Date.parse(pod.metadata.creationTimestamp ?? "");
  if (!(created > 0)) return;
  const ms = Math.max(0, now - created);
  figures.observe("kubelet_pod_start_total_duration_seconds", ms / 1000);
  if (!isStateful(pod)) figures.observe("kubelet_pod_start_sli_duration_seconds", Math.max(0, ms - pulledMs - initMs(pod, observed)) / 1000);
}

const isStateful = (pod: Pod): boolean => (pod.spec?.volumes ?? []).some((volume) => !STATELESS.some((key) => volume[key] !== undefined));

/** How long init containers ran, those that go on beside the others left out. */
function initMs(pod: Pod, observed: ObservedPod): number {
  const names = new Set((pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy !== "Always").map(({ name }) => name));
  return observed.containers.filter(({ name }) => names.has(name)).reduce((sum, { startedAt = 0, finishedAt = startedAt }) => sum + Math.max(0, finishedAt - startedAt), 0);
}

function newlyEnded(old: readonly ContainerStatus[], current: readonly ContainerStatus[]): { exitCode: number; reason?: string | undefined }[] {
  return current.flatMap(({ name, state }) => {
    const before = old.find((status) => status.name === name)?.state?.terminated;
    return state?.terminated && before?.containerID !== state.terminated.containerID ? [state.terminated] : [];
  });
}
