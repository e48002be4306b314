// How much of a shared device a request takes: asked amounts rounded up to what the device allows, and whether they fit.
// Rules: k8s.io/dynamic-resource-allocation/structured (consumable capacity).
import { compareQuantities, parseQuantity, wholeValue, quantityOf, type Quantity } from "../../../api/quantity.ts";
import type { Capacities } from "./types.ts";

type Capacity = Capacities[string];
type Policy = NonNullable<Capacity["requestPolicy"]>;
type Asked = Readonly<Record<string, string>>;

/** Amounts by name, in billionths. */
export type Consumed = ReadonlyMap<string, bigint>;

/** What a request takes of each capacity of a device; undefined when it may not ask for that. */
export function consumption(capacities: Capacities | undefined, asked: Asked | undefined): ReadonlyMap<string, Quantity> | undefined {
  if (Object.keys(asked ?? {}).some((name) => capacities?.[name] === undefined)) return undefined;
  const consumed = new Map<string, Quantity>();
  for (const [name, capacity] of Object.entries(capacities ?? {})) {
    const amount = amountOf(capacity, asked?.[name]);
    if (violates(amount, capacity.requestPolicy)) return undefined;
    consumed.set(name, amount);
  }
  return consumed;
}

/** Whether that fits beside what is taken already. */
export function fits(capacities: Capacities | undefined, consumed: ReadonlyMap<string, Quantity>, taken: readonly (Consumed | undefined)[]): boolean {
  for (const [name, amount] of consumed) {
    const total = taken.reduce((sum, each) => sum + (each?.get(name) ?? 0n), amount.nano);
    if (total > parseQuantity(capacities?.[name]?.value ?? "0").nano) return false;
  }
  return true;
}

function amountOf({ value, requestPolicy }: Capacity, asked: string | undefined): Quantity {
  if (asked === undefined) return parseQuantity(requestPolicy?.default ?? value);
  const amount = parseQuantity(asked);
  if (requestPolicy?.validRange) return roundedInRange(amount, requestPolicy.validRange);
  const enough = requestPolicy?.validValues?.map((text) => parseQuantity(text)).find((valid) => compareQuantities(amount, valid) <= 0);
  return enough ?? amount;
}

function roundedInRange(amount: Quantity, { min, step }: NonNullable<Policy["validRange"]>): Quantity {
  const least = parseQuantity(min);
  if (compareQuantities(amount, least) < 0) return least;
  if (!step) return amount;
  const [from, by] = [wholeValue(least), wholeValue(parseQuantity(step))];
  return quantityOf(from + Math.ceil((wholeValue(amount) - from) / by) * by, "BinarySI");
}

function violates(amount: Quantity, policy: Policy | undefined): boolean {
  if (!policy || (policy.default !== undefined && compareQuantities(amount, parseQuantity(policy.default)) === 0)) return false;
  const { validRange, validValues } = policy;
  if (validRange) {
    const { min, max, step } = validRange;
    if (max !== undefined && compareQuantities(amount, parseQuantity(max)) > 0) return true;
    return step !== undefined && (wholeValue(amount) - wholeValue(parseQuantity(min))) % wholeValue(parseQuantity(step)) !== 0;
  }
  return validValues !== undefined && validValues.length > 0 && !validValues.some((valid) => compareQuantities(parseQuantity(valid), amount) === 0);
}
