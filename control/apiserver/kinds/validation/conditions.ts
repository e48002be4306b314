// Rules for the conditions of a status, where a kind has those every newer kind has.
import { field, type FieldError } from "../../../../api/errors.ts";
import { check, patternSentence, qualifiedName } from "./names.ts";
import { repeatsOf } from "./values.ts";

const STATUSES = ["False", "True", "Unknown"];
const REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const REASON_PATTERN = new RegExp(`^${REASON}$`);
const MAX_REASON = 1024;
const MAX_MESSAGE = 32 * 1024;

export interface StatusCondition {
  readonly type: string;
  readonly status: string;
  readonly observedGeneration?: number | undefined;
  readonly lastTransitionTime?: string | undefined;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
}

/** Each type once, each condition complete. */
export function checkConditions(errors: FieldError[], path: string, conditions: readonly StatusCondition[] = []): void {
  const repeats = repeatsOf(conditions, ({ type }) => type);
  for (const [index, condition] of conditions.entries()) {
    if (repeats.has(index)) errors.push(field.duplicate(`${path}[${index}].type`, condition.type));
    checkCondition(errors, `${path}[${index}]`, condition);
  }
}

function checkCondition(errors: FieldError[], path: string, { type, status, observedGeneration, lastTransitionTime, reason, message = "" }: StatusCondition): void {
  check(errors, `${path}.type`, type ?? "", qualifiedName);
  if (!STATUSES.includes(status)) errors.push(field.notSupported(`${path}.status`, status ?? "", STATUSES));
  if ((observedGeneration ?? 0) < 0) errors.push(field.invalid(`${path}.observedGeneration`, observedGeneration, "must be greater than or equal to zero"));
  if (!lastTransitionTime) errors.push(field.required(`${path}.lastTransitionTime`));
  if (!reason) errors.push(field.required(`${path}.reason`));
  else if (!REASON_PATTERN.test(reason)) {
    const rule = "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
    errors.push(field.invalid(`${path}.reason`, reason, patternSentence(rule, REASON, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")));
  }
  if ((reason?.length ?? 0) > MAX_REASON) errors.push(field.tooLong(`${path}.reason`, MAX_REASON));
  if (message.length > MAX_MESSAGE) errors.push(field.tooLong(`${path}.message`, MAX_MESSAGE));
}
