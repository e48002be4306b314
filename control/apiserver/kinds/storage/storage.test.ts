import { afterAll, beforeAll, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, Stored } from "../../../../api/types.ts";
import type { TestServer } from "../../testing.ts";
import { refusal, startKindServer } from "../testing.ts";
import { storageClassStrategy } from "./classes.ts";
import { csiDriverStrategy } from "./csi.ts";

const GROUP = "storage.k8s.io";
let server: TestServer;
let made = 0;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

const create = (kind: string, fields: object): Promise<Stored<AnyObject>> => {
  const known = builtinKind(GROUP, "v1", kind);
  return server.client.create<AnyObject>(known, { metadata: { name: `s${++made}`, ...(known.namespaced && { namespace: "default" }) }, ...fields });
};
const update = (kind: string, object: AnyObject, subresource?: string): Promise<Stored<AnyObject>> => server.client.update(builtinKind(GROUP, "v1", kind), object, subresource === undefined ? {} : { subresource });

test("a storage class keeps who provisions what", async () => {
  const made = await create("StorageClass", { provisioner: "example.com/disk", parameters: { type: "ssd" } });
  expect(made).toMatchObject({ reclaimPolicy: "Delete", volumeBindingMode: "Immediate" });
  expect(await refusal(update("StorageClass", { ...made, parameters: { type: "hdd" } }))).toContain("parameters: Invalid value:");
  expect((await update("StorageClass", { ...made, allowVolumeExpansion: true }))["allowVolumeExpansion"]).toBe(true);
  expect(await refusal(create("StorageClass", { provisioner: "" }))).toContain("provisioner: Required value");
  expect(await refusal(create("StorageClass", { provisioner: "p", volumeBindingMode: "Later" }))).toContain('volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"');
  expect(await refusal(create("StorageClass", { provisioner: "p", allowedTopologies: [{ matchLabelExpressions: [{ key: "zone", values: [] }] }] }))).toContain("allowedTopologies[0].matchLabelExpressions[0].values: Required value");
  expect(storageClassStrategy.printer?.cells({ ...made, metadata: { name: "s", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } } }, 0).slice(0, 5)).toEqual(["s (default)", "example.com/disk", "Delete", "Immediate", false]);
});

test("a class of attributes has some, for life", async () => {
  const made = await create("VolumeAttributesClass", { driverName: "d.example.com", parameters: { iops: "1" } });
  expect(await refusal(update("VolumeAttributesClass", { ...made, parameters: { iops: "2" } }))).toContain("parameters: Forbidden: updates to parameters are forbidden.");
  expect(await refusal(create("VolumeAttributesClass", { driverName: "d" }))).toContain("parameters: Required value: must contain at least one key/value pair");
});

test("a driver counts its changes and says once how it attaches", async () => {
  const made = await create("CSIDriver", { spec: {} });
  expect(made["spec"]).toEqual({ attachRequired: true, fsGroupPolicy: "ReadWriteOnceWithFSType", podInfoOnMount: false, requiresRepublish: false, seLinuxMount: false, storageCapacity: false, volumeLifecycleModes: ["Persistent"] });
  expect(made.metadata.generation).toBeUndefined();
  expect((await update("CSIDriver", { ...made, spec: { ...made["spec"], podInfoOnMount: true } })).metadata.generation).toBe(1);
  expect(await refusal(update("CSIDriver", { ...made, spec: { ...made["spec"], attachRequired: false }, metadata: { ...made.metadata, resourceVersion: (await server.client.get(builtinKind(GROUP, "v1", "CSIDriver"), { name: made.metadata.name })).metadata.resourceVersion } }))).toContain("spec.attachedRequired: Invalid value: false: field is immutable");
  expect(await refusal(create("CSIDriver", { spec: { tokenRequests: [{ audience: "a", expirationSeconds: 5 }] } }))).toContain("may not specify a duration less than 10 minutes");
  expect(csiDriverStrategy.printer?.cells(made, 0).slice(1, 7)).toEqual([true, false, false, "<unset>", false, "Persistent"]);
});

test("a node's drivers differ in name and keep their identity", async () => {
  const driver = { name: "d.example.com", nodeID: "n1", topologyKeys: ["zone"] };
  const made = await create("CSINode", { spec: { drivers: [driver] } });
  expect(await refusal(update("CSINode", { ...made, spec: { drivers: [{ ...driver, nodeID: "n2" }] } }))).toContain("spec.drivers: Invalid value");
  await update("CSINode", { ...made, spec: { drivers: [{ ...driver, allocatable: { count: 3 } }] } });
  expect(await refusal(create("CSINode", { spec: { drivers: [driver, driver] } }))).toContain('spec.drivers[1].name: Duplicate value: "d.example.com"');
});

test("an attachment is of one volume and never moves", async () => {
  const spec = { attacher: "d.example.com", nodeName: "n", source: { persistentVolumeName: "pv" } };
  const made = await create("VolumeAttachment", { spec });
  expect(await refusal(update("VolumeAttachment", { ...made, spec: { ...spec, nodeName: "m" } }))).toContain("spec: Invalid value");
  expect((await update("VolumeAttachment", { ...made, status: { attached: true } }, "status"))["status"]).toEqual({ attached: true });
  expect(await refusal(create("VolumeAttachment", { spec: { ...spec, source: {} } }))).toContain("spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName");
});

test("room is reported for one class in one place", async () => {
  const made = await create("CSIStorageCapacity", { storageClassName: "fast", capacity: "1Gi" });
  expect(await refusal(update("CSIStorageCapacity", { ...made, storageClassName: "slow" }))).toContain('storageClassName: Invalid value: "slow": field is immutable');
  expect(await refusal(create("CSIStorageCapacity", { storageClassName: "fast", capacity: "-1" }))).toContain("capacity: Invalid value");
});
