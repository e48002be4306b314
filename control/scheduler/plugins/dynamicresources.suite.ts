// What tests of devices share: a cluster of nodes whose devices a driver published, and claims for them.
import { builtinKind } from "../../../api/registry.ts";
import type { DeviceClass, Pod, ResourceClaim, ResourceSlice } from "../../../api/types.ts";
import { aNode, aPod, NODE, type FakeApi } from "../fakes.ts";
import { start } from "../harness.ts";

export const CLAIM = builtinKind("resource.k8s.io", "v1", "ResourceClaim");
export const CLASS = builtinKind("resource.k8s.io", "v1", "DeviceClass");
export const SLICE = builtinKind("resource.k8s.io", "v1", "ResourceSlice");
export const DRIVER = "gpu.example.com";

export type ClaimSpec = NonNullable<ResourceClaim["spec"]>;
export type Requests = NonNullable<NonNullable<ClaimSpec["devices"]>["requests"]>;
export type SliceSpec = NonNullable<ResourceSlice["spec"]>;
export type Devices = NonNullable<SliceSpec["devices"]>;

export const ofClass = (exact: Partial<NonNullable<Requests[number]["exactly"]>> = {}): Requests => [{ name: "gpu", exactly: { deviceClassName: "gpu", allocationMode: "ExactCount", count: 1, ...exact } }];

export function aClass(name = "gpu", spec: DeviceClass["spec"] = {}): DeviceClass {
  return { metadata: { name }, spec: { selectors: [{ cel: { expression: `device.driver == "${DRIVER}"` } }], ...spec } };
}

export function aClaim(name: string, requests: Requests = ofClass(), more: Partial<NonNullable<ClaimSpec["devices"]>> = {}): ResourceClaim {
  return { metadata: { name, namespace: "default" }, spec: { devices: { requests, ...more } } };
}

export function aSlice(nodeName: string, devices: Devices, spec: Partial<SliceSpec> = {}): ResourceSlice {
  return { metadata: { name: `slice-${nodeName}-${spec.pool?.generation ?? 1}` }, spec: { driver: DRIVER, nodeName, pool: { name: nodeName, generation: 1, resourceSliceCount: 1 }, devices, ...spec } };
}

export const gpus = (count: number, attributes: Devices[number]["attributes"] = {}): Devices => Array.from({ length: count }, (_unused, i) => ({ name: `gpu-${i}`, attributes }));
export const using = (name: string, ...claims: string[]): Pod => aPod(name, { spec: { resourceClaims: claims.map((claim) => ({ name: claim, resourceClaimName: claim })) } });

export function cluster(...nodes: string[]): ReturnType<typeof start> {
  const started = start();
  for (const name of nodes) started.api.put(NODE, aNode(name));
  started.api.put(CLASS, aClass());
  return started;
}

export const claimOf = (api: FakeApi, name: string): ResourceClaim => api.for<ResourceClaim>(CLAIM).lister.get(`default/${name}`) as ResourceClaim;
export const devicesOf = (api: FakeApi, name: string): string[] => (claimOf(api, name).status?.allocation?.devices?.results ?? []).map(({ pool, device }) => `${pool}/${device}`);
export const whyWaiting = (api: FakeApi, name: string): string | undefined => api.pod(`default/${name}`).status?.conditions?.find((c) => c.type === "PodScheduled")?.message;
