// How long a Job waits before it replaces failed pods: ten seconds, doubling with every failure since the last success. Pure.
import type { Pod, Stored } from "../../../api/types.ts";
import { delayOf } from "../../../lib/backoff.ts";
import { podCondition } from "../pods.ts";

const POD_BACKOFF = { baseMs: 10_000, maxMs: 600_000 };

/** Failures since the last success, and when the last one was. */
export interface Failures {
  readonly count: number;
  readonly lastAt: number;
}

export const NO_FAILURES: Failures = { count: 0, lastAt: 0 };

/** The record after these pods ended. */
export function recordEnds(before: Failures, succeeded: readonly Stored<Pod>[], failed: readonly Stored<Pod>[]): Failures {
  const failures = failed.map(finishedAt);
  if (succeeded.length === 0) return failures.length === 0 ? before : { count: before.count + failures.length, lastAt: Math.max(...failures) };
  const lastSuccess = Math.max(...succeeded.map(finishedAt));
  const after = failures.filter((at) => at > lastSuccess);
  return after.length === 0 ? NO_FAILURES : { count: after.length, lastAt: Math.max(...after) };
}

/** Milliseconds until the next pod may be made. */
export function remainingMs({ count, lastAt }: Failures, now: number): number {
  if (count === 0) return 0;
  const delay = delayOf(POD_BACKOFF, count - 1);
  const elapsed = now - lastAt;
  // A failure in the far future was noted before the date was set back; nobody waits for that day to come again.
  return elapsed < -delay ? 0 : Math.min(delay, Math.max(0, delay - elapsed));
}

/** When a pod ended, as well as can be told, in milliseconds. */
export function finishedAt(pod: Stored<Pod>): number {
  const ends = (pod.status?.containerStatuses ?? []).map((status) => status.state?.terminated?.finishedAt);
  if (ends.length > 0 && ends.every(Boolean)) return Math.max(...ends.map((end) => Date.parse(end as string)));
  const ready = podCondition(pod, "Ready");
  if (ready?.status === "False" && ready.lastTransitionTime) return Date.parse(ready.lastTransitionTime);
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, creationTimestamp } = pod.metadata;
  return deletionTimestamp ? Date.parse(deletionTimestamp) - deletionGracePeriodSeconds * 1000 : Date.parse(creationTimestamp);
}
