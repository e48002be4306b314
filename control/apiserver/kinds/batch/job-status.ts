// What a Job's status may say and how it may change: terminal conditions stay, counters do not run backwards.
// Rules about one field apply only when that field changes, so that other updates get through.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { Job } from "../../../../api/types.ts";
import { checkNonNegative, isEqual, wrong } from "../validation/values.ts";
import { IndexesError, overlapOf, parseIndexes } from "./indexes.ts";

type Status = NonNullable<Job["status"]>;

/** A status next to the one it replaces. */
interface Change {
  readonly job: Job;
  readonly now: Status;
  readonly was: Status;
}

/** Everything wrong with a new status. */
export function jobStatusErrors(job: Job, old: Job): FieldError[] {
  const change: Change = { job, now: job.status ?? {}, was: old.status ?? {} };
  const errors: FieldError[] = [];
  for (const name of ["active", "succeeded", "failed", "ready", "terminating"] as const) checkNonNegative(errors, `status.${name}`, change.now[name]);
  checkUncounted(errors, change.now);
  checkConditions(errors, change);
  checkTimes(errors, change);
  checkFinished(errors, change);
  checkIndexLists(errors, change);
  checkCounters(errors, change);
  return errors;
}

function is({ conditions }: Status, type: string, status = "True"): boolean {
  return conditions?.some((condition) => condition.type === type && condition.status === status) ?? false;
}

const isFinished = (status: Status): boolean => is(status, "Complete") || is(status, "Failed");
const isChanged = ({ now, was }: Change, name: keyof Status): boolean => !isEqual(now[name], was[name]);
const changes = ({ now, was }: Change, type: string): boolean => is(now, type) !== is(was, type);
const finishes = ({ now, was }: Change): boolean => isFinished(now) !== isFinished(was);

function checkUncounted(errors: FieldError[], { uncountedTerminatedPods: pods }: Status): void {
  const seen = new Set<string>();
  for (const name of ["succeeded", "failed"] as const) {
    for (const [index, uid] of (pods?.[name] ?? []).entries()) {
      const path = `status.uncountedTerminatedPods.${name}[${index}]`;
      if (uid === "") errors.push(field.invalid(path, uid, "must not be empty"));
      else if (seen.has(uid)) errors.push(field.duplicate(path, uid));
      seen.add(uid);
    }
  }
}

