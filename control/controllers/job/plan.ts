// Which pods a Job makes or deletes next. Pure.
import type { Container, Job, Pod, PodTemplateSpec, Stored } from "../../../api/types.ts";
import { JOB } from "../kinds.ts";
import { podFromTemplate } from "../podcontrol.ts";
import { isTerminating, leastUseful } from "../pods.ts";
import {
  COMPLETION_INDEX, INDEX_FAILURES, INDEX_IGNORED_FAILURES, indexFailures, indexOf, isIndexed, isSuspended, limitsPerIndex,
  replacesOnlyFailed, specOf, TRACKING_FINALIZER, type Assessment,
} from "./assess.ts";
import { finishedAt, remainingMs } from "./backoff.ts";
import { IndexSet } from "./indexes.ts";
import { countsAsFailure } from "./policies.ts";

export interface JobPlan {
  readonly create: readonly Pod[];
  readonly delete: readonly Stored<Pod>[];
  /** Deleted pods are let go without being counted: they did not fail, they were not wanted. */
  readonly forgetsDeleted: boolean;
  /** Milliseconds after which more may be made. */
  readonly waitMs?: number;
}

const NOTHING: JobPlan = { create: [], delete: [], forgetsDeleted: true };
const MAX_PER_PASS = 500;
const INDEX_ENV = "JOB_COMPLETION_INDEX";
const MAX_GENERATED = 253 - 5;

export function planJob(assessment: Assessment): JobPlan {
  const { job, active, verdict, now } = assessment;
  if (verdict) return { create: [], delete: active, forgetsDeleted: false };
  if (job.metadata.deletionTimestamp) return NOTHING;
  if (isSuspended(job)) return { ...NOTHING, delete: active };
  const wanted = wantedActive(assessment);
  const surplus = surplusPods(assessment, Math.max(0, active.length - wanted), now);
  if (surplus.length > 0) return { ...NOTHING, delete: surplus.slice(0, MAX_PER_PASS) };
  const terminating = replacesOnlyFailed(job) ? assessment.terminating : 0;
  return planCreation(assessment, Math.min(wanted - terminating - active.length, MAX_PER_PASS));
}

function wantedActive({ job, active, succeeded }: Assessment): number {
  const { completions, parallelism = 1 } = specOf(job);
  if (completions === undefined) return succeeded > 0 ? active.length : parallelism;
  return Math.max(0, Math.min(completions - succeeded, parallelism));
}

/** Doubles and strangers among indexes always; others as many as there are too many. */
function surplusPods({ job, active }: Assessment, atLeast: number, now: number): Stored<Pod>[] {
  if (!isIndexed(job)) return atLeast === 0 ? [] : leastUseful(active, [], atLeast, now);
  const byIndex = Map.groupBy(active, (pod) => indexOf(job, pod));
  const surplus = [...byIndex].flatMap(([index, pods]) => (index === undefined ? pods : leastUseful(pods, [], pods.length - 1, now)));
  const left = active.filter((pod) => !surplus.includes(pod));
  return surplus.length >= atLeast ? surplus : [...surplus, ...leastUseful(left, [], atLeast - surplus.length, now)];
}

function planCreation(assessment: Assessment, count: number): JobPlan {
  const { job, failures, now } = assessment;
  if (count <= 0) return NOTHING;
  if (!limitsPerIndex(job)) {
    const waitMs = remainingMs(failures, now);
    if (waitMs > 0) return { ...NOTHING, waitMs };
  }
  if (!isIndexed(job)) return { ...NOTHING, create: Array.from({ length: count }, () => newPod(assessment, undefined)) };
  const pending = pendingIndexes(assessment, count);
  const waits = new Map(pending.map((index) => [index, waitOfIndex(assessment, index)]));
  const ready = pending.filter((index) => waits.get(index) === 0);
  const soonest = Math.min(...waits.values());
  return { ...NOTHING, create: ready.map((index) => newPod(assessment, index)), ...(ready.length < pending.length && Number.isFinite(soonest) && { waitMs: Math.max(soonest, 1) }) };
}

function pendingIndexes({ job, pods, active, succeededIndexes, failedIndexes }: Assessment, count: number): number[] {
  const occupied = replacesOnlyFailed(job) ? [...active, ...pods.filter(isTerminating)] : active;
  const busy = occupied.flatMap((pod) => indexOf(job, pod) ?? []);
  return succeededIndexes.with(busy).union(failedIndexes ?? IndexSet.EMPTY).missing(count, job.spec?.completions ?? 0);
}

function waitOfIndex({ retriable, now }: Assessment, index: number): number {
  const last = retriable.get(index);
  if (!last) return 0;
  const count = indexFailures(last, INDEX_FAILURES) + indexFailures(last, INDEX_IGNORED_FAILURES) + 1;
  return remainingMs({ count, lastAt: finishedAt(last) }, now);
}

function newPod({ job, retriable }: Assessment, index: number | undefined): Pod {
  const template = job.spec?.template as PodTemplateSpec;
  const pod = podFromTemplate(JOB, job, template);
  const metadata = { ...pod.metadata, finalizers: [...new Set([...(pod.metadata.finalizers ?? []), TRACKING_FINALIZER])] };
  if (index === undefined) return { ...pod, metadata };
  const suffix = `-${index}-`;
  return {
    ...pod,
    metadata: {
      ...metadata,
      generateName: job.metadata.name.slice(0, MAX_GENERATED - suffix.length) + suffix,
      labels: { ...metadata.labels, [COMPLETION_INDEX]: String(index) },
      annotations: { ...metadata.annotations, [COMPLETION_INDEX]: String(index), ...(limitsPerIndex(job) && failureAnnotations(job, retriable.get(index))) },
    },
    spec: {
      ...pod.spec, hostname: `${job.metadata.name}-${index}`,
      containers: (template.spec?.containers ?? []).map(withIndexEnv),
      ...(template.spec?.initContainers && { initContainers: template.spec.initContainers.map(withIndexEnv) }),
    },
  };
}

/** How often the index failed, for the next pod to carry on. */
function failureAnnotations(job: Job, replaced: Pod | undefined): Record<string, string> {
  if (!replaced) return { [INDEX_FAILURES]: "0" };
  const counts = countsAsFailure(job, replaced);
  const failures = indexFailures(replaced, INDEX_FAILURES) + (counts ? 1 : 0);
  const ignored = indexFailures(replaced, INDEX_IGNORED_FAILURES) + (counts ? 0 : 1);
  return { [INDEX_FAILURES]: String(failures), ...(ignored > 0 && { [INDEX_IGNORED_FAILURES]: String(ignored) }) };
}

function withIndexEnv(container: Container): Container {
  if (container.env?.some(({ name }) => name === INDEX_ENV)) return container;
  return { ...container, env: [...(container.env ?? []), { name: INDEX_ENV, valueFrom: { fieldRef: { fieldPath: `metadata.labels['${COMPLETION_INDEX}']` } } }] };
}
