// What a pod's worker remembers of it from one sync to the next, and how that follows what the pod asks for.
// What is done with it is `syncpod.ts`'s.
import type { Pod } from "../../api/types.ts";
import type { BackOff } from "./backoff.ts";
import type { ResizeState } from "./conditions.ts";
import { containersOf, type WaitingReason } from "./containerstatus.ts";
import { podRef } from "./recorder.ts";
import { resizeMessage } from "./resize.ts";
import type { NodeServices } from "./services.ts";

/** What a pod's worker remembers between syncs; all of it can be lost without harm. */
export interface PodState {
  pod: Pod;
  readonly backOffs: Map<string, BackOff>;
  readonly reasons: Map<string, WaitingReason>;
  /** When a container whose start failed is worth another try. */
  readonly notBefore: Map<string, number>;
  resize: ResizeState;
  volumesReady: boolean;
  /** Its containers have just been taken away to begin again. */
  isRestartingAll: boolean;
  sandboxFailures: number;
  volumeFailures: number;
}

/** A pod this process has not worked on yet; what an earlier one had reported still holds. */
export function newPodState(pod: Pod): PodState {
  const volumesReady = pod.status?.conditions?.some((c) => c.type === "PodReadyToStartContainers" && c.status === "True") ?? false;
  return { pod, backOffs: new Map(), reasons: new Map(), notBefore: new Map(), resize: {}, volumesReady, isRestartingAll: false, sandboxFailures: 0, volumeFailures: 0 };
}

/** A container with another image is another container: what the old one did is not held against it. */
export function forgiveNewImages(state: PodState, before: Pod, now: Pod): void {
  const images = new Map([...containersOf(before, "init"), ...containersOf(before, "regular")].map(({ name, image }) => [name, image]));
  for (const { name, image } of [...containersOf(now, "init"), ...containersOf(now, "regular")]) {
    if (images.get(name) === image) continue;
    state.backOffs.delete(name);
    state.notBefore.delete(name);
  }
}

/** Grants the pod what it asks for, or keeps it at what it has while that does not fit beside the others. */
export async function grantResources(node: NodeServices, state: PodState, { wanted, others }: { readonly wanted: Pod; readonly others: readonly Pod[] }): Promise<void> {
  const { pod, pending, isNew } = await node.allocations.allocate(wanted, others);
  state.pod = pod;
  if (isNew) {
    state.resize = { inProgress: {} };
    node.recorder.event(podRef(pod), "Normal", "ResizeStarted", resizeMessage("Pod resize started", pod));
  } else if (pending && state.resize.pending?.message !== pending.message) {
    if (pending.reason === "Infeasible") node.figures.count("kubelet_pod_infeasible_resizes_total", { reason_detail: "insufficient_node_allocatable" });
    node.recorder.event(podRef(pod), "Warning", pending.reason === "Infeasible" ? "ResizeInfeasible" : "ResizeDeferred", resizeMessage(`Pod resize ${pending.reason}`, wanted, pending.message));
  }
  state.resize = { ...state.resize, pending };
}
