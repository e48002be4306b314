import { afterEach, describe, expect, test } from "bun:test";
import type { Node, PersistentVolume, PersistentVolumeClaim, StorageClass, Stored } from "../../../api/types.ts";
import { becomes, consistently, eventually, TestCluster } from "../cluster.suite.ts";
import { NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS } from "../kinds.ts";
import { persistentVolumeBinder } from "./binder.ts";
import { localPathProvisioner } from "./localpath.ts";

const clusters: TestCluster[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
async function aCluster(...controllers: Parameters<TestCluster["start"]>): Promise<TestCluster> {
  const cluster = new TestCluster();
  clusters.push(cluster);
  await cluster.start(persistentVolumeBinder, ...controllers);
  return cluster;
}
const aVolume = (cluster: TestCluster, name: string, storage: string, spec: Partial<PersistentVolume["spec"]> = {}): Promise<Stored<PersistentVolume>> =>
  cluster.create<PersistentVolume>(PERSISTENT_VOLUME, { metadata: { name, labels: { name } }, spec: { capacity: { storage }, accessModes: ["ReadWriteOnce"], persistentVolumeReclaimPolicy: "Retain", storageClassName: "", ...spec } });
const aClaim = (cluster: TestCluster, name: string, spec: Partial<PersistentVolumeClaim["spec"]> = {}): Promise<Stored<PersistentVolumeClaim>> =>
  cluster.create<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, { metadata: { name, namespace: "default" }, spec: { accessModes: ["ReadWriteOnce"], storageClassName: "", resources: { requests: { storage: "5Gi" } }, ...spec } });
const volume = (cluster: TestCluster, name: string): Promise<Stored<PersistentVolume>> => cluster.get<PersistentVolume>(PERSISTENT_VOLUME, name);
const claim = (cluster: TestCluster, name: string): Promise<Stored<PersistentVolumeClaim>> => cluster.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, name);
const bound = async (cluster: TestCluster, name: string): Promise<unknown[]> => [(await claim(cluster, name)).status?.phase, (await claim(cluster, name)).spec?.volumeName];

describe("claims and volumes", () => {
  test("a claim gets the smallest volume that suits, and both say so", async () => {
    const cluster = await aCluster();
    for (const [name, storage] of [["small", "1Gi"], ["fits", "8Gi"], ["large", "100Gi"]] as const) await aVolume(cluster, name, storage);
    await aVolume(cluster, "other-class", "5Gi", { storageClassName: "fast" });
    await becomes(async () => (await volume(cluster, "fits")).status?.phase, "Available");
    const { metadata: { uid } } = await aClaim(cluster, "data");
    await becomes(() => bound(cluster, "data"), ["Bound", "fits"]);
    expect((await claim(cluster, "data")).status).toMatchObject({ accessModes: ["ReadWriteOnce"], capacity: { storage: "8Gi" } });
    expect((await claim(cluster, "data")).metadata.annotations).toEqual({ "pv.kubernetes.io/bound-by-controller": "yes", "pv.kubernetes.io/bind-completed": "yes" });
    expect((await volume(cluster, "fits")).spec?.claimRef).toMatchObject({ kind: "PersistentVolumeClaim", namespace: "default", name: "data", uid });
    await becomes(async () => (await volume(cluster, "fits")).status?.phase, "Bound");
  });

  test("one volume is never given to two claims", async () => {
    const cluster = await aCluster();
    await aVolume(cluster, "only", "8Gi");
    for (const name of ["a", "b", "c"]) await aClaim(cluster, name);
    const phases = async (): Promise<(string | undefined)[]> => (await Promise.all(["a", "b", "c"].map((name) => claim(cluster, name)))).map((c) => c.status?.phase).toSorted();
    await becomes(phases, ["Bound", "Pending", "Pending"]);
    expect(cluster.events).toContain("FailedBinding: no persistent volumes available for this claim and no storage class is set");
    await aVolume(cluster, "another", "8Gi");
    await becomes(phases, ["Bound", "Bound", "Pending"]);
  });

  test("labels, a name in the claim and a reservation in the volume are honoured", async () => {
    const cluster = await aCluster();
    await aVolume(cluster, "plain", "5Gi");
    await aVolume(cluster, "labelled", "50Gi");
    await aVolume(cluster, "named", "60Gi");
    await aVolume(cluster, "reserved", "70Gi", { claimRef: { namespace: "default", name: "chosen" } });
    await aClaim(cluster, "by-label", { selector: { matchLabels: { name: "labelled" } } });
    await aClaim(cluster, "by-name", { volumeName: "named" });
    await aClaim(cluster, "chosen");
    await becomes(() => bound(cluster, "by-label"), ["Bound", "labelled"]);
    await becomes(() => bound(cluster, "by-name"), ["Bound", "named"]);
    await becomes(() => bound(cluster, "chosen"), ["Bound", "reserved"]);
  });

  test("a claim that goes releases its volume; a volume that goes loses its claim", async () => {
    const cluster = await aCluster();
    await aVolume(cluster, "pv", "8Gi");
    await aClaim(cluster, "data");
    await becomes(() => bound(cluster, "data"), ["Bound", "pv"]);
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIM, { namespace: "default", name: "data" });
    await becomes(async () => (await volume(cluster, "pv")).status?.phase, "Released");
    await aVolume(cluster, "pv2", "8Gi");
    await aClaim(cluster, "data2");
    await becomes(() => bound(cluster, "data2"), ["Bound", "pv2"]);
    await cluster.client.delete(PERSISTENT_VOLUME, { name: "pv2" });
    await becomes(async () => (await claim(cluster, "data2")).status?.phase, "Lost");
    expect(cluster.events).toContain("ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!");
  });

  test("a restart between any two of the four writes finishes the binding", async () => {
    for (let failAt = 1; failAt <= 4; failAt++) {
      const cluster = await aCluster();
      await aVolume(cluster, "pv", "8Gi");
      await becomes(async () => (await volume(cluster, "pv")).status?.phase, "Available");
      let writes = 0;
      cluster.client.intercept = ({ verb }) => {
        if (verb === "update" && ++writes >= failAt) throw new Error("crashed");
      };
      await aClaim(cluster, "data");
      await eventually(() => writes >= failAt);
      await cluster.crash();
      cluster.client.intercept = () => undefined;
      await cluster.start(persistentVolumeBinder);
      await becomes(() => bound(cluster, "data"), ["Bound", "pv"]);
      await becomes(async () => (await volume(cluster, "pv")).status?.phase, "Bound");
    }
  });

  test("a claim of an external class says who is to make its volume", async () => {
    const cluster = await aCluster();
    await cluster.create<StorageClass>(STORAGE_CLASS, { metadata: { name: "fast" }, provisioner: "example.com/disks", volumeBindingMode: "Immediate" });
    await aClaim(cluster, "data", { storageClassName: "fast" });
    await becomes(async () => (await claim(cluster, "data")).metadata.annotations?.["volume.kubernetes.io/storage-provisioner"], "example.com/disks");
    expect(cluster.events.some((event) => event.startsWith("ExternalProvisioning: Waiting for a volume to be created either by the external provisioner 'example.com/disks'"))).toBe(true);
    await aClaim(cluster, "lost", { storageClassName: "nothing" });
    await eventually(() => cluster.events.includes('ProvisioningFailed: storageclass.storage.k8s.io "nothing" not found'));
  });
});

