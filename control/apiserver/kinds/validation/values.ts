// Small rules many kinds share: numbers, percentages, immutability, enumerations.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { IntOrString } from "../../../../api/types.ts";

export const IMMUTABLE = "field is immutable";

/** A number that may not be below zero; absent is fine. */
export function checkNonNegative(errors: FieldError[], path: string, value: number | undefined): void {
  if (value !== undefined && value < 0) errors.push(field.invalid(path, value, "must be greater than or equal to 0"));
}

/** A number that must be above zero; absent is fine. */
export function checkPositive(errors: FieldError[], path: string, value: number | undefined): void {
  if (value !== undefined && value <= 0) errors.push(field.invalid(path, value, "must be greater than 0"));
}

/** A value that must be one of a list; absent is a missing value. */
export function checkOneOf(errors: FieldError[], path: string, value: string | undefined, allowed: readonly string[]): void {
  if (!value) errors.push(field.required(path));
  else if (!allowed.includes(value)) errors.push(field.notSupported(path, value, allowed));
}

/** Like `checkOneOf`, for a field that may be left out. */
export function checkOptionalOneOf(errors: FieldError[], path: string, value: string | undefined, allowed: readonly string[]): void {
  if (value !== undefined && !allowed.includes(value)) errors.push(field.notSupported(path, value, allowed));
}

/** A field that may not change once the object exists. */
export function checkImmutable(errors: FieldError[], path: string, value: unknown, old: unknown): void {
  if (!isEqual(value, old)) errors.push(field.invalid(path, value, IMMUTABLE));
}

/** `5`, or `25%`; absent is fine. */
export function checkIntOrPercent(errors: FieldError[], path: string, value: IntOrString | undefined): void {
  if (value === undefined) return;
  if (typeof value === "number") checkNonNegative(errors, path, value);
  else if (!/^[0-9]+%$/.test(value)) errors.push(field.invalid(path, value, "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"));
}

/** A percentage of at most 100; anything else is somebody else's business. */
export function checkAtMost100Percent(errors: FieldError[], path: string, value: IntOrString | undefined): void {
  const percent = percentOf(value);
  if (percent !== undefined && percent > 100) errors.push(field.invalid(path, value, "must not be greater than 100%"));
}

/** The number in a number or a percentage. */
export function amountOf(value: IntOrString | undefined): number {
  return percentOf(value) ?? (typeof value === "number" ? value : 0);
}

/** The keys of an object whose values are there; `undefined` and absent are the same. */
export function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isNothing(a) && isNothing(b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => isEqual(item, b[index]));
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key in left) if (!isEqual(left[key], right[key])) return false;
  for (const key in right) if (!(key in left) && !isEqual(undefined, right[key])) return false;
  return true;
}

/** Absent, or a list or map with nothing in it: upstream compares them as equal. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return Array.isArray(value) && value.length === 0;
}

function percentOf(value: IntOrString | undefined): number | undefined {
  return typeof value === "string" && /^[0-9]+%$/.test(value) ? Number(value.slice(0, -1)) : undefined;
}

/** An object that is wrong as a whole: upstream shows no value then. */
export function wrong(path: string, detail: string): FieldError {
  return { field: path, reason: "FieldValueInvalid", message: `Invalid value: ${detail}` };
}

/** The places of items that were there before, by key; in one pass, however long the list. */
export function repeatsOf<T>(items: readonly T[], key: (item: T) => unknown = (item) => item): ReadonlySet<number> {
  const seen = new Set<unknown>();
  const repeats = new Set<number>();
  for (const [index, item] of items.entries()) {
    const name = key(item);
    if (seen.has(name)) repeats.add(index);
    seen.add(name);
  }
  return repeats;
}
