// What the Job controller did, counted as upstream counts it.
// Labels and when each is counted: k8s.io/kubernetes/pkg/controller/job/{job_controller,tracking_utils}.go.
import type { Job, JobStatus, Pod } from "../../../api/types.ts";
import type { ControllerFigures } from "../figures.ts";
import { isFinished } from "../pods.ts";
import { hasTracking, isFailedPod, isIndexed, limitsPerIndex, type Assessment } from "./assess.ts";
import { IndexSet } from "./indexes.ts";
import type { JobPlan } from "./plan.ts";
import { judgeFailure } from "./policies.ts";

const modeOf = (job: Job): string => (isIndexed(job) ? "Indexed" : "NonIndexed");

/** One pass over a Job: what it came to, and how long it took. */
export function countSync(figures: ControllerFigures, job: Job, pass: { readonly plan: JobPlan | undefined; readonly isDone: boolean; readonly seconds: number }): void {
  const { plan, isDone, seconds } = pass;
  const action = !plan ? "reconciling" : plan.delete.length > 0 ? "pods_deleted" : plan.create.length > 0 ? "pods_created" : "tracking";
  const labels = [action, modeOf(job), isDone ? "success" : "error"];
  figures.count("job_controller_job_syncs_total", ...labels);
  figures.observe("job_controller_job_sync_duration_seconds", seconds, ...labels);
}

/** Pods that were made, and pods that could not be. */
export function countCreated(figures: ControllerFigures, { job, failed, terminating }: Assessment, { succeeded, missed }: { readonly succeeded: number; readonly missed: number }): void {
  const replaced = job.spec?.podReplacementPolicy === "Failed" && failed > 0 ? "recreate_failed" : "recreate_terminating_or_failed";
  const reason = failed > 0 || (terminating > 0 && job.spec?.podReplacementPolicy !== "Failed") ? replaced : "new";
  figures.add("job_controller_job_pods_creation_total", succeeded, reason, "succeeded");
  figures.add("job_controller_job_pods_creation_total", missed, reason, "failed");
}

/** What became part of a Job's accounts with a write of its status. */
export function countAccounts(figures: ControllerFigures, job: Job, { before = {}, after }: { readonly before: JobStatus | undefined; readonly after: JobStatus }): void {
  const completions = job.spec?.completions ?? 0;
  const indexes = (text: string | undefined): number => IndexSet.parse(text, completions).size;
  const succeeded = isIndexed(job) ? indexes(after.completedIndexes) - indexes(before.completedIndexes) : (after.succeeded ?? 0) - (before.succeeded ?? 0);
  const limit = limitsPerIndex(job) ? "perIndex" : "global";
  if (isIndexed(job)) {
    figures.add("job_controller_job_finished_indexes_total", succeeded, limit, "succeeded");
    figures.add("job_controller_job_finished_indexes_total", indexes(after.failedIndexes) - indexes(before.failedIndexes), limit, "failed");
  }
  figures.add("job_controller_job_pods_finished_total", succeeded, modeOf(job), "succeeded");
  figures.add("job_controller_job_pods_finished_total", (after.failed ?? 0) - (before.failed ?? 0), modeOf(job), "failed");
}

/** Failed pods that a rule of the Job's policy decided about. */
export function countFailures(figures: ControllerFigures, job: Job, released: readonly Pod[]): void {
  if (!job.spec?.podFailurePolicy) return;
  for (const pod of released) {
    const { action } = isFailedPod(job, pod) ? judgeFailure(job, pod) : {};
    if (action) figures.count("job_controller_pod_failures_handled_by_failure_policy_total", action);
  }
}

export function countFinished(figures: ControllerFigures, job: Job, { type, reason = "" }: { readonly type: string; readonly reason?: string | undefined }): void {
  figures.count("job_controller_jobs_finished_total", modeOf(job), reason, type === "Complete" ? "succeeded" : "failed");
}

/** A pod came to be finished and still tracked, or is so no longer. */
export function countTracked(figures: ControllerFigures, was: Pod | undefined, is: Pod | undefined): void {
  const [before, after] = [was, is].map((pod) => pod !== undefined && isFinished(pod) && hasTracking(pod));
  if (before !== after) figures.count("job_controller_terminated_pods_tracking_finalizer_total", after ? "add" : "delete");
}
