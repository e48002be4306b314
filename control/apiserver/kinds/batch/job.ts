// Jobs: pods that run to completion, found by a selector the server makes up.
import { field, type FieldError } from "../../../../api/errors.ts";
import { formatLabelSelector, matcherOf, SelectorError } from "../../../../api/selectors.ts";
import type { Job, JobSpec } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { defaultPodSpec } from "../pod/spec-defaults.ts";
import { warnOfTemplate } from "../pod/warnings.ts";
import { ageColumn, nameColumn, printer, text, wide } from "../print/columns.ts";
import { humanDuration } from "../print/duration.ts";
import { containerColumns } from "../print/format.ts";
import type { StrategyContext } from "../strategy.ts";
import { checkSelector } from "../validation/labels.ts";
import { dnsLabel } from "../validation/names.ts";
import { warnOfDottedName } from "../validation/warnings.ts";
import { checkJobSpec } from "./job-spec.ts";
import { jobStatusErrors } from "./job-status.ts";
import { jobUpdateErrors } from "./job-update.ts";

const UID_LABEL = "batch.kubernetes.io/controller-uid";
const MAX_INT32 = 2_147_483_647;
const DEFAULT_BACKOFF = 6;
const MANY_COMPLETIONS = 100_000;
const MANY_AT_ONCE = 10_000;
const CONDITION_TEXTS = ["Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet"];

export const jobStrategy = define<Job>({
  group: "batch", kind: "Job",
  defaultPropagation: "Orphan",
  applyDefaults({ metadata, spec }) {
    if (!spec) return;
    defaultJobSpec(spec);
    const labels = spec.template?.metadata?.labels;
    // The same map on purpose: the labels made up for the pods are the Job's too.
    if (labels && Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = labels;
  },
  prepareForCreate(job, context) {
    if (job.spec && !job.spec.manualSelector) generateSelector(job, job.spec);
    const labels = job.spec?.template?.metadata?.labels;
    if (labels && Object.keys(job.metadata.labels ?? {}).length === 0) job.metadata.labels = { ...labels };
    warnOfDottedName(job, context);
    warnOfManyIndexes(job.spec, context, "spec");
    warnOfTemplate(job.spec?.template, context);
  },
  prepareForUpdate: ({ spec }, old, context) => warnOfTemplate(spec?.template, context, { old: old.spec?.template }),
  validate: (job) => jobErrors(job),
  validateUpdate: jobUpdateErrors,
  subresources: { status: { validateUpdate: jobStatusErrors } },
  selectableFields: ({ status }) => ({ "status.successful": String(status?.succeeded ?? 0) }),
  printer: printer(
    nameColumn(),
    text("Status", statusText, "Status of the job."),
    text("Completions", completionsText, "How many pods reached phase Succeeded, of those needed."),
    text("Duration", durationText, "Time required to complete the job."),
    ageColumn(),
    ...containerColumns<Job>(({ spec }) => spec?.template),
    wide(text("Selector", ({ spec }) => formatLabelSelector(spec?.selector), "Which pods belong to it.")),
  ),
});

/** Sets what a Job's spec implies; a CronJob's template gets only what its pods imply. */
function defaultJobSpec(spec: JobSpec): void {
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? DEFAULT_BACKOFF : MAX_INT32;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
  spec.manualSelector ??= false;
  defaultPodSpec(spec.template?.spec);
}

/** Labels the pods with whose they are, under the old names and the new, and selects them by it. */
function generateSelector({ metadata }: Job, spec: JobSpec): void {
  spec.template ??= {};
  const template = (spec.template.metadata ??= {});
  const labels = (template.labels ??= {});
  for (const [name, value] of Object.entries(expectedLabels(metadata))) labels[name] ??= value;
  spec.selector ??= {};
  spec.selector.matchLabels ??= {};
  spec.selector.matchLabels[UID_LABEL] ??= metadata.uid ?? "";
}

function expectedLabels({ name = "", uid = "" }: Job["metadata"]): Record<string, string> {
  return { "controller-uid": uid, "job-name": name, [UID_LABEL]: uid, "batch.kubernetes.io/job-name": name };
}

function jobErrors(job: Job): FieldError[] {
  const { metadata, spec } = job;
  if (!spec) return [field.required("spec")];
  const errors: FieldError[] = [];
  if (!spec.manualSelector && spec.selector) checkGenerated(errors, job, spec);
  checkJobSpec(errors, "spec", spec);
  checkJobSelector(errors, spec);
  const { completionMode, completions = 0 } = spec;
  const last = `${metadata.name}-${completions - 1}`;
  if (completionMode === "Indexed" && completions > 0 && dnsLabel(last).length > 0) errors.push(field.invalid("metadata.name", metadata.name, `will not able to create pod with invalid DNS label: ${last}`));
  return errors;
}

function checkGenerated(errors: FieldError[], { metadata }: Job, spec: JobSpec): void {
  const labels = spec.template?.metadata?.labels ?? {};
  const expected = expectedLabels(metadata);
  for (const [name, value] of Object.entries(expected)) {
    const path = `spec.template.metadata.labels[${name}]`;
    if (labels[name] === undefined) errors.push(field.required(path, `must be '${value}'`));
    else if (labels[name] !== value) errors.push(field.invalid(path, labels, `must be '${value}'`));
  }
  if (!selects(spec, expected)) errors.push(field.invalid("spec.selector", spec.selector, "`selector` not auto-generated"));
}

function checkJobSelector(errors: FieldError[], spec: JobSpec): void {
  const labels = spec.template?.metadata?.labels ?? {};
  if (spec.selector) checkSelector(errors, "spec.selector", spec.selector);
  else errors.push(field.required("spec.selector"));
  if (!spec.selector || !selects(spec, labels)) errors.push(field.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`"));
}

function selects({ selector }: JobSpec, labels: Record<string, string>): boolean {
  try {
    return matcherOf(selector).matches(labels);
  } catch (error) {
    // A malformed selector has its own errors already.
    if (error instanceof SelectorError) return true;
    throw error;
  }
}

/** Warns of more indexes than the status can keep account of. */
export function warnOfManyIndexes(spec: JobSpec | undefined, context: StrategyContext, path: string): void {
  if (spec?.completionMode !== "Indexed" || (spec.completions ?? 0) <= MANY_COMPLETIONS || (spec.parallelism ?? 0) <= MANY_AT_ONCE) return;
  context.warn(`${path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail`);
}

function statusText({ metadata, status }: Job): string {
  const holds = (type: string): boolean => (type === "Terminating" ? metadata.deletionTimestamp !== undefined : (status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false));
  return CONDITION_TEXTS.find(holds) ?? "Running";
}

function completionsText({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${succeeded}/${spec.completions}`;
  return (spec?.parallelism ?? 0) > 1 ? `${succeeded}/1 of ${spec?.parallelism}` : `${succeeded}/1`;
}

function durationText({ status }: Job, now: number): string {
  if (!status?.startTime) return "";
  return humanDuration((status.completionTime ? Date.parse(status.completionTime) : now) - Date.parse(status.startTime));
}
