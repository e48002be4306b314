// What is decided about a pod as a whole: that it failed, that it is over, when it must be.
// Who decides it is eviction, admission, a deadline or the node's end.
import type { Pod, PodStatus } from "../../api/types.ts";

/** A decision about the whole pod that its containers know nothing of. */
export interface Verdict {
  readonly phase: "Failed";
  readonly reason: string;
  readonly message: string;
  /** Seconds its containers get; the pod's own grace period when left out. */
  readonly graceSeconds?: number;
  /** The pod was never begun. */
  readonly isRefusal?: boolean;
  /** Shown in the DisruptionTarget condition. */
  readonly disruption?: { readonly reason: string; readonly message: string };
}

/** Whether a pod in this phase is over. */
export const isTerminal = (phase: string | undefined): boolean => phase === "Succeeded" || phase === "Failed";

/** When the pod must be over, in ms since the epoch. */
export function deadlineOf(pod: Pod, status: PodStatus): number | undefined {
  const seconds = pod.spec?.activeDeadlineSeconds;
  if (seconds === undefined || !status.startTime) return undefined;
  return Date.parse(status.startTime) + seconds * 1000;
}
