// What a change of a pod's status adds to the node's counts.
import type { ContainerStatus, Pod, PodStatus } from "../../api/types.ts";
import { hasStarted } from "./conditions.ts";
import type { Figures } from "./figures.ts";

const ROLES = [["container", "containerStatuses"], ["init_container", "initContainerStatuses"], ["ephemeral_container", "ephemeralContainerStatuses"]] as const;

/** Counts containers that have ended, and how long a pod that was seen as new took to run. */
export function countStatus(figures: Figures, { pod, old, status, now, firstSeenAt }: { readonly pod: Pod; readonly old: PodStatus; readonly status: PodStatus; readonly now: number; readonly firstSeenAt: number | undefined }): void {
  for (const [container_type, key] of ROLES) {
    for (const { exitCode, reason = "" } of newlyEnded(old[key] ?? [], status[key] ?? [])) figures.count("kubelet_terminated_containers_total", { container_type, exit_code: String(exitCode), reason });
  }
  if (firstSeenAt === undefined || status.phase !== "Running" || !status.containerStatuses?.every(hasStarted)) return;
  figures.observe("kubelet_pod_start_duration_seconds", (now - firstSeenAt) / 1000);
  const created = Date.parse(pod.metadata.creationTimestamp ?? "");
  if (created > 0) figures.observe("kubelet_pod_start_total_duration_seconds", Math.max(0, now - created) / 1000);
}

function newlyEnded(old: readonly ContainerStatus[], current: readonly ContainerStatus[]): { exitCode: number; reason?: string | undefined }[] {
  return current.flatMap(({ name, state }) => {
    const before = old.find((status) => status.name === name)?.state?.terminated;
    return state?.terminated && before?.containerID !== state.terminated.containerID ? [state.terminated] : [];
  });
}
