import { afterAll, beforeAll, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, Stored } from "../../../../api/types.ts";
import type { TestServer } from "../../testing.ts";
import { refusal, startKindServer } from "../testing.ts";
import { resourceClaimStrategy } from "./claims.ts";

const GROUP = "resource.k8s.io";
let server: TestServer;
let made = 0;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

const kindOf = (kind: string): ReturnType<typeof builtinKind> => builtinKind(GROUP, "v1", kind);
const create = (kind: string, spec: object): Promise<Stored<AnyObject>> => server.client.create<AnyObject>(kindOf(kind), { metadata: { name: `d${++made}`, ...(kindOf(kind).namespaced && { namespace: "default" }) }, spec });
const gpu = { name: "gpu", exactly: { deviceClassName: "gpus.example.com" } };

test("a claim asks for one device unless it says otherwise, for life", async () => {
  const claim = await create("ResourceClaim", { devices: { requests: [gpu] } });
  expect(claim["spec"].devices.requests).toEqual([{ name: "gpu", exactly: { deviceClassName: "gpus.example.com", allocationMode: "ExactCount", count: 1 } }]);
  expect(await refusal(server.client.update(kindOf("ResourceClaim"), { ...claim, spec: { devices: {} } }))).toContain("spec: Invalid value");
  expect(await refusal(create("ResourceClaim", { devices: { requests: [{ name: "gpu" }] } }))).toContain("spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required");
  expect(await refusal(create("ResourceClaim", { devices: { requests: [gpu], constraints: [{ requests: ["cpu"], matchAttribute: "example.com/numa" }] } }))).toContain('spec.devices.constraints[0].requests[0]: Invalid value: "cpu": must be the name of a request in the claim');
  expect(await refusal(create("ResourceClaim", { devices: { requests: [{ ...gpu, exactly: { ...gpu.exactly, selectors: [{}] } }] } }))).toContain("spec.devices.requests[0].exactly.selectors[0].cel: Required value");
});

test("a claim is reserved once it is allocated, and stays allocated the same", async () => {
  const claim = await create("ResourceClaim", { devices: { requests: [gpu] } });
  const setStatus = (object: AnyObject, status: object): Promise<Stored<AnyObject>> => server.client.update<AnyObject>(kindOf("ResourceClaim"), { ...object, status } as AnyObject, { subresource: "status" });
  const reservedFor = [{ resource: "pods", name: "p", uid: "u" }];
  expect(await refusal(setStatus(claim, { reservedFor }))).toContain("status.reservedFor: Forbidden: may not be specified when `allocated` is not set");
  const result = { request: "gpu", driver: "example.com", pool: "n1", device: "gpu-0" };
  const allocated = await setStatus(claim, { allocation: { devices: { results: [result] } }, reservedFor });
  expect(resourceClaimStrategy.printer?.cells(allocated, 0)[1]).toBe("allocated,reserved");
  expect(await refusal(setStatus(allocated, { ...allocated["status"], allocation: { devices: { results: [{ ...result, device: "gpu-1" }] } } }))).toContain("status.allocation: Invalid value");
  expect(await refusal(setStatus(allocated, { ...allocated["status"], devices: [{ driver: "example.com", pool: "n1", device: "gpu-7" }] }))).toContain("must be an allocated device in the claim");
});

test("a template makes claims of one shape", async () => {
  const template = await create("ResourceClaimTemplate", { spec: { devices: { requests: [gpu] } } });
  expect(template["spec"].spec.devices.requests[0].exactly.count).toBe(1);
  expect(await refusal(server.client.update(kindOf("ResourceClaimTemplate"), { ...template, spec: { spec: {} } }))).toContain("spec: Invalid value");
});

test("a class configures drivers with objects", async () => {
  expect((await create("DeviceClass", { config: [{ opaque: { driver: "example.com", parameters: { a: 1 } } }] })).metadata.generation).toBe(1);
  expect(await refusal(create("DeviceClass", { config: [{}] }))).toContain("spec.config[0].opaque: Required value");
  expect(await refusal(create("DeviceClass", { extendedResourceName: "cpu" }))).toContain("must be a valid extended resource name");
});

test("a slice says where its devices are, in one way", async () => {
  const pool = { name: "n1", generation: 1, resourceSliceCount: 1 };
  const device = { name: "gpu-0", attributes: { model: { string: "x" }, "example.com/version": { version: "1.2.3" } }, capacity: { memory: { value: "1Gi" } } };
  const slice = await create("ResourceSlice", { driver: "example.com", pool, nodeName: "n1", devices: [device] });
  expect(slice.metadata.generation).toBe(1);
  expect(await refusal(create("ResourceSlice", { driver: "example.com", pool, devices: [device] }))).toContain("spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required");
  expect(await refusal(create("ResourceSlice", { driver: "example.com", pool, nodeName: "n1", allNodes: true }))).toContain("but multiple fields are set");
  expect(await refusal(create("ResourceSlice", { driver: "example.com", pool, nodeName: "n1", devices: [{ ...device, attributes: { v: { version: "1.2" } } }] }))).toContain("must be a string compatible with semver.org spec 2.0.0");
  expect(await refusal(create("ResourceSlice", { driver: "example.com", pool, nodeName: "n1", devices: [device, device] }))).toContain('spec.devices[1]: Duplicate value: "gpu-0"');
  expect((await server.client.list(kindOf("ResourceSlice"), { fieldSelector: "spec.nodeName=n1" })).items).toHaveLength(1);
});