describe("local paths", () => {
  const select = (cluster: TestCluster, name: string, node: string): Promise<unknown> => cluster.client.patch(PERSISTENT_VOLUME_CLAIM, { namespace: "default", name }, { metadata: { annotations: { "volume.kubernetes.io/selected-node": node } } }, { type: "merge" });

  test("a claim without a class gets the default one, waits for its pod's node, and then a directory there", async () => {
    const cluster = await aCluster(localPathProvisioner);
    await cluster.create<Node>(NODE, { metadata: { name: "n1", labels: { "kubernetes.io/hostname": "n1" } } });
    const { metadata: { uid } } = await aClaim(cluster, "data", { storageClassName: undefined });
    await becomes(async () => (await claim(cluster, "data")).spec?.storageClassName, "local-path");
    await eventually(() => cluster.events.includes("WaitForFirstConsumer: waiting for first consumer to be created before binding"));
    await consistently(async () => (await cluster.list(PERSISTENT_VOLUME)).length === 0);
    await select(cluster, "data", "n1");
    await becomes(() => bound(cluster, "data"), ["Bound", `pvc-${uid}`]);
    const made = await volume(cluster, `pvc-${uid}`);
    expect(made.spec).toMatchObject({ capacity: { storage: "5Gi" }, persistentVolumeReclaimPolicy: "Delete", storageClassName: "local-path", hostPath: { path: `/var/lib/minik8s/storage/pvc-${uid}_default_data`, type: "DirectoryOrCreate" } });
    expect(made.spec?.nodeAffinity?.required?.nodeSelectorTerms[0]?.matchExpressions?.[0]?.values).toEqual(["n1"]);
    expect(cluster.events).toContain(`ProvisioningSucceeded: Successfully provisioned volume pvc-${uid}`);
  });

  test("when the claim goes the volume goes as soon as its node has removed the data, or is gone itself", async () => {
    const cluster = await aCluster(localPathProvisioner);
    await cluster.create<Node>(NODE, { metadata: { name: "n1" } });
    const { metadata: { uid } } = await aClaim(cluster, "data", { storageClassName: "local-path" });
    await select(cluster, "data", "n1");
    await becomes(() => bound(cluster, "data"), ["Bound", `pvc-${uid}`]);
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIM, { namespace: "default", name: "data" });
    await eventually(async () => (await volume(cluster, `pvc-${uid}`)).metadata.deletionTimestamp !== undefined);
    expect((await volume(cluster, `pvc-${uid}`)).metadata.finalizers).toContain("minik8s.io/local-path");
    await cluster.client.delete(NODE, { name: "n1" });
    await eventually(async () => !(await volume(cluster, `pvc-${uid}`)).metadata.finalizers?.includes("minik8s.io/local-path"));
  });
});
