import { afterEach, describe, expect, test } from "bun:test";
import { forbidden } from "../../api/errors.ts";
import type { Pod, ReplicaSet, ReplicationController, Stored } from "../../api/types.ts";
import { becomes, consistently, eventually, pretendKubelet, readyStatus, TestCluster } from "./cluster.suite.ts";
import { POD, REPLICA_SET, REPLICATION_CONTROLLER } from "./kinds.ts";
import { replicaSetController, replicationControllerController } from "./replicaset.ts";

const clusters: TestCluster[] = [];
const kubelet = new AbortController();
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});

function aCluster(): TestCluster {
  const cluster = new TestCluster();
  clusters.push(cluster);
  return cluster;
}
const labels = { app: "web" };
const aSet = (replicas: number, spec: Partial<ReplicaSet["spec"]> = {}): ReplicaSet => ({
  metadata: { name: "web", namespace: "default", labels },
  spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } }, ...spec },
});
const aPod = (name: string, extra: Partial<Pod["metadata"]> = {}): Pod => ({ metadata: { name, namespace: "default", labels, ...extra }, spec: { containers: [] } });
const podsOf = (cluster: TestCluster): Promise<Stored<Pod>[]> => cluster.list<Pod>(POD);
const statusOf = async (cluster: TestCluster): Promise<ReplicaSet["status"]> => (await cluster.get<ReplicaSet>(REPLICA_SET, "web")).status;

