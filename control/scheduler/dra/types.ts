// The words of dynamic resource allocation: parts of the API's objects under short names, and how a device is identified.
import type { DeviceClass, ResourceClaim, ResourceSlice, Stored } from "../../../api/types.ts";

export type Claim = Stored<ResourceClaim>;
export type Class = Stored<DeviceClass>;
export type Slice = Stored<ResourceSlice>;
export type SliceSpec = NonNullable<Slice["spec"]>;
export type Device = NonNullable<SliceSpec["devices"]>[number];
export type Capacities = NonNullable<Device["capacity"]>;
export type Request = NonNullable<NonNullable<NonNullable<Claim["spec"]>["devices"]>["requests"]>[number];
export type Constraint = NonNullable<NonNullable<NonNullable<Claim["spec"]>["devices"]>["constraints"]>[number];
export type Allocation = NonNullable<NonNullable<Claim["status"]>["allocation"]>;
export type NodeSelector = NonNullable<Allocation["nodeSelector"]>;

/** What identifies a device in the cluster: `driver/pool/device`. */
export type DeviceId = string;

export const deviceId = ({ driver, pool, device }: { driver: string; pool: string; device: string }): DeviceId => `${driver}/${pool}/${device}`;

/** Keeps a claim from vanishing while devices are allocated to it. */
export const FINALIZER = "resource.kubernetes.io/delete-protection";
/** How many devices one claim may get. */
export const MAX_RESULTS = 32;

/** Allocation cannot go on: what a claim, a class or a pool says makes no sense. Not a matter of other nodes. */
export class AllocationError extends Error {
  override readonly name = "AllocationError";
}
