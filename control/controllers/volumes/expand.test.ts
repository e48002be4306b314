import { afterEach, beforeEach, expect, test } from "bun:test";
import { LOCAL_PATH_PROVISIONER } from "../../../api/localpath.ts";
import type { PersistentVolume, PersistentVolumeClaim } from "../../../api/types.ts";
import { becomes, TestCluster } from "../cluster.suite.ts";
import { PERSISTENT_VOLUME as PV, PERSISTENT_VOLUME_CLAIM as PVC } from "../kinds.ts";
import { volumeExpander } from "./expand.ts";

let cluster: TestCluster;
beforeEach(async () => {
  cluster = new TestCluster();
  await cluster.start(volumeExpander);
});
afterEach(() => cluster.stop());

async function bound(provisioner: string): Promise<void> {
  const claim = await cluster.create<PersistentVolumeClaim>(PVC, { metadata: { name: "data", namespace: "default" }, spec: { volumeName: "pv", resources: { requests: { storage: "1Gi" } } }, status: { phase: "Bound", capacity: { storage: "1Gi" } } });
  await cluster.create<PersistentVolume>(PV, { metadata: { name: "pv", annotations: { "pv.kubernetes.io/provisioned-by": provisioner } }, spec: { capacity: { storage: "1Gi" }, claimRef: { name: "data", namespace: "default", uid: claim.metadata.uid } } });
}
const grow = (): Promise<unknown> => cluster.change<PersistentVolumeClaim>(PVC, "data", (claim) => { claim.spec = { ...claim.spec, resources: { requests: { storage: "2Gi" } } }; });
const sizes = async (): Promise<unknown[]> => [(await cluster.get<PersistentVolume>(PV, "pv")).spec?.capacity, (await cluster.get<PersistentVolumeClaim>(PVC, "data")).status?.capacity];

test("a claim on a local directory grows at once", async () => {
  await bound(LOCAL_PATH_PROVISIONER);
  await grow();
  await becomes(sizes, [{ storage: "2Gi" }, { storage: "2Gi" }]);
  await becomes(() => cluster.events, ["VolumeResizeSuccessful: Resize volume succeeded"]);
});

test("any other claim waits for its driver", async () => {
  await bound("example.com/driver");
  await grow();
  await becomes(() => cluster.events, ["ExternalExpanding: waiting for an external controller to expand this PVC"]);
  expect(await sizes()).toEqual([{ storage: "1Gi" }, { storage: "1Gi" }]);
});
