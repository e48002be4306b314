import { afterEach, describe, expect, test } from "bun:test";
import type { Lease, Node, NodeCondition, Pod, Stored, Taint, Toleration } from "../../../api/types.ts";
import { FakeClock, microTimestamp, timestamp } from "../../../lib/clock.ts";
import { becomes, consistently, eventually, readyStatus, TestCluster } from "../cluster.suite.ts";
import { LEASE, NODE, POD } from "../kinds.ts";
import { isReady } from "../pods.ts";
import { CidrPool, nodeIpamController } from "./ipam.ts";
import { nodeLifecycleController } from "./lifecycle.ts";
import { podGarbageCollector } from "./podgc.ts";
import { taintEvictionController } from "./tainteviction.ts";
import { tolerates } from "./taints.ts";
import { Zones } from "./zones.ts";

const clusters: TestCluster[] = [];
let clock = new FakeClock(1_700_000_000_000);
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
  clock = new FakeClock(1_700_000_000_000);
});
function aCluster(settings = {}): TestCluster {
  const cluster = new TestCluster({ clock, settings });
  clusters.push(cluster);
  return cluster;
}
const ready = (status = "True"): NodeCondition[] => ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].map((type) => ({ type, status: type === "Ready" ? status : "False", lastHeartbeatTime: timestamp(clock.now()), lastTransitionTime: timestamp(clock.now()) }));
const aNode = (cluster: TestCluster, name: string, conditions: NodeCondition[] = ready()): Promise<Stored<Node>> => cluster.create<Node>(NODE, { metadata: { name }, spec: {}, status: { conditions } });
const aLease = (cluster: TestCluster, name: string): Promise<unknown> => cluster.create<Lease>(LEASE, { metadata: { name, namespace: "kube-node-lease" }, spec: { renewTime: microTimestamp(clock.now()) } });
const renew = (cluster: TestCluster, name: string): Promise<unknown> => cluster.client.patch(LEASE, { namespace: "kube-node-lease", name }, { spec: { renewTime: microTimestamp(clock.now()) } }, { type: "merge" });
const aPod = (cluster: TestCluster, name: string, nodeName: string | undefined, tolerations: Toleration[] = []): Promise<Stored<Pod>> => {
  const pod: Pod = { metadata: { name, namespace: "default" }, spec: { ...(nodeName && { nodeName }), containers: [], tolerations } };
  return cluster.create<Pod>(POD, { ...pod, status: readyStatus(pod, clock.now()) });
};
const readyOf = async (cluster: TestCluster, name: string): Promise<string | undefined> => (await cluster.get<Node>(NODE, name)).status?.conditions?.find(({ type }) => type === "Ready")?.status;
const taintsOf = async (cluster: TestCluster, name: string): Promise<string[]> => ((await cluster.get<Node>(NODE, name)).spec?.taints ?? []).map(({ key, effect }: Taint) => `${key}:${effect}`).toSorted();
const podNames = async (cluster: TestCluster): Promise<string[]> => (await cluster.list<Pod>(POD)).filter((pod) => !pod.metadata.deletionTimestamp).map((pod) => pod.metadata.name).toSorted();
const pass = async (ms: number): Promise<void> => {
  await clock.advance(ms);
  await Bun.sleep(5);
};
const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";

