import { afterEach, describe, expect, test } from "bun:test";
import { row, type KindInfo } from "../../../api/kinds.ts";
import { KindRegistry } from "../../../api/registry.ts";
import type { KubeObject, OwnerReference, Stored } from "../../../api/types.ts";
import { becomes, consistently, eventually, TestCluster } from "../cluster.suite.ts";
import { CLUSTER_ROLE, CONFIG_MAP, DEPLOYMENT, POD, REPLICA_SET, SECRET } from "../kinds.ts";
import { garbageCollector } from "./garbagecollector.ts";

const clusters: TestCluster[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});
async function aCluster(kinds?: KindRegistry): Promise<TestCluster> {
  const cluster = new TestCluster(kinds ? { kinds } : {});
  clusters.push(cluster);
  await cluster.start(garbageCollector);
  return cluster;
}
const refTo = (kind: KindInfo, owner: Stored<KubeObject>, blockOwnerDeletion = true): OwnerReference =>
  ({ apiVersion: kind.group ? `${kind.group}/${kind.version}` : kind.version, kind: kind.kind, name: owner.metadata.name, uid: owner.metadata.uid, blockOwnerDeletion });
const make = (cluster: TestCluster, kind: KindInfo, name: string, ownerReferences: OwnerReference[] = []): Promise<Stored<KubeObject>> =>
  cluster.create<KubeObject>(kind, { metadata: { name, ...(kind.namespaced && { namespace: "default" }), ...(ownerReferences.length > 0 && { ownerReferences }) } });
const namesOf = async (cluster: TestCluster, kind: KindInfo): Promise<string[]> => (await cluster.list(kind)).map((object) => object.metadata.name).toSorted();
const at = (name: string): { namespace: string; name: string } => ({ namespace: "default", name });

/** A deployment, its replica set and two pods. */
async function aTree(cluster: TestCluster): Promise<void> {
  const deployment = await make(cluster, DEPLOYMENT, "d");
  const set = await make(cluster, REPLICA_SET, "rs", [refTo(DEPLOYMENT, deployment)]);
  for (const name of ["p1", "p2"]) await make(cluster, POD, name, [refTo(REPLICA_SET, set)]);
}

