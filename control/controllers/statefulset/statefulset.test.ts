import { afterEach, describe, expect, test } from "bun:test";
import type { ControllerRevision, PersistentVolumeClaim, Pod, StatefulSet, Stored } from "../../../api/types.ts";
import { becomes, consistently, eventually, pretendKubelet, readyStatus, TestCluster } from "../cluster.suite.ts";
import { CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET } from "../kinds.ts";
import { statefulSetController } from "./statefulset.ts";

const clusters: TestCluster[] = [];
let kubelet = new AbortController();
afterEach(async () => {
  kubelet.abort();
  kubelet = new AbortController();
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
async function aCluster(runs: boolean | ((pod: Stored<Pod>) => boolean) = true): Promise<TestCluster> {
  const cluster = new TestCluster();
  clusters.push(cluster);
  await cluster.start(statefulSetController);
  if (runs !== false) void pretendKubelet(cluster.client, kubelet.signal, runs === true ? undefined : runs);
  return cluster;
}
const labels = { app: "db" };
const aSet = (replicas: number, spec: Partial<StatefulSet["spec"]> = {}, image = "v1"): StatefulSet => ({
  metadata: { name: "db", namespace: "default" },
  spec: {
    replicas, serviceName: "db", selector: { matchLabels: labels }, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
    podManagementPolicy: "OrderedReady", revisionHistoryLimit: 2,
    template: { metadata: { labels }, spec: { containers: [{ name: "c", image }] } }, ...spec,
  },
});
const withClaims: Partial<StatefulSet["spec"]> = { volumeClaimTemplates: [{ metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } }] };
const podsOf = (cluster: TestCluster): Promise<Stored<Pod>[]> => cluster.list<Pod>(POD);
const names = async (cluster: TestCluster): Promise<string[]> => (await podsOf(cluster)).map((pod) => pod.metadata.name).toSorted();
const claims = async (cluster: TestCluster): Promise<string[]> => (await cluster.list(PERSISTENT_VOLUME_CLAIM)).map((claim) => claim.metadata.name).toSorted();
const imagesOf = async (cluster: TestCluster): Promise<(string | undefined)[]> => (await podsOf(cluster)).toSorted((a, b) => a.metadata.name.localeCompare(b.metadata.name)).map((pod) => pod.spec?.containers[0]?.image);
const edit = (cluster: TestCluster, change: (spec: NonNullable<StatefulSet["spec"]>) => void): Promise<unknown> => cluster.change<StatefulSet>(STATEFUL_SET, "db", (set) => change(set.spec as NonNullable<StatefulSet["spec"]>));
const setImage = (cluster: TestCluster, image: string): Promise<unknown> => edit(cluster, (spec) => { spec.template = { metadata: { labels }, spec: { containers: [{ name: "c", image }] } }; });
const run = (cluster: TestCluster, name: string): Promise<unknown> => cluster.change<Pod>(POD, name, (pod) => { pod.status = readyStatus(pod, Date.now()); }, "status");

describe("a StatefulSet", () => {
  test("makes its pods one after the other, each when the one before is ready, with names and places of their own", async () => {
    const cluster = await aCluster(false);
    await cluster.create(STATEFUL_SET, aSet(3));
    await becomes(() => names(cluster), ["db-0"]);
    await consistently(async () => (await names(cluster)).length === 1);
    await run(cluster, "db-0");
    await becomes(() => names(cluster), ["db-0", "db-1"]);
    await run(cluster, "db-1");
    await becomes(() => names(cluster), ["db-0", "db-1", "db-2"]);
    const pod = await cluster.get<Pod>(POD, "db-1");
    expect(pod.spec).toMatchObject({ hostname: "db-1", subdomain: "db" });
    expect(pod.metadata.labels).toMatchObject({ app: "db", "statefulset.kubernetes.io/pod-name": "db-1", "apps.kubernetes.io/pod-index": "1" });
    const [revision] = await cluster.list<ControllerRevision>(CONTROLLER_REVISION);
    expect(pod.metadata.labels?.["controller-revision-hash"]).toBe(revision?.metadata.name as string);
    expect(cluster.events).toContain("SuccessfulCreate: Create Pod db-0 in StatefulSet db successful");
    await run(cluster, "db-2");
    await becomes(async () => (await cluster.get<StatefulSet>(STATEFUL_SET, "db")).status, {
      observedGeneration: 1, replicas: 3, readyReplicas: 3, availableReplicas: 3, currentReplicas: 3, updatedReplicas: 3,
      currentRevision: revision?.metadata.name as string, updateRevision: revision?.metadata.name as string, collisionCount: 0,
    });
  });

  test("scales down from the top, one by one", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(4));
    await eventually(async () => (await cluster.get<StatefulSet>(STATEFUL_SET, "db")).status?.readyReplicas === 4);
    const gone: string[] = [];
    cluster.client.intercept = ({ verb, kind, name, body }) => {
      if (verb === "delete" && kind === POD && (body as { gracePeriodSeconds?: number }).gracePeriodSeconds === undefined) gone.push(name);
    };
    await edit(cluster, (spec) => { spec.replicas = 1; });
    await becomes(() => names(cluster), ["db-0"]);
    expect(gone).toEqual(["db-3", "db-2", "db-1"]);
  });

  test("in parallel it makes all at once, from its first ordinal on", async () => {
    const cluster = await aCluster(false);
    await cluster.create(STATEFUL_SET, aSet(3, { podManagementPolicy: "Parallel", ordinals: { start: 5 } }));
    await becomes(() => names(cluster), ["db-5", "db-6", "db-7"]);
  });

  test("replaces a pod that failed or was deleted under the same name", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(2));
    await eventually(async () => (await names(cluster)).length === 2);
    const before = await cluster.get<Pod>(POD, "db-0");
    await cluster.change<Pod>(POD, "db-0", (pod) => { pod.status = { phase: "Failed" }; }, "status");
    await eventually(async () => (await podsOf(cluster)).some((pod) => pod.metadata.name === "db-0" && pod.metadata.uid !== before.metadata.uid));
  });

  test("rolls to a new template from the top down, and back", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(3));
    await eventually(async () => (await cluster.get<StatefulSet>(STATEFUL_SET, "db")).status?.readyReplicas === 3);
    await setImage(cluster, "v2");
    await becomes(() => imagesOf(cluster), ["v2", "v2", "v2"]);
    await eventually(async () => {
      const { status } = await cluster.get<StatefulSet>(STATEFUL_SET, "db");
      return status?.currentRevision === status?.updateRevision && status?.updatedReplicas === 3;
    });
    await setImage(cluster, "v1");
    await becomes(() => imagesOf(cluster), ["v1", "v1", "v1"]);
    expect((await cluster.list<ControllerRevision>(CONTROLLER_REVISION)).map(({ revision }) => revision).toSorted()).toEqual([2, 3]);
  });

  test("a partition holds back lower ordinals, which come back in their old revision", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(3));
    await eventually(async () => (await cluster.get<StatefulSet>(STATEFUL_SET, "db")).status?.readyReplicas === 3);
    await edit(cluster, (spec) => { spec.updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 2 } }; });
    await setImage(cluster, "v2");
    await becomes(() => imagesOf(cluster), ["v1", "v1", "v2"]);
    await cluster.client.delete(POD, { namespace: "default", name: "db-0" });
    await eventually(async () => (await names(cluster)).length === 3);
    await consistently(async () => Bun.deepEquals(await imagesOf(cluster), ["v1", "v1", "v2"]) || (await names(cluster)).length < 3);
  });

  test("OnDelete waits for somebody to delete", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(2, { updateStrategy: { type: "OnDelete" } }));
    await eventually(async () => (await cluster.get<StatefulSet>(STATEFUL_SET, "db")).status?.readyReplicas === 2);
    await setImage(cluster, "v2");
    await consistently(async () => Bun.deepEquals(await imagesOf(cluster), ["v1", "v1"]));
    await cluster.client.delete(POD, { namespace: "default", name: "db-1" });
    await becomes(() => imagesOf(cluster), ["v1", "v2"]);
  });

  test("a broken template is healed by the next one in parallel mode", async () => {
    const cluster = await aCluster((pod) => pod.spec?.containers[0]?.image !== "broken");
    await cluster.create(STATEFUL_SET, aSet(2, { podManagementPolicy: "Parallel" }));
    await eventually(async () => (await cluster.get<StatefulSet>(STATEFUL_SET, "db")).status?.readyReplicas === 2);
    await setImage(cluster, "broken");
    await becomes(() => imagesOf(cluster), ["v1", "broken"]);
    await setImage(cluster, "v2");
    await becomes(() => imagesOf(cluster), ["v2", "v2"]);
  });

  test("gives every pod claims of its own, which outlive it", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(2, withClaims));
    await becomes(() => names(cluster), ["db-0", "db-1"]);
    expect(await claims(cluster)).toEqual(["data-db-0", "data-db-1"]);
    expect((await cluster.get<Pod>(POD, "db-1")).spec?.volumes).toEqual([{ name: "data", persistentVolumeClaim: { claimName: "data-db-1" } }]);
    expect((await cluster.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, "data-db-0")).metadata.labels).toEqual(labels);
    await edit(cluster, (spec) => { spec.replicas = 0; });
    await becomes(() => names(cluster), []);
    expect(await claims(cluster)).toEqual(["data-db-0", "data-db-1"]);
  });

  test("the retention policy makes the set own its claims, and a scaled-down pod its", async () => {
    const cluster = await aCluster();
    const set = await cluster.create(STATEFUL_SET, aSet(2, { ...withClaims, persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Delete" } }));
    const ownerOf = async (name: string): Promise<string | undefined> => (await cluster.get<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIM, name)).metadata.ownerReferences?.[0]?.uid;
    await eventually(async () => (await names(cluster)).length === 2);
    await becomes(() => ownerOf("data-db-1"), set.metadata.uid);
    await cluster.change<Pod>(POD, "db-1", (pod) => { pod.metadata.finalizers = ["hold"]; });
    const { uid } = (await cluster.get<Pod>(POD, "db-1")).metadata;
    await edit(cluster, (spec) => { spec.replicas = 1; });
    await becomes(() => ownerOf("data-db-1"), uid);
    expect(await ownerOf("data-db-0")).toBe(set.metadata.uid);
  });

  test("a restart in mid-rollout neither doubles nor skips a pod", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(3));
    await eventually(async () => (await cluster.get<StatefulSet>(STATEFUL_SET, "db")).status?.readyReplicas === 3);
    await setImage(cluster, "v2");
    await eventually(async () => (await imagesOf(cluster)).includes("v2"));
    await cluster.crash();
    await cluster.start(statefulSetController);
    await becomes(() => imagesOf(cluster), ["v2", "v2", "v2"]);
  });

  test("forgets revisions beyond its limit", async () => {
    const cluster = await aCluster();
    await cluster.create(STATEFUL_SET, aSet(1, { revisionHistoryLimit: 1 }));
    for (const image of ["v2", "v3", "v4"]) {
      await setImage(cluster, image);
      await becomes(() => imagesOf(cluster), [image]);
    }
    await becomes(async () => (await cluster.list(CONTROLLER_REVISION)).length, 2);
  });

  test("adopts an orphan that has one of its names", async () => {
    const cluster = await aCluster();
    await cluster.create<Pod>(POD, { metadata: { name: "db-0", namespace: "default", labels }, spec: { containers: [] } });
    const set = await cluster.create(STATEFUL_SET, aSet(1, { updateStrategy: { type: "OnDelete" } }));
    await becomes(async () => (await cluster.get<Pod>(POD, "db-0")).metadata.ownerReferences?.[0]?.uid, set.metadata.uid);
    await becomes(async () => (await cluster.get<Pod>(POD, "db-0")).metadata.labels?.["statefulset.kubernetes.io/pod-name"], "db-0");
  });
});
