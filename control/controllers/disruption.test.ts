import { afterEach, describe, expect, test } from "bun:test";
import type { Client } from "../../api/client/client.ts";
import { row } from "../../api/kinds.ts";
import type { OwnerReference, Pod, PodDisruptionBudget, ReplicaSet, Stored } from "../../api/types.ts";
import { FakeClock, timestamp } from "../../lib/clock.ts";
import { becomes, eventually, readyStatus, TestCluster } from "./cluster.suite.ts";
import { disruptionController } from "./disruption.ts";
import { POD, POD_DISRUPTION_BUDGET, REPLICA_SET } from "./kinds.ts";

const clusters: TestCluster[] = [];
let clock = new FakeClock(1_700_000_000_000);
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  clock = new FakeClock(1_700_000_000_000);
});
async function aCluster(): Promise<TestCluster> {
  const cluster = new TestCluster({ clock });
  clusters.push(cluster);
  await cluster.start(disruptionController);
  return cluster;
}
const labels = { app: "web" };
const aBudget = (spec: Partial<PodDisruptionBudget["spec"]>): PodDisruptionBudget => ({ metadata: { name: "budget", namespace: "default" }, spec: { selector: { matchLabels: labels }, ...spec } });
const aSet = async (cluster: TestCluster, replicas: number): Promise<OwnerReference> => {
  const { metadata: { name, uid } } = await cluster.create<ReplicaSet>(REPLICA_SET, { metadata: { name: "web", namespace: "default" }, spec: { replicas, selector: { matchLabels: labels } } });
  return { apiVersion: "apps/v1", kind: "ReplicaSet", name, uid, controller: true };
};
const aPod = (cluster: TestCluster, name: string, ownerReferences: OwnerReference[] = [], isReady = true): Promise<Stored<Pod>> => {
  const pod: Pod = { metadata: { name, namespace: "default", labels, ownerReferences }, spec: { nodeName: "n", containers: [] } };
  return cluster.create<Pod>(POD, { ...pod, status: isReady ? readyStatus(pod, clock.now()) : { phase: "Running" } });
};
const statusOf = async (cluster: TestCluster): Promise<PodDisruptionBudget["status"]> => (await cluster.get<PodDisruptionBudget>(POD_DISRUPTION_BUDGET, "budget")).status;
const summary = async (cluster: TestCluster): Promise<(number | undefined)[]> => {
  const status = await statusOf(cluster);
  return [status?.expectedPods, status?.desiredHealthy, status?.currentHealthy, status?.disruptionsAllowed];
};

describe("a PodDisruptionBudget", () => {
  test("with a number of pods that must stay allows what is beyond it", async () => {
    const cluster = await aCluster();
    await cluster.create(POD_DISRUPTION_BUDGET, aBudget({ minAvailable: 2 as never }));
    for (const name of ["a", "b", "c"]) await aPod(cluster, name);
    await becomes(() => summary(cluster), [3, 2, 3, 1]);
    expect((await statusOf(cluster))?.conditions?.[0]).toMatchObject({ type: "DisruptionAllowed", status: "True", reason: "SufficientPods", observedGeneration: 1 });
    await cluster.client.delete(POD, { namespace: "default", name: "a" });
    await becomes(() => summary(cluster), [3, 2, 2, 0]);
    expect((await statusOf(cluster))?.conditions?.[0]).toMatchObject({ status: "False", reason: "InsufficientPods" });
  });

  test("with what may be missing counts from what the controllers want", async () => {
    const cluster = await aCluster();
    const owner = await aSet(cluster, 10);
    await cluster.create(POD_DISRUPTION_BUDGET, aBudget({ maxUnavailable: "30%" as never }));
    for (let i = 0; i < 8; i++) await aPod(cluster, `p${i}`, [owner]);
    await becomes(() => summary(cluster), [10, 7, 8, 1]);
    await cluster.change<ReplicaSet>(REPLICA_SET, "web", (set) => { (set.spec as { replicas: number }).replicas = 8; });
    await becomes(() => summary(cluster), [8, 5, 8, 3]);
  });

  test("a pod that is not ready is not healthy", async () => {
    const cluster = await aCluster();
    await cluster.create(POD_DISRUPTION_BUDGET, aBudget({ minAvailable: 1 as never }));
    await aPod(cluster, "up");
    await aPod(cluster, "down", [], false);
    await becomes(() => summary(cluster), [2, 1, 1, 0]);
  });

  test("allows nothing when it cannot tell, and says why", async () => {
    const cluster = await aCluster();
    await cluster.create(POD_DISRUPTION_BUDGET, aBudget({ maxUnavailable: 1 as never }));
    await aPod(cluster, "p", [{ apiVersion: "example.com/v1", kind: "Thing", name: "t", uid: "t", controller: true }]);
    await eventually(async () => (await statusOf(cluster))?.conditions?.[0]?.reason === "SyncFailed");
    expect((await statusOf(cluster))?.disruptionsAllowed).toBe(0);
    expect(cluster.events).toContain('CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: found no controllers for pod "p"');
  });

  test("asks the scale of a custom resource that controls the pods", async () => {
    const cluster = await aCluster();
    cluster.kinds.add(row("example.com", "v1", "things", "Thing", true, { subresources: { scale: { as: ["autoscaling", "v1", "Scale"], verbs: ["get"] } } }));
    (cluster.client as Client).getScale = async () => ({ apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "t", namespace: "default", uid: "t" }, spec: { replicas: 5 } });
    await aPod(cluster, "p", [{ apiVersion: "example.com/v1", kind: "Thing", name: "t", uid: "t", controller: true }]);
    await cluster.create(POD_DISRUPTION_BUDGET, aBudget({ maxUnavailable: 1 as never }));
    await becomes(() => summary(cluster), [5, 4, 1, 0]);
  });

  test("does not count a pod whose eviction was granted, until it is clear that nobody carries it out", async () => {
    const cluster = await aCluster();
    for (const name of ["a", "b"]) await aPod(cluster, name);
    await cluster.create(POD_DISRUPTION_BUDGET, { ...aBudget({ minAvailable: 1 as never }), status: { disruptedPods: { a: timestamp(clock.now()) } } } as never);
    await becomes(() => summary(cluster), [2, 1, 1, 0]);
    await clock.advance(121_000);
    await becomes(() => summary(cluster), [2, 1, 2, 1]);
    expect((await statusOf(cluster))?.disruptedPods).toBeUndefined();
  });

  test("a pod's mark of disruption is taken back when nothing came of it", async () => {
    const cluster = await aCluster();
    const pod = await aPod(cluster, "p");
    await cluster.change<Pod>(POD, "p", (p) => { p.status = { ...pod.status, conditions: [{ type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI", lastTransitionTime: timestamp(clock.now()) }] }; }, "status");
    await Bun.sleep(5);
    await clock.advance(121_000);
    await becomes(async () => (await cluster.get<Pod>(POD, "p")).status?.conditions?.[0]?.status, "False");
  });
});