describe("node lifecycle", () => {
  test("a node that renews its lease stays Ready; one that falls silent becomes Unknown and is tainted", async () => {
    const cluster = aCluster();
    for (const name of ["alive", "silent"]) {
      await aNode(cluster, name);
      await aLease(cluster, name);
    }
    await aPod(cluster, "p", "silent");
    await cluster.start(nodeLifecycleController);
    await pass(30_000);
    await renew(cluster, "alive");
    await eventually(() => true);
    await pass(11_000);
    await becomes(() => readyOf(cluster, "silent"), "Unknown");
    expect(await readyOf(cluster, "alive")).toBe("True");
    const conditions = (await cluster.get<Node>(NODE, "silent")).status?.conditions;
    expect(conditions?.every(({ status, reason, message }) => status === "Unknown" && reason === "NodeStatusUnknown" && message === "Kubelet stopped posting node status.")).toBe(true);
    await becomes(() => taintsOf(cluster, "silent"), [`${UNREACHABLE}:NoExecute`, `${UNREACHABLE}:NoSchedule`]);
    expect(await taintsOf(cluster, "alive")).toEqual([]);
    await becomes(async () => isReady(await cluster.get<Pod>(POD, "p")), false);
    expect(cluster.events).toContain("NodeNotReady: Node silent status is now: NodeNotReady");
    expect(cluster.events).toContain("NodeNotReady: Node is not ready");
  });

  test("a node that comes back loses its taints", async () => {
    const cluster = aCluster();
    await aNode(cluster, "other");
    await aNode(cluster, "back", ready("False"));
    await cluster.start(nodeLifecycleController);
    await becomes(() => taintsOf(cluster, "back"), [`${NOT_READY}:NoExecute`, `${NOT_READY}:NoSchedule`]);
    await cluster.change<Node>(NODE, "back", (node) => { node.status = { conditions: ready() }; }, "status");
    await becomes(() => taintsOf(cluster, "back"), []);
  });

  test("pressure, being unschedulable and taints of others are kept apart", async () => {
    const cluster = aCluster();
    await cluster.create<Node>(NODE, {
      metadata: { name: "n" }, spec: { unschedulable: true, taints: [{ key: "mine", effect: "NoSchedule" }] },
      status: { conditions: ready().map((c) => (c.type === "DiskPressure" ? { ...c, status: "True" } : c)) },
    });
    await cluster.start(nodeLifecycleController);
    await becomes(() => taintsOf(cluster, "n"), ["mine:NoSchedule", "node.kubernetes.io/disk-pressure:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"]);
    await cluster.change<Node>(NODE, "n", (node) => { node.spec = { ...node.spec, unschedulable: false }; });
    await becomes(() => taintsOf(cluster, "n"), ["mine:NoSchedule", "node.kubernetes.io/disk-pressure:NoSchedule"]);
  });

  test("a node that never posted a status is Unknown after a minute", async () => {
    const cluster = aCluster();
    await aNode(cluster, "n", []);
    await cluster.start(nodeLifecycleController);
    await pass(59_000);
    expect(await readyOf(cluster, "n")).toBeUndefined();
    await pass(2000);
    await becomes(() => readyOf(cluster, "n"), "Unknown");
    expect((await cluster.get<Node>(NODE, "n")).status?.conditions?.[0]).toMatchObject({ reason: "NodeStatusNeverUpdated", message: "Kubelet never posted node status." });
  });

  test("when every node is lost nobody is evicted: it is the control plane that is cut off", async () => {
    const cluster = aCluster();
    for (const name of ["a", "b"]) await aNode(cluster, name);
    await cluster.start(nodeLifecycleController);
    await pass(41_000);
    await becomes(() => taintsOf(cluster, "a"), [`${UNREACHABLE}:NoSchedule`]);
    await becomes(() => taintsOf(cluster, "b"), [`${UNREACHABLE}:NoSchedule`]);
  });

  test("nodes of one zone are emptied one in ten seconds", async () => {
    const cluster = aCluster();
    for (const name of ["ok1", "ok2", "ok3"]) await aNode(cluster, name);
    for (const name of ["bad1", "bad2"]) await aNode(cluster, name, ready("False"));
    await cluster.start(nodeLifecycleController);
    const evicting = async (): Promise<number> => (await Promise.all(["bad1", "bad2"].map((name) => taintsOf(cluster, name)))).filter((taints) => taints.includes(`${NOT_READY}:NoExecute`)).length;
    await becomes(evicting, 1);
    await pass(9000);
    expect(await evicting()).toBe(1);
    await pass(2000);
    await becomes(evicting, 2);
  });
});

describe("zones", () => {
  const node = (name: string, zone = "a"): Node => ({ metadata: { name, labels: { "topology.kubernetes.io/zone": zone } } });

  test("a zone mostly down is left alone when small, another goes on", () => {
    const zones = new Zones();
    for (const name of ["a1", "a2", "a3"]) zones.set(node(name), false, 0);
    zones.set(node("a4"), true, 0);
    zones.set(node("b1", "b"), false, 0);
    zones.set(node("b2", "b"), true, 0);
    expect(zones.tryEvict(node("a1"), 1_000_000)).toBeUndefined();
    expect(zones.tryEvict(node("b1", "b"), 0)).toBe(0);
    expect(zones.tryEvict(node("b1", "b"), 0)).toBe(10_000);
  });

  test("says when its state changes, so that waiting nodes are looked at again", () => {
    const zones = new Zones();
    expect(zones.set(node("a1"), true, 0)).toBe(true);
    expect(zones.set(node("a2"), true, 0)).toBe(false);
    zones.set(node("a1"), false, 0);
    expect(zones.isAllDown).toBe(false);
    expect(zones.set(node("a2"), false, 0)).toBe(true);
    expect(zones.isAllDown).toBe(true);
    expect(zones.remove("a2", 0)).toBe(false);
  });
});