describe("garbage collection", () => {
  test("background: the owner goes at once, dependents follow to the last leaf", async () => {
    const cluster = await aCluster();
    await aTree(cluster);
    await cluster.client.delete(DEPLOYMENT, at("d"), { propagationPolicy: "Background" });
    expect(await namesOf(cluster, DEPLOYMENT)).toEqual([]);
    await becomes(() => namesOf(cluster, REPLICA_SET), []);
    await becomes(() => namesOf(cluster, POD), []);
  });

  test("foreground: the owner stays until all that blocks it is gone", async () => {
    const cluster = await aCluster();
    await aTree(cluster);
    await cluster.client.patch(POD, at("p1"), { metadata: { finalizers: ["example.com/hold"] } }, { type: "merge" });
    await cluster.client.delete(DEPLOYMENT, at("d"), { propagationPolicy: "Foreground" });
    await becomes(() => namesOf(cluster, POD), ["p1"]);
    await consistently(async () => (await namesOf(cluster, REPLICA_SET)).length === 1 && (await namesOf(cluster, DEPLOYMENT)).length === 1);
    await cluster.client.patch(POD, at("p1"), { metadata: { finalizers: null } }, { type: "merge" });
    await becomes(() => namesOf(cluster, DEPLOYMENT), []);
    expect(await namesOf(cluster, REPLICA_SET)).toEqual([]);
  });

  test("foreground: a dependent that does not block is not waited for, but goes too", async () => {
    const cluster = await aCluster();
    const owner = await make(cluster, CONFIG_MAP, "owner");
    await make(cluster, SECRET, "dep", [refTo(CONFIG_MAP, owner, false)]);
    await cluster.client.patch(SECRET, at("dep"), { metadata: { finalizers: ["example.com/hold"] } }, { type: "merge" });
    await cluster.client.delete(CONFIG_MAP, at("owner"), { propagationPolicy: "Foreground" });
    await becomes(() => namesOf(cluster, CONFIG_MAP), []);
    await eventually(async () => (await cluster.get(SECRET, "dep")).metadata.deletionTimestamp !== undefined);
  });

  test("orphan: dependents lose the reference and stay", async () => {
    const cluster = await aCluster();
    await aTree(cluster);
    await cluster.client.delete(REPLICA_SET, at("rs"), { propagationPolicy: "Orphan" });
    await becomes(() => namesOf(cluster, REPLICA_SET), []);
    expect(await namesOf(cluster, POD)).toEqual(["p1", "p2"]);
    for (const pod of await cluster.list(POD)) expect(pod.metadata.ownerReferences ?? []).toEqual([]);
  });

  test("one living owner is enough to stay; the reference to the dead one is cut", async () => {
    const cluster = await aCluster();
    const dead = await make(cluster, CONFIG_MAP, "dead");
    const alive = await make(cluster, CONFIG_MAP, "alive");
    await make(cluster, SECRET, "dep", [refTo(CONFIG_MAP, dead), refTo(CONFIG_MAP, alive)]);
    await cluster.client.delete(CONFIG_MAP, at("dead"));
    await becomes(async () => (await cluster.get(SECRET, "dep")).metadata.ownerReferences?.map(({ name }) => name), ["alive"]);
  });

  test("an owner that never existed, or has another UID, or lives in another namespace, is no owner", async () => {
    const cluster = await aCluster();
    const owner = await make(cluster, CONFIG_MAP, "owner");
    const elsewhere = await cluster.create(CONFIG_MAP, { metadata: { name: "elsewhere", namespace: "other" } });
    await make(cluster, SECRET, "of-nobody", [{ ...refTo(CONFIG_MAP, owner), name: "ghost", uid: "ghost" }]);
    await make(cluster, SECRET, "of-namesake", [{ ...refTo(CONFIG_MAP, owner), uid: "an-older-one" }]);
    await make(cluster, SECRET, "of-foreigner", [refTo(CONFIG_MAP, elsewhere)]);
    await make(cluster, SECRET, "of-owner", [refTo(CONFIG_MAP, owner)]);
    await becomes(() => namesOf(cluster, SECRET), ["of-owner"]);
    await consistently(async () => (await namesOf(cluster, SECRET)).length === 1);
  });

  test("a circle of owners in foreground deletion comes apart", async () => {
    const cluster = await aCluster();
    const a = await make(cluster, CONFIG_MAP, "a");
    const b = await make(cluster, CONFIG_MAP, "b", [refTo(CONFIG_MAP, a)]);
    const c = await make(cluster, CONFIG_MAP, "c", [refTo(CONFIG_MAP, b)]);
    await cluster.client.patch(CONFIG_MAP, at("a"), { metadata: { ownerReferences: [refTo(CONFIG_MAP, c)] } }, { type: "merge" });
    await cluster.client.delete(CONFIG_MAP, at("a"), { propagationPolicy: "Foreground" });
    await becomes(() => namesOf(cluster, CONFIG_MAP), []);
  });

  test("what was orphaned of its owner while nobody watched is collected at the next start", async () => {
    const cluster = await aCluster();
    await aTree(cluster);
    await cluster.crash();
    await cluster.client.delete(DEPLOYMENT, at("d"));
    await cluster.start(garbageCollector);
    await becomes(() => namesOf(cluster, POD), []);
    expect(await namesOf(cluster, REPLICA_SET)).toEqual([]);
  });

  test("a restart in the middle of a foreground deletion finishes it", async () => {
    const cluster = await aCluster();
    await aTree(cluster);
    await cluster.client.patch(POD, at("p1"), { metadata: { finalizers: ["example.com/hold"] } }, { type: "merge" });
    await cluster.client.delete(DEPLOYMENT, at("d"), { propagationPolicy: "Foreground" });
    await becomes(() => namesOf(cluster, POD), ["p1"]);
    await cluster.crash();
    await cluster.client.patch(POD, at("p1"), { metadata: { finalizers: null } }, { type: "merge" });
    await cluster.start(garbageCollector);
    await becomes(() => namesOf(cluster, DEPLOYMENT), []);
  });

  test("a cluster-scoped object with a namespaced owner is reported and left alone", async () => {
    const cluster = await aCluster();
    const owner = await make(cluster, CONFIG_MAP, "owner");
    await make(cluster, CLUSTER_ROLE, "role", [refTo(CONFIG_MAP, owner)]);
    await eventually(() => cluster.events.some((event) => event.startsWith("OwnerRefInvalidNamespace: ")));
    expect(await namesOf(cluster, CLUSTER_ROLE)).toEqual(["role"]);
  });

  test("custom kinds are owners and dependents like any other, from when they are served", async () => {
    const kinds = new KindRegistry();
    const cluster = await aCluster(kinds);
    const widget = row("example.com", "v1", "widgets", "Widget", true);
    const owner = await make(cluster, widget, "w");
    await make(cluster, SECRET, "dep", [refTo(widget, owner)]);
    await consistently(async () => (await namesOf(cluster, SECRET)).length === 1);
    kinds.add(widget);
    const configMap = await make(cluster, CONFIG_MAP, "c");
    await make(cluster, widget, "child", [refTo(CONFIG_MAP, configMap)]);
    await eventually(async () => (await namesOf(cluster, widget)).length === 2);
    await cluster.client.delete(widget, at("w"));
    await becomes(() => namesOf(cluster, SECRET), []);
    await cluster.client.delete(CONFIG_MAP, at("c"));
    await becomes(() => namesOf(cluster, widget), []);
  });

  test("a conflict on the way is tried again", async () => {
    const cluster = await aCluster();
    await aTree(cluster);
    let conflicts = 0;
    cluster.client.intercept = async ({ verb, kind, name }) => {
      if (verb === "delete" && kind === POD && conflicts++ === 0) await cluster.client.patch(POD, at(name), { metadata: { labels: { touched: "1" } } }, { type: "merge" });
    };
    await cluster.client.delete(REPLICA_SET, at("rs"));
    await becomes(() => namesOf(cluster, POD), []);
    expect(conflicts).toBeGreaterThan(2);
  });
});
