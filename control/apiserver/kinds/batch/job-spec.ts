// Rules for the spec of a Job, on its own or as a CronJob's template.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { JobSpec } from "../../../../api/types.ts";
import { checkPodTemplate } from "../pod/validate/template.ts";
import { checkDomainPath } from "../validation/names.ts";
import { checkNonNegative } from "../validation/values.ts";
import { checkFailurePolicy, checkSuccessPolicy } from "./policies.ts";

const MAX_PARALLELISM = 100_000;
const MAX_FAILED_INDEXES = 100_000;
const MANY_COMPLETIONS = 100_000;
const LIMIT_WITH_MANY = 10_000;
const MAX_MANAGED_BY = 63;
const NON_NEGATIVE = ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"] as const;

/** Everything but the selector, which a template has none of. */
export function checkJobSpec(errors: FieldError[], path: string, spec: JobSpec): void {
  for (const name of NON_NEGATIVE) checkNonNegative(errors, `${path}.${name}`, spec[name]);
  if (spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined) errors.push(field.required(`${path}.backoffLimitPerIndex`, "when maxFailedIndexes is specified"));
  if (spec.managedBy !== undefined) checkDomainPath(errors, `${path}.managedBy`, spec.managedBy);
  if ((spec.managedBy?.length ?? 0) > MAX_MANAGED_BY) errors.push(field.tooLong(`${path}.managedBy`, MAX_MANAGED_BY));
  const { completionMode: mode = "NonIndexed" } = spec;
  if (mode !== "NonIndexed" && mode !== "Indexed") errors.push(field.notSupported(`${path}.completionMode`, mode, ["NonIndexed", "Indexed"]));
  if (mode === "Indexed") checkIndexed(errors, path, spec);
  if (mode === "NonIndexed") for (const name of ["backoffLimitPerIndex", "maxFailedIndexes"] as const) if (spec[name] !== undefined) errors.push(field.invalid(`${path}.${name}`, spec[name], "requires indexed completion mode"));
  if (spec.podFailurePolicy) checkFailurePolicy(errors, `${path}.podFailurePolicy`, spec);
  if (spec.successPolicy) {
    if (mode === "Indexed") checkSuccessPolicy(errors, `${path}.successPolicy`, spec);
    else errors.push(field.invalid(`${path}.successPolicy`, spec.successPolicy, "requires indexed completion mode"));
  }
  checkReplacement(errors, `${path}.podReplacementPolicy`, spec);
  checkPodTemplate(errors, `${path}.template`, spec.template ?? {});
  checkRestarts(errors, `${path}.template.spec.restartPolicy`, spec);
}

function checkIndexed(errors: FieldError[], path: string, { completions, parallelism, maxFailedIndexes: maxFailed, backoffLimitPerIndex }: JobSpec): void {
  if (completions === undefined) errors.push(field.required(`${path}.completions`, "when completion mode is Indexed"));
  const atMost = (name: string, value: number | undefined, limit: number, detail = ""): void => {
    if (value !== undefined && value > limit) errors.push(field.invalid(`${path}.${name}`, value, `must be less than or equal to ${limit}${detail}`));
  };
  atMost("parallelism", parallelism, MAX_PARALLELISM, " when completion mode is Indexed");
  if (completions !== undefined && maxFailed !== undefined && maxFailed > completions) errors.push(field.invalid(`${path}.maxFailedIndexes`, maxFailed, "must be less than or equal to completions"));
  atMost("maxFailedIndexes", maxFailed, MAX_FAILED_INDEXES);
  if ((completions ?? 0) <= MANY_COMPLETIONS || backoffLimitPerIndex === undefined) return;
  const many = ` when completions are above ${MANY_COMPLETIONS} and used with backoff limit per index`;
  if (maxFailed === undefined) errors.push(field.required(`${path}.maxFailedIndexes`, `must be specified when completions is above ${MANY_COMPLETIONS}`));
  atMost("parallelism", parallelism, LIMIT_WITH_MANY, many);
  atMost("maxFailedIndexes", maxFailed, LIMIT_WITH_MANY, many);
}

function checkReplacement(errors: FieldError[], path: string, { podReplacementPolicy: policy, podFailurePolicy }: JobSpec): void {
  const allowed = podFailurePolicy ? ["Failed"] : ["Failed", "TerminatingOrFailed"];
  if (policy !== undefined && !allowed.includes(policy)) errors.push(field.notSupported(path, policy, allowed));
}

function checkRestarts(errors: FieldError[], path: string, { template, podFailurePolicy }: JobSpec): void {
  const policy = template?.spec?.restartPolicy ?? "";
  // Always is what a pod gets by default, so it may be nobody's wish.
  if (policy === "" || policy === "Always") errors.push(field.required(path, 'valid values: "OnFailure", "Never"'));
  else if (policy !== "OnFailure" && policy !== "Never") errors.push(field.notSupported(path, policy, ["OnFailure", "Never"]));
  else if (podFailurePolicy && policy !== "Never") errors.push(field.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified'));
}
