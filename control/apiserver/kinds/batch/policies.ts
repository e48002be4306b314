// Rules for when a Job's pod failures count and when it has succeeded early.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { JobSpec } from "../../../../api/types.ts";
import { check, qualifiedName } from "../validation/names.ts";
import { checkNonNegative, wrong } from "../validation/values.ts";
import { countOf, IndexesError, parseIndexes } from "./indexes.ts";

const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;
const MAX_CONDITIONS = 20;
const MAX_INDEXES_LENGTH = 64 * 1024;
const ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS = ["In", "NotIn"];
const STATUSES = ["False", "True", "Unknown"];

type FailureRule = NonNullable<JobSpec["podFailurePolicy"]>["rules"][number];
type SuccessRule = NonNullable<JobSpec["successPolicy"]>["rules"][number];

/** The rules of `podFailurePolicy`. */
export function checkFailurePolicy(errors: FieldError[], path: string, spec: JobSpec): void {
  const rules = spec.podFailurePolicy?.rules ?? [];
  if (rules.length > MAX_RULES) errors.push(field.tooMany(`${path}.rules`, rules.length, MAX_RULES));
  for (const [index, rule] of rules.entries()) checkFailureRule(errors, `${path}.rules[${index}]`, rule, spec);
}

// A sink, a place, a rule and what it is a rule of, like every check.
function checkFailureRule(errors: FieldError[], path: string, rule: FailureRule, spec: JobSpec): void {
  const { action, onExitCodes, onPodConditions = [] } = rule;
  if (!action) errors.push(field.required(`${path}.action`, `valid values: ${quoted(ACTIONS)}`));
  else if (action === "FailIndex" && spec.backoffLimitPerIndex === undefined) errors.push(field.invalid(`${path}.action`, action, "requires the backoffLimitPerIndex to be set"));
  else if (!ACTIONS.includes(action)) errors.push(field.notSupported(`${path}.action`, action, ACTIONS));
  if (onExitCodes) checkExitCodes(errors, `${path}.onExitCodes`, onExitCodes, spec);
  if (onPodConditions.length > 0) checkConditions(errors, `${path}.onPodConditions`, onPodConditions);
  if (onExitCodes && onPodConditions.length > 0) errors.push(wrong(path, "specifying both OnExitCodes and OnPodConditions is not supported"));
  if (!onExitCodes && onPodConditions.length === 0) errors.push(wrong(path, "specifying one of OnExitCodes and OnPodConditions is required"));
}

function checkExitCodes(errors: FieldError[], path: string, { operator, containerName, values = [] }: NonNullable<FailureRule["onExitCodes"]>, { template }: JobSpec): void {
  checkChoice(errors, `${path}.operator`, operator, OPERATORS);
  const containers = [...(template?.spec?.containers ?? []), ...(template?.spec?.initContainers ?? [])];
  if (containerName !== undefined && !containers.some(({ name }) => name === containerName)) errors.push(field.invalid(`${path}.containerName`, containerName, "must be one of the container or initContainer names in the pod template"));
  if (values.length === 0) errors.push(field.invalid(`${path}.values`, values, "at least one value is required"));
  if (values.length > MAX_EXIT_CODES) errors.push(field.tooMany(`${path}.values`, values.length, MAX_EXIT_CODES));
  for (const [index, value] of values.entries()) {
    if (operator === "In" && value === 0) errors.push(field.invalid(`${path}.values[${index}]`, value, "must not be 0 for the In operator"));
    if (values.indexOf(value) < index) errors.push(field.duplicate(`${path}.values[${index}]`, value));
  }
  if (values.some((value, index) => index > 0 && (values[index - 1] as number) > value)) errors.push(field.invalid(`${path}.values`, values, "must be ordered"));
}

function checkConditions(errors: FieldError[], path: string, patterns: NonNullable<FailureRule["onPodConditions"]>): void {
  if (patterns.length > MAX_CONDITIONS) errors.push(field.tooMany(path, patterns.length, MAX_CONDITIONS));
  for (const [index, { type, status }] of patterns.entries()) {
    check(errors, `${path}[${index}].type`, type ?? "", qualifiedName);
    checkChoice(errors, `${path}[${index}].status`, status, STATUSES);
  }
}

/** The rules of `successPolicy`, for a Job with indexes. */
export function checkSuccessPolicy(errors: FieldError[], path: string, spec: JobSpec): void {
  const rules = spec.successPolicy?.rules ?? [];
  if (rules.length === 0) errors.push(field.required(`${path}.rules`, "at least one rules must be specified when the successPolicy is specified"));
  if (rules.length > MAX_RULES) errors.push(field.tooMany(`${path}.rules`, rules.length, MAX_RULES));
  for (const [index, rule] of rules.entries()) checkSuccessRule(errors, `${path}.rules[${index}]`, rule, spec.completions ?? 0);
}

function checkSuccessRule(errors: FieldError[], path: string, { succeededIndexes, succeededCount }: SuccessRule, completions: number): void {
  if (succeededIndexes === undefined && succeededCount === undefined) errors.push(field.required(path, "at least one of succeededCount or succeededIndexes must be specified"));
  let total = 0;
  if (succeededIndexes !== undefined) {
    if (succeededIndexes.length > MAX_INDEXES_LENGTH) errors.push(field.tooLong(`${path}.succeededIndexes`, MAX_INDEXES_LENGTH));
    try {
      total = countOf(parseIndexes(succeededIndexes, completions));
    } catch (error) {
      if (!(error instanceof IndexesError)) throw error;
      errors.push(field.invalid(`${path}.succeededIndexes`, succeededIndexes, `error parsing succeededIndexes: ${error.message}`));
    }
  }
  if (succeededCount === undefined) return;
  const at = `${path}.succeededCount`;
  checkNonNegative(errors, at, succeededCount);
  if (succeededCount > completions) errors.push(field.invalid(at, succeededCount, `must be less than or equal to ${completions} (the number of specified completions)`));
  if (succeededIndexes !== undefined && succeededCount > total) errors.push(field.invalid(at, succeededCount, `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`));
}

function checkChoice(errors: FieldError[], path: string, value: string | undefined, choices: readonly string[]): void {
  if (!value) errors.push(field.required(path, `valid values: ${quoted(choices)}`));
  else if (!choices.includes(value)) errors.push(field.notSupported(path, value, choices));
}

// A Go list of quoted words.
const quoted = (words: readonly string[]): string => `[${words.map((word) => JSON.stringify(word)).join(" ")}]`;
