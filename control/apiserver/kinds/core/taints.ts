// Rules for taints of nodes.
import { field, type FieldError } from "../../../../api/errors.ts";
import { labelKeyErrors, labelValueErrors } from "../../../../api/labels.ts";
import type { Taint } from "../../../../api/types.ts";
import { checkOneOf } from "../validation/values.ts";

export const TAINT_EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/** Keys, values, effects, and each pair of key and effect once. */
export function checkTaints(errors: FieldError[], path: string, taints: readonly Taint[] | undefined): void {
  const seen = new Set<string>();
  for (const [index, taint] of (taints ?? []).entries()) {
    const at = `${path}[${index}]`;
    for (const sentence of labelKeyErrors(taint.key)) errors.push(field.invalid(`${at}.key`, taint.key, sentence));
    const valueErrors = labelValueErrors(taint.value ?? "");
    if (valueErrors.length > 0) errors.push(field.invalid(`${at}.value`, taint.value, valueErrors.join(";")));
    checkOneOf(errors, `${at}.effect`, taint.effect, TAINT_EFFECTS);
    const pair = `${taint.effect}/${taint.key}`;
    if (seen.has(pair)) errors.push({ ...field.duplicate(at, taint), message: `Duplicate value: ${JSON.stringify(taint)}: taints must be unique by key and effect pair` });
    seen.add(pair);
  }
}