describe("a ReplicaSet", () => {
  test("gets its pods, owned and labelled, and says so", async () => {
    const cluster = aCluster();
    await cluster.start(replicaSetController);
    const set = await cluster.create(REPLICA_SET, aSet(3));
    await becomes(async () => (await statusOf(cluster))?.replicas, 3);
    const pods = await podsOf(cluster);
    expect(pods).toHaveLength(3);
    for (const pod of pods) {
      expect(pod.metadata.name).toMatch(/^web-.{5}$/);
      expect(pod.metadata.ownerReferences).toEqual([{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: set.metadata.uid, controller: true, blockOwnerDeletion: true }]);
      expect(cluster.events).toContain(`SuccessfulCreate: Created pod: ${pod.metadata.name}`);
    }
    await becomes(() => statusOf(cluster), { replicas: 3, fullyLabeledReplicas: 3, readyReplicas: 0, availableReplicas: 0, terminatingReplicas: 0, observedGeneration: 1 });
  });

  test("replaces a pod that is deleted and one that failed", async () => {
    const cluster = aCluster();
    await cluster.start(replicaSetController);
    await cluster.create(REPLICA_SET, aSet(2));
    await eventually(async () => (await podsOf(cluster)).length === 2);
    const [first, second] = (await podsOf(cluster)) as [Stored<Pod>, Stored<Pod>];
    await cluster.client.delete(POD, { name: first.metadata.name, namespace: "default" });
    await cluster.change<Pod>(POD, second.metadata.name, (pod) => (pod.status = { phase: "Failed" }), "status");
    await becomes(async () => (await podsOf(cluster)).filter((pod) => pod.status?.phase !== "Failed").length, 2);
    expect((await podsOf(cluster)).map((pod) => pod.metadata.uid)).not.toContain(first.metadata.uid);
  });

  test("scaling down takes what is not ready first, then what is cheapest", async () => {
    const cluster = aCluster();
    await cluster.start(replicaSetController);
    await cluster.create(REPLICA_SET, aSet(4));
    await eventually(async () => (await podsOf(cluster)).length === 4);
    const [a, b, c] = (await podsOf(cluster)) as [Stored<Pod>, Stored<Pod>, Stored<Pod>];
    for (const pod of [a, b, c]) await cluster.change<Pod>(POD, pod.metadata.name, (p) => (p.status = readyStatus(p, Date.now())), "status");
    await cluster.change<Pod>(POD, b.metadata.name, (pod) => (pod.metadata.annotations = { "controller.kubernetes.io/pod-deletion-cost": "-5" }));
    await becomes(async () => (await statusOf(cluster))?.readyReplicas, 3);
    await cluster.change<ReplicaSet>(REPLICA_SET, "web", (set) => ((set.spec as { replicas: number }).replicas = 2));
    await becomes(async () => (await podsOf(cluster)).map((pod) => pod.metadata.name).toSorted(), [a.metadata.name, c.metadata.name].toSorted());
  });

  test("controls a pod that named it already, which goes on naming it once", async () => {
    const cluster = aCluster();
    const { metadata: { uid } } = await cluster.create(REPLICA_SET, aSet(1));
    await cluster.create(POD, aPod("friend", { ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid, controller: false }, { apiVersion: "v1", kind: "Node", name: "n", uid: "other" }] }));
    await cluster.start(replicaSetController);
    await becomes(async () => (await cluster.get<Pod>(POD, "friend")).metadata.ownerReferences?.map(({ name, controller }) => [name, controller]), [["web", true], ["n", undefined]]);
    expect(await podsOf(cluster)).toHaveLength(1);
  });

  test("adopts a matching orphan instead of making a pod, and lets go of one that no longer matches", async () => {
    const cluster = aCluster();
    await cluster.create(POD, aPod("orphan"));
    await cluster.start(replicaSetController);
    const set = await cluster.create(REPLICA_SET, aSet(1));
    await becomes(async () => (await cluster.get<Pod>(POD, "orphan")).metadata.ownerReferences?.[0]?.uid, set.metadata.uid);
    expect(await podsOf(cluster)).toHaveLength(1);
    await cluster.change<Pod>(POD, "orphan", (pod) => (pod.metadata.labels = { app: "other" }));
    await becomes(async () => (await cluster.get<Pod>(POD, "orphan")).metadata.ownerReferences ?? [], []);
    await eventually(async () => (await podsOf(cluster)).length === 2);
  });

  test("leaves another controller's pod alone", async () => {
    const cluster = aCluster();
    await cluster.create(POD, aPod("taken", { ownerReferences: [{ apiVersion: "v1", kind: "Other", name: "x", uid: "x", controller: true }] }));
    await cluster.start(replicaSetController);
    await cluster.create(REPLICA_SET, aSet(1));
    await eventually(async () => (await podsOf(cluster)).length === 2);
    expect((await cluster.get<Pod>(POD, "taken")).metadata.ownerReferences?.[0]?.uid).toBe("x");
  });

  test("a refused pod shows as a condition and an event, and few are tried", async () => {
    const cluster = aCluster();
    let refused = 0;
    cluster.client.intercept = ({ verb, kind }) => {
      if (verb !== "create" || kind !== POD) return;
      refused++;
      throw forbidden(POD, "web-x", "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0");
    };
    await cluster.start(replicaSetController);
    await cluster.create(REPLICA_SET, aSet(100));
    await eventually(async () => (await statusOf(cluster))?.conditions?.[0]?.type === "ReplicaFailure");
    expect((await statusOf(cluster))?.conditions?.[0]).toMatchObject({ status: "True", reason: "FailedCreate" });
    expect(cluster.events[0]).toStartWith("FailedCreate: Error creating: pods \"web-x\" is forbidden: exceeded quota");
    expect(refused).toBeLessThan(30);
    cluster.client.intercept = () => undefined;
    await eventually(async () => (await podsOf(cluster)).length === 100);
    await becomes(async () => (await statusOf(cluster))?.conditions ?? [], []);
  });

  test("never makes too many, though its own writes reach it late and it restarts half-way", async () => {
    const cluster = aCluster();
    let created = 0;
    cluster.client.intercept = async ({ verb, kind }) => {
      if (verb === "create" && kind === POD) created++;
      if (verb === "update") await Bun.sleep(2);
    };
    await cluster.start(replicaSetController);
    await cluster.create(REPLICA_SET, aSet(40));
    await eventually(() => created > 5);
    await cluster.crash();
    await cluster.start(replicaSetController);
    await eventually(async () => (await podsOf(cluster)).length === 40);
    await consistently(async () => (await podsOf(cluster)).length === 40);
    expect(created).toBe(40);
  });

  test("counts a pod as available once it was ready for minReadySeconds", async () => {
    const cluster = aCluster();
    await cluster.start(replicaSetController);
    await cluster.create(REPLICA_SET, aSet(1, { minReadySeconds: 1 }));
    void pretendKubelet(cluster.client, kubelet.signal);
    await becomes(async () => (await statusOf(cluster))?.readyReplicas, 1);
    await becomes(async () => (await statusOf(cluster))?.availableReplicas, 1);
  });

  test("makes nothing while it is being deleted", async () => {
    const cluster = aCluster();
    await cluster.create(REPLICA_SET, { ...aSet(2), metadata: { ...aSet(2).metadata, finalizers: ["foregroundDeletion"] } });
    await cluster.client.delete(REPLICA_SET, { name: "web", namespace: "default" });
    await cluster.start(replicaSetController);
    await consistently(async () => (await podsOf(cluster)).length === 0);
  });
});

test("a ReplicationController does the same with its plain selector", async () => {
  const cluster = aCluster();
  await cluster.start(replicationControllerController);
  const { template } = aSet(1).spec as { template: NonNullable<ReplicationController["spec"]>["template"] };
  await cluster.create<ReplicationController>(REPLICATION_CONTROLLER, { metadata: { name: "rc", namespace: "default" }, spec: { replicas: 2, selector: labels, template } });
  await eventually(async () => (await podsOf(cluster)).length === 2);
  expect((await podsOf(cluster))[0]?.metadata.ownerReferences?.[0]).toMatchObject({ apiVersion: "v1", kind: "ReplicationController" });
  await becomes(async () => (await cluster.get<ReplicationController>(REPLICATION_CONTROLLER, "rc")).status, { replicas: 2, fullyLabeledReplicas: 2, readyReplicas: 0, availableReplicas: 0, observedGeneration: 1 });
});
