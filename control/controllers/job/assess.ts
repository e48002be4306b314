// Where a Job stands, given its pods: what ended and is not yet counted, what runs, and whether it is over. Pure.
// Rules and messages: k8s.io/kubernetes/pkg/controller/job/job_controller.go.
import type { Job, JobCondition, JobSpec, Pod, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { isActive, isReady, isTerminating } from "../pods.ts";
import { finishedAt, recordEnds, type Failures } from "./backoff.ts";
import { IndexSet } from "./indexes.ts";
import { countsAsFailure, judgeFailure, successMessage } from "./policies.ts";

export const TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking";
export const COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index";
export const INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count";
export const INDEX_IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count";

export interface Assessment {
  readonly job: Stored<Job>;
  readonly pods: readonly Stored<Pod>[];
  readonly now: number;
  readonly active: readonly Stored<Pod>[];
  readonly ready: number;
  readonly terminating: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly previousIndexes: IndexSet;
  readonly succeededIndexes: IndexSet;
  /** Only where back-off is limited per index. */
  readonly failedIndexes: IndexSet | undefined;
  /** The last failed pod of an index that may be tried again: it is kept until it is replaced. */
  readonly retriable: ReadonlyMap<number, Stored<Pod>>;
  readonly failures: Failures;
  /** How the Job is about to end. */
  readonly verdict: JobCondition | undefined;
}

export const specOf = (job: Job): JobSpec => job.spec as JobSpec;
export const isIndexed = (job: Job): boolean => job.spec?.completionMode === "Indexed";
export const isSuspended = (job: Job): boolean => job.spec?.suspend === true;
export const limitsPerIndex = (job: Job): boolean => job.spec?.backoffLimitPerIndex !== undefined;
export const hasTracking = (pod: Pod): boolean => pod.metadata.finalizers?.includes(TRACKING_FINALIZER) ?? false;

/** Over, for good or bad. */
export function isFinishedJob(job: Job): boolean {
  return job.status?.conditions?.some(({ type, status }) => (type === "Complete" || type === "Failed") && status === "True") ?? false;
}

/** Whether pods that are still terminating keep their place until they ended. */
export function replacesOnlyFailed(job: Job): boolean {
  return job.spec?.podReplacementPolicy === "Failed" || job.spec?.podFailurePolicy !== undefined;
}

export function isFailedPod(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === "Failed") return true;
  return !replacesOnlyFailed(job) && pod.metadata.deletionTimestamp !== undefined && pod.status?.phase !== "Succeeded";
}

/** The pod's index; undefined when it has none, or none this Job knows. */
export function indexOf(job: Job, pod: Pod): number | undefined {
  const text = pod.metadata.annotations?.[COMPLETION_INDEX];
  return text !== undefined && /^\d+$/.test(text) && Number(text) < (job.spec?.completions ?? 0) ? Number(text) : undefined;
}

export function newCondition(now: number, condition: { type: string; status?: string; reason: string; message: string }): JobCondition {
  const time = timestamp(now);
  return { status: "True", lastProbeTime: time, lastTransitionTime: time, ...condition };
}

export function assess(job: Stored<Job>, pods: readonly Stored<Pod>[], { before, now }: { before: Failures; now: number }): Assessment {
  const { uncountedTerminatedPods: uncounted = {}, succeeded: countedSucceeded = 0, failed: countedFailed = 0 } = job.status ?? {};
  const countable = pods.filter((pod) => hasTracking(pod) && (!isIndexed(job) || indexOf(job, pod) !== undefined));
  const newSucceeded = countable.filter((pod) => pod.status?.phase === "Succeeded" && !uncounted.succeeded?.includes(pod.metadata.uid));
  const newFailed = countable.filter((pod) => isFailedPod(job, pod) && !uncounted.failed?.includes(pod.metadata.uid));
  const active = pods.filter(isActive);
  const previousIndexes = IndexSet.parse(job.status?.completedIndexes, job.spec?.completions ?? 0);
  const succeededIndexes = isIndexed(job) ? previousIndexes.with(countable.filter((pod) => pod.status?.phase === "Succeeded").map((pod) => indexOf(job, pod) as number)) : IndexSet.EMPTY;
  const failedIndexes = limitsPerIndex(job) ? failedIndexesOf(job, countable) : undefined;
  const facts = {
    job, pods, now, active, previousIndexes, succeededIndexes, failedIndexes,
    ready: active.filter(isReady).length,
    terminating: pods.filter(isTerminating).length,
    succeeded: isIndexed(job) ? succeededIndexes.size : countedSucceeded + newSucceeded.length + (uncounted.succeeded?.length ?? 0),
    failed: countedFailed + newFailed.filter((pod) => countsAsFailure(job, pod)).length + (uncounted.failed?.length ?? 0),
    retriable: limitsPerIndex(job) ? retriablePods(job, { countable, active, ended: succeededIndexes.union(failedIndexes ?? IndexSet.EMPTY) }) : new Map<number, Stored<Pod>>(),
    failures: recordEnds(before, newSucceeded, newFailed),
  };
  return { ...facts, verdict: verdictOf(facts) };
}