function checkConditions(errors: FieldError[], change: Change): void {
  const { job, now, was } = change;
  const conditions = (detail: string): void => void errors.push(wrong("status.conditions", detail));
  const completes = changes(change, "Complete");
  const fails = changes(change, "Failed");
  if ((completes || fails) && is(now, "Complete") && is(now, "Failed")) conditions("cannot set Complete=True and Failed=true conditions");
  if ((completes || changes(change, "FailureTarget")) && is(now, "Complete") && is(now, "FailureTarget")) conditions("cannot set Complete=True and FailureTarget=true conditions");
  if ((fails || isChanged(change, "failedIndexes")) && is(now, "Failed") && !is(now, "FailureTarget")) conditions("cannot set Failed=True condition without the FailureTarget=true condition");
  if ((completes || changes(change, "SuccessCriteriaMet")) && is(now, "Complete") && !is(now, "SuccessCriteriaMet")) conditions("cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
  if (is(now, "SuccessCriteriaMet") && is(now, "Failed")) conditions("cannot set SuccessCriteriaMet=True and Failed=true conditions");
  if (is(now, "SuccessCriteriaMet") && is(now, "FailureTarget")) conditions("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
  if (job.spec?.successPolicy && !is(now, "SuccessCriteriaMet") && is(now, "Complete")) conditions("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
  for (const type of ["Failed", "Complete", "FailureTarget"]) if (is(was, type) && !is(now, type)) conditions(`cannot disable the terminal ${type}=True condition`);
  if (is(was, "SuccessCriteriaMet") && !is(now, "SuccessCriteriaMet")) conditions("cannot disable the SuccessCriteriaMet=True condition");
  if (is(was, "Complete") && !is(was, "SuccessCriteriaMet") && is(now, "SuccessCriteriaMet")) conditions("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
}

function checkTimes(errors: FieldError[], change: Change): void {
  const { job, now, was } = change;
  const { startTime, completionTime } = now;
  const endMatters = changes(change, "Complete") || isChanged(change, "completionTime");
  if (endMatters && completionTime && !is(now, "Complete")) errors.push(field.invalid("status.completionTime", completionTime, "cannot set completionTime when there is no Complete=True condition"));
  if (endMatters && !completionTime && is(now, "Complete")) errors.push(field.required("status.completionTime", "completionTime is required for Complete jobs"));
  const isBackwards = startTime !== undefined && completionTime !== undefined && Date.parse(completionTime) < Date.parse(startTime);
  if (isBackwards && (isChanged(change, "startTime") || isChanged(change, "completionTime"))) errors.push(field.invalid("status.completionTime", completionTime, "must be equal to or after `startTime`"));
  if (completionTime && was.completionTime && completionTime !== was.completionTime) errors.push(field.invalid("status.completionTime", completionTime, "field is immutable"));
  const isResuming = is(was, "Suspended") && is(now, "Suspended", "False");
  if (was.startTime && startTime !== was.startTime && !isResuming && !job.spec?.suspend) errors.push(field.invalid("status.startTime", startTime, "field is immutable for unsuspended job once set"));
}

function checkFinished(errors: FieldError[], change: Change): void {
  const { job, now } = change;
  if (!isFinished(now)) return;
  const turns = finishes(change);
  if ((turns || isChanged(change, "active")) && (now.active ?? 0) > 0) errors.push(field.invalid("status.active", now.active, "active>0 is invalid for finished job"));
  const neverRan = job.spec?.suspend === true && job.spec.completions === 0;
  if ((turns || isChanged(change, "startTime")) && !neverRan && !now.startTime) errors.push(field.required("status.startTime", "startTime is required for finished job"));
  const pods = now.uncountedTerminatedPods;
  if ((turns || isChanged(change, "uncountedTerminatedPods")) && (pods?.failed?.length ?? 0) + (pods?.succeeded?.length ?? 0) > 0) errors.push(field.invalid("status.uncountedTerminatedPods", pods, "must be empty for finished job"));
  if ((turns || isChanged(change, "terminating")) && (now.terminating ?? 0) > 0) errors.push(field.invalid("status.terminating", now.terminating, "terminating>0 is invalid for finished job"));
}

function checkIndexLists(errors: FieldError[], change: Change): void {
  const { now, job: { spec } } = change;
  const completions = spec?.completions;
  const { completedIndexes = "", failedIndexes } = now;
  const isCompletedNew = isChanged(change, "completedIndexes");
  const isFailedNew = isChanged(change, "failedIndexes");
  if (isCompletedNew && completedIndexes !== "" && spec?.completionMode !== "Indexed") errors.push(field.invalid("status.completedIndexes", completedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode"));
  if (isFailedNew && failedIndexes !== undefined && spec?.backoffLimitPerIndex === undefined) errors.push(field.invalid("status.failedIndexes", failedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null"));
  if (completions === undefined) return;
  const listOf = (name: "completedIndexes" | "failedIndexes", text: string, isNew: boolean): ReturnType<typeof parseIndexes> => {
    try {
      return parseIndexes(text, completions);
    } catch (error) {
      if (!(error instanceof IndexesError)) throw error;
      if (isNew) errors.push(field.invalid(`status.${name}`, text, `error parsing ${name}: ${error.message}`));
      return [];
    }
  };
  const completed = listOf("completedIndexes", completedIndexes, isCompletedNew);
  const failed = listOf("failedIndexes", failedIndexes ?? "", isFailedNew && spec?.backoffLimitPerIndex !== undefined);
  const overlap = isCompletedNew || isFailedNew ? overlapOf(completed, failed) : undefined;
  if (overlap !== undefined) errors.push(field.invalid("status.failedIndexes", failedIndexes, `failedIndexes and completedIndexes overlap at index: ${overlap}`));
}

function checkCounters(errors: FieldError[], change: Change): void {
  const { job: { spec }, now, was } = change;
  const { active = 0, ready, failed = 0, succeeded = 0 } = now;
  if ((isChanged(change, "ready") || isChanged(change, "active")) && ready !== undefined && ready > active) errors.push(field.invalid("status.ready", ready, "cannot set more ready pods than active"));
  if (failed < (was.failed ?? 0)) errors.push(field.invalid("status.failed", failed, "cannot decrease the failed counter"));
  // Such Jobs can be scaled down.
  const mayShrink = spec?.completionMode === "Indexed" && spec.completions === spec.parallelism;
  if (succeeded < (was.succeeded ?? 0) && !mayShrink) errors.push(field.invalid("status.succeeded", succeeded, "cannot decrease the succeeded counter"));
}