describe("taint eviction", () => {
  const taint = (timeAdded = timestamp(clock.now())): Taint => ({ key: UNREACHABLE, effect: "NoExecute", timeAdded });
  const tolerate = (tolerationSeconds?: number): Toleration[] => [{ key: UNREACHABLE, operator: "Exists", effect: "NoExecute", ...(tolerationSeconds !== undefined && { tolerationSeconds }) }];
  const setTaints = (cluster: TestCluster, taints: Taint[]): Promise<unknown> => cluster.change<Node>(NODE, "n", (node) => { node.spec = { ...node.spec, taints }; });

  test("pods go at once, after their toleration, or never", async () => {
    const cluster = aCluster();
    await aNode(cluster, "n");
    await aPod(cluster, "now", "n");
    await aPod(cluster, "later", "n", tolerate(300));
    await aPod(cluster, "never", "n", tolerate());
    await cluster.start(taintEvictionController);
    await setTaints(cluster, [taint()]);
    await becomes(() => podNames(cluster), ["later", "never"]);
    expect((await cluster.get<Pod>(POD, "now")).status?.conditions).toContainEqual({ type: "DisruptionTarget", status: "True", reason: "DeletionByTaintManager", message: "Taint manager: deleting due to NoExecute taint", lastTransitionTime: timestamp(clock.now()) });
    expect(cluster.events).toContain("TaintManagerEviction: Marking for deletion Pod default/now");
    await pass(299_000);
    expect(await podNames(cluster)).toEqual(["later", "never"]);
    await pass(2000);
    await becomes(() => podNames(cluster), ["never"]);
  });

  test("a taint taken off in time calls it off", async () => {
    const cluster = aCluster();
    await aNode(cluster, "n");
    await aPod(cluster, "later", "n", tolerate(300));
    await cluster.start(taintEvictionController);
    await setTaints(cluster, [taint()]);
    await pass(1000);
    await setTaints(cluster, []);
    await eventually(() => cluster.events.includes("TaintManagerEviction: Cancelling deletion of Pod default/later"));
    await pass(400_000);
    expect(await podNames(cluster)).toEqual(["later"]);
  });

  test("a restart does not give the pod its time anew", async () => {
    const cluster = aCluster();
    await aNode(cluster, "n");
    await aPod(cluster, "later", "n", tolerate(300));
    await cluster.start(taintEvictionController);
    await setTaints(cluster, [taint()]);
    await pass(200_000);
    await cluster.crash();
    await cluster.start(taintEvictionController);
    await pass(101_000);
    await becomes(() => podNames(cluster), []);
  });

  test("an empty key with Exists tolerates everything; a value has to be equal", () => {
    expect(tolerates({ operator: "Exists" }, taint())).toBe(true);
    expect(tolerates({ key: "k", value: "v" }, { key: "k", value: "v", effect: "NoExecute" })).toBe(true);
    expect(tolerates({ key: "k", value: "v" }, { key: "k", value: "w", effect: "NoExecute" })).toBe(false);
    expect(tolerates({ key: "k", operator: "Exists", effect: "NoSchedule" }, { key: "k", effect: "NoExecute" })).toBe(false);
  });
});