/** How often the index of this pod had failed before it. */
export function indexFailures(pod: Pod, annotation: string): number {
  const text = pod.metadata.annotations?.[annotation] ?? "0";
  return /^\d+$/.test(text) ? Number(text) : 0;
}

/** Milliseconds until the active deadline; undefined without one. */
export function untilDeadline(job: Job, now: number): number | undefined {
  const { activeDeadlineSeconds } = job.spec ?? {};
  if (activeDeadlineSeconds === undefined || isSuspended(job)) return undefined;
  return (job.status?.startTime ? Date.parse(job.status.startTime) : now) + activeDeadlineSeconds * 1000 - now;
}

function verdictOf(facts: Omit<Assessment, "verdict">): JobCondition | undefined {
  const { job, pods, now } = facts;
  const conditions = job.status?.conditions ?? [];
  const decided = (type: string): JobCondition | undefined => conditions.find((condition) => condition.type === type && condition.status === "True");
  const met = decided("SuccessCriteriaMet");
  if (met) return met;
  const target = decided("FailureTarget");
  if (target) return newCondition(now, { type: "Failed", reason: target.reason ?? "", message: target.message ?? "" });
  const failure = pods.filter((pod) => isFailedPod(job, pod)).map((pod) => judgeFailure(job, pod)).find(({ action }) => action === "FailJob");
  if (failure) return newCondition(now, { type: "FailureTarget", reason: "PodFailurePolicy", message: failure.message ?? "" });
  const limit = limitVerdict(facts);
  if (limit) return newCondition(now, { type: "FailureTarget", ...limit });
  const success = isIndexed(job) ? successMessage(job, facts.succeededIndexes) : undefined;
  return success ? newCondition(now, { type: "SuccessCriteriaMet", reason: "SuccessPolicy", message: success }) : undefined;
}

function limitVerdict({ job, pods, now, failed, failedIndexes, succeededIndexes }: Omit<Assessment, "verdict">): { reason: string; message: string } | undefined {
  const { backoffLimit = 6, maxFailedIndexes, completions = 0 } = specOf(job);
  if (failed > backoffLimit || restartsExceed(job, pods)) return { reason: "BackoffLimitExceeded", message: "Job has reached the specified backoff limit" };
  const left = untilDeadline(job, now);
  if (left !== undefined && left <= 0 && job.status?.startTime) return { reason: "DeadlineExceeded", message: "Job was active longer than specified deadline" };
  if (!failedIndexes) return undefined;
  if (maxFailedIndexes !== undefined && failedIndexes.size > maxFailedIndexes) return { reason: "MaxFailedIndexesExceeded", message: "Job has exceeded the specified maximal number of failed indexes" };
  if (failedIndexes.size > 0 && failedIndexes.size + succeededIndexes.size >= completions) return { reason: "FailedIndexes", message: "Job has failed indexes" };
  return undefined;
}

/** Containers restarted in place count like failed pods. */
function restartsExceed(job: Job, pods: readonly Pod[]): boolean {
  if (job.spec?.template.spec?.restartPolicy !== "OnFailure") return false;
  const running = pods.filter((pod) => pod.status?.phase === "Running" || pod.status?.phase === "Pending");
  const restarts = running.flatMap((pod) => [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]).reduce((total, status) => total + status.restartCount, 0);
  const { backoffLimit = 6 } = specOf(job);
  return backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit;
}

function failedIndexesOf(job: Job, countable: readonly Pod[]): IndexSet {
  const failed = countable.filter((pod) => {
    if (!isFailedPod(job, pod)) return false;
    const { action } = judgeFailure(job, pod);
    if (action === "FailIndex") return true;
    return action !== "Ignore" && indexFailures(pod, INDEX_FAILURES) >= (job.spec?.backoffLimitPerIndex ?? 0);
  });
  return IndexSet.parse(job.status?.failedIndexes, job.spec?.completions ?? 0).with(failed.map((pod) => indexOf(job, pod) as number));
}

function retriablePods(job: Job, { countable, active, ended }: { countable: readonly Stored<Pod>[]; active: readonly Pod[]; ended: IndexSet }): Map<number, Stored<Pod>> {
  const running = new Set(active.map((pod) => indexOf(job, pod)));
  const last = new Map<number, Stored<Pod>>();
  for (const pod of countable) {
    const index = indexOf(job, pod) as number;
    if (!isFailedPod(job, pod) || ended.has(index) || running.has(index)) continue;
    const known = last.get(index);
    const isLater = !known || (tries(known) <= tries(pod) && finishedAt(pod) >= finishedAt(known));
    if (isLater) last.set(index, pod);
  }
  return last;
}

function tries(pod: Pod): number {
  return indexFailures(pod, INDEX_FAILURES) + indexFailures(pod, INDEX_IGNORED_FAILURES);
}
