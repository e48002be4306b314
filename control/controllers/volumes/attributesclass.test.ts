import { afterEach, beforeEach, expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { PersistentVolumeClaim, VolumeAttributesClass } from "../../../api/types.ts";
import { becomes, TestCluster } from "../cluster.suite.ts";
import { PERSISTENT_VOLUME_CLAIM as PVC } from "../kinds.ts";
import { volumeAttributesClassProtectionController } from "./attributesclass.ts";

const CLASS = builtinKind("storage.k8s.io", "v1", "VolumeAttributesClass");
let cluster: TestCluster;
beforeEach(async () => {
  cluster = new TestCluster();
  await cluster.start(volumeAttributesClassProtectionController);
});
afterEach(() => cluster.stop());

test("a class stays until the last claim has another", async () => {
  await cluster.create<VolumeAttributesClass>(CLASS, { metadata: { name: "fast" }, driverName: "d.example.com" });
  await becomes(async () => (await cluster.get<VolumeAttributesClass>(CLASS, "fast")).metadata.finalizers, ["kubernetes.io/vac-protection"]);
  await cluster.create<PersistentVolumeClaim>(PVC, { metadata: { name: "data", namespace: "default" }, spec: { volumeAttributesClassName: "fast" } });
  await cluster.client.delete(CLASS, { name: "fast" });
  await Bun.sleep(20);
  expect((await cluster.list(CLASS)).length).toBe(1);
  await cluster.change<PersistentVolumeClaim>(PVC, "data", (claim) => { claim.spec = { ...claim.spec, volumeAttributesClassName: "slow" }; });
  await becomes(async () => (await cluster.list(CLASS)).length, 0);
});
