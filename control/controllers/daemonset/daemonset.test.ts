import { afterEach, describe, expect, test } from "bun:test";
import type { ControllerRevision, DaemonSet, Node, Pod, Stored, Taint } from "../../../api/types.ts";
import { becomes, consistently, eventually, readyStatus, TestCluster } from "../cluster.suite.ts";
import { CONTROLLER_REVISION, DAEMON_SET, NODE, POD } from "../kinds.ts";
import { daemonSetController } from "./daemonset.ts";
import { targetNode } from "./nodes.ts";

const clusters: TestCluster[] = [];
let stop = new AbortController();
afterEach(async () => {
  stop.abort();
  stop = new AbortController();
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
/** Binds every daemon pod to its node and runs it, as scheduler and kubelet would. */
async function nodesAtWork(cluster: TestCluster, accepts: (pod: Pod) => boolean): Promise<void> {
  for await (const { type, object } of cluster.client.watch<Pod>(POD, { signal: stop.signal })) {
    if (type === "BOOKMARK" || type === "DELETED") continue;
    const { name, namespace, deletionTimestamp } = object.metadata;
    if (deletionTimestamp) void cluster.client.delete(POD, { name, namespace }, { gracePeriodSeconds: 0 }).catch(() => undefined);
    else if (!object.spec?.nodeName) void cluster.client.post(POD, { name, namespace }, "binding", { target: { name: targetNode(object) } }).catch(() => undefined);
    else if (object.status?.phase === "Pending" && accepts(object)) void cluster.client.update<Pod>(POD, { ...object, status: readyStatus(object, Date.now()) }, { subresource: "status" }).catch(() => undefined);
  }
}
async function aCluster(nodes: readonly string[], accepts: (pod: Pod) => boolean = () => true): Promise<TestCluster> {
  const cluster = new TestCluster();
  clusters.push(cluster);
  for (const name of nodes) await aNode(cluster, name);
  await cluster.start(daemonSetController);
  void nodesAtWork(cluster, accepts).catch(() => undefined);
  return cluster;
}
const aNode = (cluster: TestCluster, name: string, labels = {}, taints: Taint[] = []): Promise<unknown> => cluster.create<Node>(NODE, { metadata: { name, labels }, spec: { taints } });
const labels = { app: "agent" };
const aSet = (spec: Partial<DaemonSet["spec"]> = {}, image = "v1", podSpec = {}): DaemonSet => ({
  metadata: { name: "agent", namespace: "default" },
  spec: { selector: { matchLabels: labels }, updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 as never, maxSurge: 0 as never } }, template: { metadata: { labels }, spec: { containers: [{ name: "c", image }], ...podSpec } }, ...spec },
});
const podsOf = (cluster: TestCluster): Promise<Stored<Pod>[]> => cluster.list<Pod>(POD);
const placed = async (cluster: TestCluster): Promise<string[]> => (await podsOf(cluster)).map((pod) => pod.spec?.nodeName ?? "?").toSorted();
const images = async (cluster: TestCluster): Promise<(string | undefined)[]> => (await podsOf(cluster)).map((pod) => pod.spec?.containers[0]?.image).toSorted();
const setImage = (cluster: TestCluster, image: string): Promise<unknown> => cluster.change<DaemonSet>(DAEMON_SET, "agent", (set) => { set.spec = { ...(set.spec as NonNullable<DaemonSet["spec"]>), template: { metadata: { labels }, spec: { containers: [{ name: "c", image }] } } }; });
const statusOf = async (cluster: TestCluster): Promise<DaemonSet["status"]> => (await cluster.get<DaemonSet>(DAEMON_SET, "agent")).status;

