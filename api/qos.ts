// The quality-of-service class of a pod, as its requests and limits imply.
import { parseQuantity } from "./quantity.ts";
import type { PodSpec } from "./types.ts";

const COMPUTE = ["cpu", "memory"] as const;
type Totals = Map<string, bigint>;

/** `Guaranteed`, `Burstable` or `BestEffort`. */
export function qosClass(spec: PodSpec): string {
  const requests: Totals = new Map();
  const limits: Totals = new Map();
  const holders = spec.resources ? [spec] : [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  let isGuaranteed = true;
  for (const { resources } of holders) {
    add(requests, resources?.requests);
    if (add(limits, resources?.limits) < COMPUTE.length && (!spec.resources || resources?.limits)) isGuaranteed = false;
  }
  if (requests.size === 0 && limits.size === 0) return "BestEffort";
  const isEqual = requests.size === limits.size && [...requests].every(([name, amount]) => limits.get(name) === amount);
  return isGuaranteed && isEqual ? "Guaranteed" : "Burstable";
}

/** Adds what counts for the class; returns how many of the compute resources were there. */
function add(totals: Totals, list: Readonly<Record<string, string>> | undefined): number {
  let found = 0;
  if (!list) return found;
  for (const name of COMPUTE) {
    const amount = list[name];
    const nano = amount === undefined ? 0n : parseQuantity(amount).nano;
    if (nano <= 0n) continue;
    found++;
    totals.set(name, (totals.get(name) ?? 0n) + nano);
  }
  return found;
}
