// Taints of devices and who tolerates them: as with nodes, what is left out matches everything.
// Rules: k8s.io/dynamic-resource-allocation/resourceclaim.
import type { ResourceClaim, ResourceSlice } from "./types.ts";

type Device = NonNullable<NonNullable<ResourceSlice["spec"]>["devices"]>[number];
type Allocation = NonNullable<NonNullable<ResourceClaim["status"]>["allocation"]>;
export type DeviceTaint = NonNullable<Device["taints"]>[number];
export type AllocatedDevice = NonNullable<NonNullable<Allocation["devices"]>["results"]>[number];
export type DeviceToleration = NonNullable<AllocatedDevice["tolerations"]>[number];

/** Whether the toleration covers the taint; for how long is another matter. */
export function toleratesDeviceTaint({ key, operator, value, effect }: DeviceToleration, taint: DeviceTaint): boolean {
  if (effect && effect !== taint.effect) return false;
  if (key && key !== taint.key) return false;
  if (operator === "Exists") return true;
  return (operator ?? "Equal") === "Equal" && (value ?? "") === (taint.value ?? "");
}
