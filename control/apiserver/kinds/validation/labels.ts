// Rules for labels and label selectors inside specs, in upstream's words.
import { field, type FieldError } from "../../../../api/errors.ts";
import { labelKeyErrors, labelValueErrors } from "../../../../api/labels.ts";
import type { LabelSelector } from "../../../../api/types.ts";

/** Keys and values of a map of labels. */
export function checkLabels(errors: FieldError[], path: string, labels: Readonly<Record<string, string>>): void {
  for (const key in labels) {
    const value = labels[key] as string;
    for (const sentence of labelKeyErrors(key)) errors.push(field.invalid(path, key, sentence));
    for (const sentence of labelValueErrors(value)) errors.push(field.invalid(path, value, sentence));
  }
}

/** A label selector's keys, operators and values. */
export function checkSelector(errors: FieldError[], path: string, selector: LabelSelector | undefined): void {
  if (!selector) return;
  if (selector.matchLabels) checkLabels(errors, `${path}.matchLabels`, selector.matchLabels);
  for (const [index, { key, operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
    const at = `${path}.matchExpressions[${index}]`;
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0) errors.push(field.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0) errors.push(field.forbidden(`${at}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    } else errors.push(field.invalid(`${at}.operator`, operator, "not a valid selector operator"));
    for (const sentence of labelKeyErrors(key)) errors.push(field.invalid(`${at}.key`, key, sentence));
    for (const [valueIndex, value] of values.entries()) for (const sentence of labelValueErrors(value)) errors.push(field.invalid(`${at}.values[${valueIndex}]`, value, sentence));
  }
}

/** Whether a selector selects everything. */
export function isEmptySelector(selector: LabelSelector | undefined): boolean {
  return Object.keys(selector?.matchLabels ?? {}).length + (selector?.matchExpressions?.length ?? 0) === 0;
}