describe("a DaemonSet", () => {
  test("has a pod on every node, bound to it and proof against its troubles, and on nodes that come later", async () => {
    const cluster = await aCluster(["a", "b"]);
    await cluster.create(DAEMON_SET, aSet());
    await becomes(() => placed(cluster), ["a", "b"]);
    const [pod] = (await podsOf(cluster)) as [Stored<Pod>];
    expect(pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution).toEqual({ nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [pod.spec?.nodeName as string] }] }] });
    expect(pod.spec?.tolerations?.map(({ key, effect }) => `${key}:${effect}`)).toEqual(["not-ready:NoExecute", "unreachable:NoExecute", "disk-pressure:NoSchedule", "memory-pressure:NoSchedule", "pid-pressure:NoSchedule", "unschedulable:NoSchedule"].map((key) => `node.kubernetes.io/${key}`));
    const [revision] = await cluster.list(CONTROLLER_REVISION);
    expect(pod.metadata.labels?.["controller-revision-hash"]).toBe(revision?.metadata.labels?.["controller-revision-hash"] as string);
    await aNode(cluster, "c");
    await becomes(() => placed(cluster), ["a", "b", "c"]);
    await becomes(() => statusOf(cluster), { observedGeneration: 1, desiredNumberScheduled: 3, currentNumberScheduled: 3, numberMisscheduled: 0, numberReady: 3, numberAvailable: 3, numberUnavailable: 0, updatedNumberScheduled: 3 });
  });

  test("keeps revisions with keys in order, so that clients find theirs by its bytes", async () => {
    const cluster = await aCluster(["a"]);
    await cluster.create(DAEMON_SET, aSet());
    await becomes(() => placed(cluster), ["a"]);
    const [revision] = await cluster.list(CONTROLLER_REVISION);
    const orders: string[][] = [];
    JSON.stringify((revision as ControllerRevision | undefined)?.data, (_, value: unknown) => {
      if (typeof value === "object" && value !== null && !Array.isArray(value)) orders.push(Object.keys(value));
      return value;
    });
    expect(orders.some((keys) => keys.length > 1)).toBe(true);
    for (const keys of orders) expect(keys).toEqual(keys.toSorted());
  });

  test("leaves out nodes its selector or their taints exclude, and follows when these change", async () => {
    const cluster = await aCluster([]);
    await aNode(cluster, "fits", { disk: "ssd" });
    await aNode(cluster, "other", {});
    await aNode(cluster, "tainted", { disk: "ssd" }, [{ key: "mine", effect: "NoSchedule" }]);
    await cluster.create(DAEMON_SET, aSet({}, "v1", { nodeSelector: { disk: "ssd" } }));
    await becomes(() => placed(cluster), ["fits"]);
    await cluster.change<Node>(NODE, "other", (node) => { node.metadata.labels = { disk: "ssd" }; });
    await becomes(() => placed(cluster), ["fits", "other"]);
    await cluster.change<Node>(NODE, "fits", (node) => { node.metadata.labels = {}; });
    await becomes(() => placed(cluster), ["other"]);
    await cluster.change<Node>(NODE, "other", (node) => { node.spec = { taints: [{ key: "new", effect: "NoSchedule" }] }; });
    await consistently(async () => (await placed(cluster)).length === 1);
    await cluster.change<Node>(NODE, "other", (node) => { node.spec = { taints: [{ key: "new", effect: "NoExecute" }] }; });
    await becomes(() => placed(cluster), []);
  });

  test("replaces a pod that is deleted, and one that failed, the latter with back-off", async () => {
    const cluster = await aCluster(["a"]);
    await cluster.create(DAEMON_SET, aSet());
    await becomes(() => placed(cluster), ["a"]);
    const [first] = (await podsOf(cluster)) as [Stored<Pod>];
    await cluster.change<Pod>(POD, first.metadata.name, (pod) => { pod.status = { phase: "Failed" }; }, "status");
    await eventually(async () => (await podsOf(cluster)).some((pod) => pod.metadata.uid !== first.metadata.uid && pod.status?.phase === "Running"));
    expect(cluster.events).toContain(`FailedDaemonPod: Found failed daemon pod default/${first.metadata.name} on node a, will try to kill it`);
    const [second] = (await podsOf(cluster)) as [Stored<Pod>];
    await cluster.change<Pod>(POD, second.metadata.name, (pod) => { pod.status = { phase: "Failed" }; }, "status");
    await consistently(async () => (await podsOf(cluster))[0]?.metadata.uid === second.metadata.uid, 200);
    await eventually(async () => (await podsOf(cluster)).some((pod) => pod.metadata.uid !== second.metadata.uid && pod.status?.phase === "Running"));
  });

  test("rolls to a new template one node at a time", async () => {
    const cluster = await aCluster(["a", "b", "c"]);
    await cluster.create(DAEMON_SET, aSet());
    await eventually(async () => (await statusOf(cluster))?.numberAvailable === 3);
    let fewest = 3;
    const watch = setInterval(() => void podsOf(cluster).then((pods) => (fewest = Math.min(fewest, pods.filter((pod) => pod.status?.phase === "Running" && !pod.metadata.deletionTimestamp).length))), 1);
    await setImage(cluster, "v2");
    await becomes(() => images(cluster), ["v2", "v2", "v2"]);
    clearInterval(watch);
    expect(fewest).toBeGreaterThanOrEqual(2);
    await eventually(async () => (await statusOf(cluster))?.updatedNumberScheduled === 3 && (await statusOf(cluster))?.observedGeneration === 2);
  });

  test("a broken template stops at the first node and is undone by the next one", async () => {
    const cluster = await aCluster(["a", "b", "c"], (pod) => pod.spec?.containers[0]?.image !== "broken");
    await cluster.create(DAEMON_SET, aSet());
    await eventually(async () => (await statusOf(cluster))?.numberAvailable === 3);
    await setImage(cluster, "broken");
    await becomes(() => images(cluster), ["broken", "v1", "v1"]);
    await consistently(async () => (await images(cluster)).filter((image) => image === "v1").length === 2);
    await setImage(cluster, "v1");
    await becomes(() => images(cluster), ["v1", "v1", "v1"]);
  });

  test("with surge the new pod comes before the old one goes", async () => {
    const cluster = await aCluster(["a", "b"]);
    await cluster.create(DAEMON_SET, aSet({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 as never, maxUnavailable: 0 as never } } }));
    await eventually(async () => (await statusOf(cluster))?.numberAvailable === 2);
    let fewest = 2;
    const watch = setInterval(() => void podsOf(cluster).then((pods) => (fewest = Math.min(fewest, new Set(pods.filter((pod) => pod.status?.phase === "Running" && !pod.metadata.deletionTimestamp).map((pod) => pod.spec?.nodeName)).size))), 1);
    await setImage(cluster, "v2");
    await becomes(() => images(cluster), ["v2", "v2"]);
    clearInterval(watch);
    expect(fewest).toBe(2);
  });

  test("OnDelete waits for somebody to delete", async () => {
    const cluster = await aCluster(["a", "b"]);
    await cluster.create(DAEMON_SET, aSet({ updateStrategy: { type: "OnDelete" } }));
    await eventually(async () => (await statusOf(cluster))?.numberAvailable === 2);
    await setImage(cluster, "v2");
    await consistently(async () => Bun.deepEquals(await images(cluster), ["v1", "v1"]));
    await cluster.client.delete(POD, { namespace: "default", name: (await podsOf(cluster))[0]?.metadata.name as string });
    await becomes(() => images(cluster), ["v1", "v2"]);
  });

  test("takes away a second pod on one node, and pending ones for nodes that are gone", async () => {
    const cluster = await aCluster(["a"]);
    await cluster.create(DAEMON_SET, aSet());
    await becomes(() => placed(cluster), ["a"]);
    await cluster.create<Pod>(POD, { metadata: { name: "extra", namespace: "default", labels }, spec: { nodeName: "a", containers: [] } });
    await cluster.create<Pod>(POD, { metadata: { name: "lost", namespace: "default", labels }, spec: { containers: [], affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["gone"] }] }] } } } } });
    await becomes(async () => (await podsOf(cluster)).filter((pod) => targetNode(pod) === "a").length, 1);
    await eventually(async () => !(await podsOf(cluster)).some((pod) => targetNode(pod) === "gone"));
  });

  test("a restart in mid-rollout goes on", async () => {
    const cluster = await aCluster(["a", "b", "c"]);
    await cluster.create(DAEMON_SET, aSet());
    await eventually(async () => (await statusOf(cluster))?.numberAvailable === 3);
    await setImage(cluster, "v2");
    await eventually(async () => (await images(cluster)).includes("v2"));
    await cluster.crash();
    await cluster.start(daemonSetController);
    await becomes(() => images(cluster), ["v2", "v2", "v2"]);
  });
});
