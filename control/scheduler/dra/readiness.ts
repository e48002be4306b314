// Devices that must be made ready for a node before a pod is bound to it: what their drivers say of that in the claim.
// Conditions: BindingConditions and BindingFailureConditions of the allocated devices.
import type { Claim } from "./types.ts";

/** `ready` is also what devices without such conditions are; a failure says why. */
export type Readiness = "ready" | "waiting" | { readonly failed: string };

/** What the drivers of a claim's devices say. */
export function readinessOf({ metadata, status }: Claim): Readiness {
  if (!status?.allocation) return "waiting";
  for (const result of status.allocation.devices?.results ?? []) {
    if (!result.bindingConditions?.length) continue;
    const device = status.devices?.find((each) => each.driver === result.driver && each.pool === result.pool && each.device === result.device);
    const conditionOf = (type: string) => device?.conditions?.find((condition) => condition.type === type && condition.status === "True");
    const failed = (result.bindingFailureConditions ?? []).map(conditionOf).find((condition) => condition !== undefined);
    if (failed) return { failed: `device binding failed: claim=${metadata.name}, reason=${failed.reason}, message=${JSON.stringify(failed.message)}` };
    if (!result.bindingConditions.every(conditionOf)) return "waiting";
  }
  return "ready";
}

/** Whether any device of the claim must be made ready. */
export function needsReadying({ status }: Claim): boolean {
  return (status?.allocation?.devices?.results ?? []).some((result) => (result.bindingConditions?.length ?? 0) > 0);
}

/** Whether the devices had their time. */
export function isLate(claim: Claim, now: number, timeoutMs: number): boolean {
  const since = claim.status?.allocation?.allocationTimestamp;
  return since !== undefined && needsReadying(claim) && Date.parse(since) + timeoutMs < now;
}
