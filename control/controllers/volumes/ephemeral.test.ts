import { afterEach, beforeEach, expect, test } from "bun:test";
import type { PersistentVolumeClaim, Pod } from "../../../api/types.ts";
import { becomes, TestCluster } from "../cluster.suite.ts";
import { PERSISTENT_VOLUME_CLAIM as PVC, POD } from "../kinds.ts";
import { ephemeralVolumeController } from "./ephemeral.ts";

let cluster: TestCluster;
beforeEach(async () => {
  cluster = new TestCluster();
  await cluster.start(ephemeralVolumeController);
});
afterEach(() => cluster.stop());

const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
const aPod = (): Promise<unknown> => cluster.create<Pod>(POD, { metadata: { name: "p", namespace: "default" }, spec: { containers: [], volumes: [{ name: "scratch", ephemeral: { volumeClaimTemplate: { metadata: { labels: { a: "b" } }, spec } } }, { name: "other", emptyDir: {} }] } });
const claims = (): Promise<PersistentVolumeClaim[]> => cluster.list<PersistentVolumeClaim>(PVC);

test("a pod gets the claim its volume describes, owned by it, and again when it is taken away", async () => {
  await aPod();
  await becomes(async () => (await claims()).map(({ metadata: { name, labels, ownerReferences }, spec }) => ({ name, labels, owner: ownerReferences?.[0]?.name, spec })), [{ name: "p-scratch", labels: { a: "b" }, owner: "p", spec }]);
  const [first] = await claims();
  await cluster.client.delete(PVC, { name: "p-scratch", namespace: "default" });
  await becomes(async () => (await claims()).filter(({ metadata }) => metadata.uid !== first?.metadata.uid).length, 1);
});

test("somebody else's claim of that name is not taken", async () => {
  await cluster.create<PersistentVolumeClaim>(PVC, { metadata: { name: "p-scratch", namespace: "default" }, spec });
  await Bun.sleep(10);
  await aPod();
  await becomes(() => cluster.events[0], "FailedBinding: ephemeral volume scratch: PVC default/p-scratch was not created for pod default/p (pod is not owner)");
  expect(await claims()).toHaveLength(1);
});
