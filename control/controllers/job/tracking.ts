// The accounts of a Job: every ended pod is counted once, whatever crashes in between. Pure.
// A pod's UID is first written down as uncounted, then the pod loses its finalizer, then the UID becomes part of the count.
import type { JobCondition, JobStatus, Pod, Stored } from "../../../api/types.ts";
import { findCondition } from "../conditions.ts";
import { hasTracking, indexOf, isFailedPod, isIndexed, isSuspended, newCondition, type Assessment } from "./assess.ts";
import { countsAsFailure } from "./policies.ts";

/** What the pass has done to the pods, beside what the assessment saw. */
export interface PassResult {
  readonly active: number;
  readonly ready: number;
  readonly terminating: number;
  /** How the Job ends: the assessment's verdict, unless pods could not be deleted, or completion. */
  readonly verdict: JobCondition | undefined;
  /** Whether pods were managed, so that being suspended or resumed may be said. */
  readonly isManaged: boolean;
}

export interface Accounts {
  readonly status: JobStatus;
  /** Pods to let go of, once the status is written. */
  readonly release: readonly Stored<Pod>[];
  /** How the Job ends when nothing is left to count. */
  readonly final: JobCondition | undefined;
}

const MAX_UNCOUNTED = 500;

/** The status with every ended pod noted, and the pods whose finalizers may go then. */
export function noteEnded(assessment: Assessment, result: PassResult): Accounts {
  const { job, pods, now } = assessment;
  const settled = settle(job.status ?? {}, new Set(pods.filter(hasTracking).map((pod) => pod.metadata.uid)));
  const succeeded = [...(settled.uncountedTerminatedPods?.succeeded ?? [])];
  const failed = [...(settled.uncountedTerminatedPods?.failed ?? [])];
  const release: Stored<Pod>[] = [];
  let indexes = assessment.previousIndexes;
  for (const pod of pods.filter(hasTracking)) {
    if (succeeded.length + failed.length >= MAX_UNCOUNTED) break;
    if (!isReleasable(assessment, result, pod)) continue;
    release.push(pod);
    const { uid } = pod.metadata;
    const index = indexOf(job, pod);
    if (pod.status?.phase === "Succeeded" && !failed.includes(uid)) {
      if (!isIndexed(job)) addOnce(succeeded, uid);
      else if (index !== undefined) indexes = indexes.with([index]);
    } else if (isFailure(assessment, result, pod) && (!isIndexed(job) || index !== undefined) && countsAsFailure(job, pod)) addOnce(failed, uid);
  }
  const { conditions, final } = concluded(settled.conditions ?? [], result, now);
  const status: JobStatus = {
    ...settled, ...suspension(assessment, result, conditions),
    active: result.active, ready: result.ready, terminating: result.terminating,
    uncountedTerminatedPods: { ...(succeeded.length > 0 && { succeeded }), ...(failed.length > 0 && { failed }) },
    ...(isIndexed(job) && { succeeded: indexes.size, completedIndexes: indexes.toString() || undefined }),
    ...(assessment.failedIndexes && { failedIndexes: assessment.failedIndexes.toString() }),
  };
  return { status, release, final };
}

/** Counts the noted pods that have no finalizer any more. */
export function settle(status: JobStatus, tracked: ReadonlySet<string>): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const stillSucceeded = succeeded.filter((uid) => tracked.has(uid));
  const stillFailed = failed.filter((uid) => tracked.has(uid));
  const counted = { succeeded: succeeded.length - stillSucceeded.length, failed: failed.length - stillFailed.length };
  return {
    ...status,
    ...(counted.succeeded > 0 && { succeeded: (status.succeeded ?? 0) + counted.succeeded }),
    ...(counted.failed > 0 && { failed: (status.failed ?? 0) + counted.failed }),
    uncountedTerminatedPods: { ...(stillSucceeded.length > 0 && { succeeded: stillSucceeded }), ...(stillFailed.length > 0 && { failed: stillFailed }) },
  };
}

/** The status of a Job that is over; undefined while something is left to count or to end. */
export function finish(status: JobStatus, final: JobCondition | undefined): JobStatus | undefined {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  if (!final || succeeded.length + failed.length > 0 || (status.terminating ?? 0) > 0) return undefined;
  const conditions = [...(status.conditions ?? []).filter(({ type }) => type !== final.type), final];
  return { ...status, conditions, ...(final.type === "Complete" && { completionTime: final.lastTransitionTime }) };
}

/** Whether the pod has nothing more to tell. */
function isReleasable({ job, retriable }: Assessment, { verdict }: PassResult, pod: Stored<Pod>): boolean {
  if (job.metadata.deletionTimestamp || verdict || pod.status?.phase === "Succeeded") return true;
  if (!isFailedPod(job, pod)) return false;
  const index = indexOf(job, pod);
  return index === undefined || retriable.get(index)?.metadata.uid !== pod.metadata.uid;
}

function isFailure({ job }: Assessment, { verdict }: PassResult, pod: Pod): boolean {
  return isFailedPod(job, pod) || (verdict !== undefined && verdict.type !== "SuccessCriteriaMet");
}

/** First what is decided is written down, then, when all is counted, what it comes to. */
function concluded(conditions: readonly JobCondition[], { verdict }: PassResult, now: number): { conditions: readonly JobCondition[]; final: JobCondition | undefined } {
  if (!verdict) return { conditions, final: undefined };
  const { type, reason = "", message = "" } = verdict;
  if (type === "Failed") return { conditions, final: verdict };
  const known = findCondition(conditions, type)?.status === "True";
  return {
    conditions: known ? conditions : [...conditions, verdict],
    final: newCondition(now, { type: type === "SuccessCriteriaMet" ? "Complete" : "Failed", reason, message }),
  };
}

/** The Suspended condition, and the start time, which begins anew when a Job is resumed. */
function suspension({ job, now }: Assessment, { isManaged }: PassResult, conditions: readonly JobCondition[]): Pick<JobStatus, "conditions" | "startTime"> {
  const current = findCondition(conditions, "Suspended");
  const start = job.status?.startTime ?? newCondition(now, { type: "", reason: "", message: "" }).lastTransitionTime;
  const list = conditions.length > 0 ? { conditions: [...conditions] } : {};
  if (!isManaged || isSuspended(job) === (current?.status === "True")) return { ...list, ...(!isSuspended(job) && { startTime: start }) };
  const others = conditions.filter(({ type }) => type !== "Suspended");
  if (isSuspended(job)) return { conditions: [...others, newCondition(now, { type: "Suspended", reason: "JobSuspended", message: "Job suspended" })], startTime: undefined };
  const resumed = newCondition(now, { type: "Suspended", status: "False", reason: "JobResumed", message: "Job resumed" });
  return { conditions: [...others, resumed], startTime: resumed.lastTransitionTime };
}

function addOnce(list: string[], uid: string): void {
  if (!list.includes(uid)) list.push(uid);
}