describe("pod garbage collection", () => {
  test("pods of a node that is gone for 40 seconds are failed and removed; others stay", async () => {
    const cluster = aCluster();
    await aNode(cluster, "stays");
    await aNode(cluster, "goes");
    await aPod(cluster, "kept", "stays");
    await aPod(cluster, "orphan", "goes");
    await cluster.start(podGarbageCollector);
    const statuses: unknown[] = [];
    cluster.client.intercept = ({ verb, kind, body }) => {
      if (verb === "update" && kind === POD) statuses.push((body as Pod).status);
    };
    await cluster.client.delete(NODE, { name: "goes" });
    await Bun.sleep(5);
    await pass(20_000);
    await pass(39_000);
    expect(await podNames(cluster)).toEqual(["kept", "orphan"]);
    await pass(2000);
    await becomes(() => podNames(cluster), ["kept"]);
    expect(statuses[0]).toMatchObject({ phase: "Failed" });
    expect((statuses[0] as Pod["status"])?.conditions?.at(-1)).toMatchObject({ type: "DisruptionTarget", reason: "DeletionByPodGC", message: "PodGC: node no longer exists" });
  });

  test("a node that comes back in time keeps its pods", async () => {
    const cluster = aCluster();
    await aPod(cluster, "p", "n");
    await cluster.start(podGarbageCollector);
    await pass(21_000);
    await aNode(cluster, "n");
    await pass(100_000);
    expect(await podNames(cluster)).toEqual(["p"]);
  });

  test("a terminating pod that never had a node is removed", async () => {
    const cluster = aCluster();
    await cluster.create<Pod>(POD, { metadata: { name: "p", namespace: "default", finalizers: ["x"] }, spec: { containers: [] } });
    await cluster.client.delete(POD, { namespace: "default", name: "p" });
    await cluster.start(podGarbageCollector);
    await pass(21_000);
    await becomes(async () => (await cluster.get<Pod>(POD, "p")).status?.phase, "Failed");
  });

  test("finished pods above the threshold go, the oldest first", async () => {
    const cluster = aCluster({ terminatedPodThreshold: 2 });
    for (const name of ["a", "b", "c", "d"]) {
      await cluster.create<Pod>(POD, { metadata: { name, namespace: "default" }, spec: { containers: [] }, status: { phase: "Succeeded" } });
      await clock.advance(2000);
    }
    await cluster.start(podGarbageCollector);
    await pass(21_000);
    await becomes(() => podNames(cluster), ["c", "d"]);
  });
});

describe("node IPAM", () => {
  const cidrOf = async (cluster: TestCluster, name: string): Promise<string | undefined> => (await cluster.get<Node>(NODE, name)).spec?.podCIDR;

  test("every node gets a range of its own, and keeps the one it has", async () => {
    const cluster = aCluster();
    await cluster.create<Node>(NODE, { metadata: { name: "old" }, spec: { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"] } });
    await cluster.start(nodeIpamController);
    for (const name of ["a", "b"]) await cluster.create<Node>(NODE, { metadata: { name } });
    await becomes(() => cidrOf(cluster, "b"), "10.244.2.0/24");
    expect(await cidrOf(cluster, "a")).toBe("10.244.1.0/24");
    expect(await cidrOf(cluster, "old")).toBe("10.244.0.0/24");
  });

  test("with the ranges used up a node waits, and gets the first that becomes free", async () => {
    const cluster = aCluster({ clusterCidrs: ["10.244.0.0/23"] });
    await cluster.start(nodeIpamController);
    for (const name of ["a", "b", "c"]) await cluster.create<Node>(NODE, { metadata: { name } });
    await eventually(() => cluster.events.includes("CIDRNotAvailable: Node c status is now: CIDRNotAvailable"));
    await consistently(async () => (await cidrOf(cluster, "c")) === undefined, 20);
    const freed = await cidrOf(cluster, "a");
    await cluster.client.delete(NODE, { name: "a" });
    await becomes(() => cidrOf(cluster, "c"), freed);
  });

  test("two families give two ranges", async () => {
    const cluster = aCluster({ clusterCidrs: ["10.244.0.0/16", "fd00:10:244::/48"] });
    await cluster.start(nodeIpamController);
    await cluster.create<Node>(NODE, { metadata: { name: "n" } });
    await becomes(async () => (await cluster.get<Node>(NODE, "n")).spec?.podCIDRs, ["10.244.0.0/24", "fd00:10:244::/64"]);
  });

  test("a pool goes round before it gives a freed range again", () => {
    const pool = new CidrPool("10.0.0.0/22", 24);
    expect([pool.allocate(), pool.allocate()]).toEqual(["10.0.0.0/24", "10.0.1.0/24"]);
    pool.release("10.0.0.0/24");
    pool.occupy("10.0.2.0/24");
    expect([pool.allocate(), pool.allocate(), pool.allocate()]).toEqual(["10.0.3.0/24", "10.0.0.0/24", undefined]);
  });
});
