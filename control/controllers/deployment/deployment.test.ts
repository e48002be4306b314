import { afterEach, describe, expect, test } from "bun:test";
import { forbidden } from "../../../api/errors.ts";
import type { Deployment, DeploymentSpec, Pod, ReplicaSet, Stored } from "../../../api/types.ts";
import { systemClock } from "../../../lib/clock.ts";
import { becomes, consistently, eventually, pretendKubelet, TestCluster } from "../cluster.suite.ts";
import { findCondition } from "../conditions.ts";
import { DEPLOYMENT, POD, REPLICA_SET } from "../kinds.ts";
import { isReady } from "../pods.ts";
import { replicaSetController } from "../replicaset.ts";
import { deploymentController } from "./deployment.ts";
import { rollDown } from "./replicasets.ts";

const clusters: TestCluster[] = [];
let kubelet = new AbortController();
afterEach(async () => {
  kubelet.abort();
  kubelet = new AbortController();
  for (const cluster of clusters.splice(0)) await cluster.stop();
});

async function aCluster(options: { kubelet?: (pod: Stored<Pod>) => boolean; clock?: typeof systemClock } = {}): Promise<TestCluster> {
  const cluster = new TestCluster(options);
  clusters.push(cluster);
  await cluster.start(deploymentController, replicaSetController);
  void pretendKubelet(cluster.client, kubelet.signal, options.kubelet);
  return cluster;
}
const labels = { app: "web" };
const aDeployment = (spec: Partial<DeploymentSpec> = {}, image = "v1"): Deployment => ({
  metadata: { name: "web", namespace: "default", annotations: { "kubernetes.io/change-cause": `use ${image}` } },
  spec: {
    replicas: 3, selector: { matchLabels: labels }, revisionHistoryLimit: 10, progressDeadlineSeconds: 600,
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%" as never, maxUnavailable: "25%" as never } },
    template: { metadata: { labels }, spec: { containers: [{ name: "c", image }] } }, ...spec,
  },
});
const deployed = (cluster: TestCluster): Promise<Stored<Deployment>> => cluster.get<Deployment>(DEPLOYMENT, "web");
const conditionOf = async (cluster: TestCluster, type: string) => findCondition((await deployed(cluster)).status?.conditions, type);
const setsOf = async (cluster: TestCluster): Promise<Stored<ReplicaSet>[]> => (await cluster.list<ReplicaSet>(REPLICA_SET)).toSorted((a, b) => Number(a.metadata.annotations?.["deployment.kubernetes.io/revision"]) - Number(b.metadata.annotations?.["deployment.kubernetes.io/revision"]));
const sizesOf = async (cluster: TestCluster): Promise<number[]> => (await setsOf(cluster)).map((set) => set.spec?.replicas ?? -1);
const imageOf = (object: ReplicaSet | Deployment): string | undefined => object.spec?.template?.spec?.containers[0]?.image;
const setImage = (cluster: TestCluster, image: string): Promise<unknown> => cluster.change<Deployment>(DEPLOYMENT, "web", (d) => { (d.spec as { template: { spec: { containers: { image: string }[] } } }).template.spec.containers = [{ name: "c", image } as never]; });
const isRolledOut = async (cluster: TestCluster, image: string, replicas: number): Promise<boolean> => {
  const d = await deployed(cluster);
  return d.status?.observedGeneration === d.metadata.generation && imageOf(d) === image && d.status?.updatedReplicas === replicas && d.status?.replicas === replicas && d.status?.availableReplicas === replicas;
};

describe("a Deployment", () => {
  test("becomes a ReplicaSet of its template and tells when it is there", async () => {
    const cluster = await aCluster();
    await cluster.create(DEPLOYMENT, aDeployment());
    await eventually(() => isRolledOut(cluster, "v1", 3));
    const [set] = (await setsOf(cluster)) as [Stored<ReplicaSet>];
    const hash = set.metadata.labels?.["pod-template-hash"] as string;
    expect(set.metadata.name).toBe(`web-${hash}`);
    expect(hash).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{5,10}$/);
    expect(set.spec?.selector.matchLabels).toEqual({ app: "web", "pod-template-hash": hash });
    expect(set.metadata.annotations).toEqual({
      "kubernetes.io/change-cause": "use v1", "deployment.kubernetes.io/revision": "1",
      "deployment.kubernetes.io/desired-replicas": "3", "deployment.kubernetes.io/max-replicas": "4",
    });
    expect((await deployed(cluster)).metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("1");
    await becomes(async () => (await conditionOf(cluster, "Progressing"))?.reason, "NewReplicaSetAvailable");
    expect((await conditionOf(cluster, "Progressing"))?.message).toBe(`ReplicaSet "${set.metadata.name}" has successfully progressed.`);
    expect(await conditionOf(cluster, "Available")).toMatchObject({ status: "True", reason: "MinimumReplicasAvailable", message: "Deployment has minimum availability." });
    expect(cluster.events).toContain(`ScalingReplicaSet: Scaled up replica set web-${hash} from 0 to 3`);
  });

  test("rolls to a new template without ever having too few or too many pods", async () => {
    const cluster = await aCluster();
    await cluster.create(DEPLOYMENT, aDeployment({ replicas: 8, strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 2 as never, maxUnavailable: 1 as never } } }));
    await eventually(() => isRolledOut(cluster, "v1", 8));
    let most = 0;
    let fewest = 99;
    const watch = setInterval(() => void cluster.list<Pod>(POD).then((pods) => {
      most = Math.max(most, pods.filter((pod) => !pod.metadata.deletionTimestamp).length);
      fewest = Math.min(fewest, pods.filter(isReady).length);
      return undefined;
    }), 1);
    await setImage(cluster, "v2");
    await eventually(() => isRolledOut(cluster, "v2", 8));
    clearInterval(watch);
    expect(most).toBeLessThanOrEqual(10);
    expect(fewest).toBeGreaterThanOrEqual(7);
    await becomes(() => sizesOf(cluster), [0, 8]);
  });

  test("going back to an old template reuses its set under a new revision and remembers the old one", async () => {
    const cluster = await aCluster();
    await cluster.create(DEPLOYMENT, aDeployment());
    await eventually(() => isRolledOut(cluster, "v1", 3));
    await setImage(cluster, "v2");
    await eventually(() => isRolledOut(cluster, "v2", 3));
    await setImage(cluster, "v1");
    await eventually(() => isRolledOut(cluster, "v1", 3));
    const sets = await setsOf(cluster);
    expect(sets.map((set) => [imageOf(set), set.metadata.annotations?.["deployment.kubernetes.io/revision"]])).toEqual([["v2", "2"], ["v1", "3"]]);
    expect(sets[1]?.metadata.annotations?.["deployment.kubernetes.io/revision-history"]).toBe("1");
  });

  test("keeps only as many old sets as its history allows", async () => {
    const cluster = await aCluster();
    await cluster.create(DEPLOYMENT, aDeployment({ replicas: 1, revisionHistoryLimit: 1 }));
    for (const image of ["v1", "v2", "v3", "v4"]) {
      await setImage(cluster, image);
      await eventually(() => isRolledOut(cluster, image, 1));
    }
    await becomes(async () => (await setsOf(cluster)).map(imageOf), ["v3", "v4"]);
  });

  test("Recreate ends every old pod before the first new one", async () => {
    const cluster = await aCluster();
    await cluster.create(DEPLOYMENT, aDeployment({ strategy: { type: "Recreate" } }));
    await eventually(() => isRolledOut(cluster, "v1", 3));
    let hasOverlapped = false;
    const images = async (): Promise<Set<string | undefined>> => new Set((await cluster.list<Pod>(POD)).map((pod) => pod.spec?.containers[0]?.image));
    const watch = setInterval(() => void images().then((found) => (hasOverlapped ||= found.size > 1)), 1);
    await setImage(cluster, "v2");
    await eventually(() => isRolledOut(cluster, "v2", 3));
    clearInterval(watch);
    expect(hasOverlapped).toBe(false);
  });

  test("paused, it scales but does not roll; resumed, it rolls", async () => {
    const cluster = await aCluster();
    await cluster.create(DEPLOYMENT, aDeployment());
    await eventually(() => isRolledOut(cluster, "v1", 3));
    await cluster.change<Deployment>(DEPLOYMENT, "web", (d) => { (d.spec as DeploymentSpec).paused = true; });
    await becomes(async () => (await conditionOf(cluster, "Progressing"))?.reason, "DeploymentPaused");
    await setImage(cluster, "v2");
    await cluster.change<Deployment>(DEPLOYMENT, "web", (d) => { (d.spec as DeploymentSpec).replicas = 5; });
    await becomes(() => sizesOf(cluster), [5]);
    await consistently(async () => (await setsOf(cluster)).length === 1);
    await cluster.change<Deployment>(DEPLOYMENT, "web", (d) => { (d.spec as DeploymentSpec).paused = false; });
    await eventually(() => isRolledOut(cluster, "v2", 5));
  });

  test("scaled in the middle of a stuck rollout, it keeps the proportion of its sets", async () => {
    const cluster = await aCluster({ kubelet: (pod) => pod.spec?.containers[0]?.image === "v1" });
    await cluster.create(DEPLOYMENT, aDeployment({ replicas: 10, strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 3 as never, maxUnavailable: 2 as never } } }));
    await eventually(() => isRolledOut(cluster, "v1", 10));
    await setImage(cluster, "v2");
    await becomes(() => sizesOf(cluster), [8, 5]);
    await cluster.change<Deployment>(DEPLOYMENT, "web", (d) => { (d.spec as DeploymentSpec).replicas = 30; });
    await becomes(() => sizesOf(cluster), [20, 13]);
  });

  test("a rollout that gets nowhere is reported after its deadline", async () => {
    const cluster = await aCluster({ kubelet: () => false });
    await cluster.create(DEPLOYMENT, aDeployment({ progressDeadlineSeconds: 1 }));
    await becomes(async () => (await conditionOf(cluster, "Progressing"))?.reason, "ProgressDeadlineExceeded");
    const [set] = await setsOf(cluster);
    expect(await conditionOf(cluster, "Progressing")).toMatchObject({ status: "False", message: `ReplicaSet "${set?.metadata.name}" has timed out progressing.` });
    expect(await conditionOf(cluster, "Available")).toMatchObject({ status: "False", reason: "MinimumReplicasUnavailable" });
  });

  test("a name taken by a foreign set leads to another hash", async () => {
    const first = await aCluster();
    await first.create(DEPLOYMENT, aDeployment());
    await eventually(async () => (await setsOf(first)).length === 1);
    const [taken] = (await setsOf(first)) as [Stored<ReplicaSet>];
    const cluster = await aCluster();
    await cluster.create(REPLICA_SET, { metadata: { name: taken.metadata.name, namespace: "default", labels: { other: "x" } }, spec: { replicas: 0, selector: { matchLabels: { other: "x" } }, template: { metadata: { labels: { other: "x" } } } } });
    await cluster.create(DEPLOYMENT, aDeployment());
    await eventually(() => isRolledOut(cluster, "v1", 3));
    expect((await deployed(cluster)).status?.collisionCount).toBe(1);
  });

  test("a set that cannot make pods makes the Deployment say so", async () => {
    const cluster = await aCluster();
    cluster.client.intercept = ({ verb, kind }) => {
      if (verb === "create" && kind === POD) throw forbidden(POD, "web", "quota");
    };
    await cluster.create(DEPLOYMENT, aDeployment());
    await becomes(async () => (await conditionOf(cluster, "ReplicaFailure"))?.reason, "FailedCreate");
    cluster.client.intercept = () => undefined;
    await becomes(() => conditionOf(cluster, "ReplicaFailure"), undefined);
  });

  test("a restart in mid-rollout goes on where it stood, conflicts included", async () => {
    const cluster = await aCluster();
    await cluster.create(DEPLOYMENT, aDeployment({ replicas: 6 }));
    await eventually(() => isRolledOut(cluster, "v1", 6));
    await setImage(cluster, "v2");
    await eventually(async () => (await setsOf(cluster)).length === 2);
    await cluster.crash();
    await cluster.change<ReplicaSet>(REPLICA_SET, (await setsOf(cluster))[0]?.metadata.name as string, (set) => { set.metadata.annotations = { ...set.metadata.annotations, touched: "yes" }; });
    await cluster.start(deploymentController, replicaSetController);
    await eventually(() => isRolledOut(cluster, "v2", 6));
  });

  test("one whose every write is refused says so on itself, and others go on", async () => {
    const cluster = await aCluster();
    cluster.client.intercept = ({ verb, kind, body }) => {
      if (verb === "create" && kind === REPLICA_SET && (body as ReplicaSet).metadata.namespace === "default") throw new Error("disk is on fire");
    };
    await cluster.create(DEPLOYMENT, aDeployment());
    await cluster.create(DEPLOYMENT, { ...aDeployment(), metadata: { name: "well", namespace: "other" } });
    await eventually(async () => (await cluster.get<Deployment>(DEPLOYMENT, "well", "other")).status?.availableReplicas === 3);
    await eventually(() => cluster.events.includes("ReconcileFailing: Reconciling fails again and again: disk is on fire"));
    expect(cluster.events.some((event) => event.startsWith('ReplicaSetCreateError: Failed to create new replica set "web-'))).toBe(true);
  });

  test("adopts sets that match and has no owner", async () => {
    const cluster = await aCluster();
    await cluster.create(REPLICA_SET, { metadata: { name: "old", namespace: "default", labels }, spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "v0" }] } } } });
    const deployment = await cluster.create(DEPLOYMENT, aDeployment());
    await eventually(() => isRolledOut(cluster, "v1", 3));
    expect((await cluster.get<ReplicaSet>(REPLICA_SET, "old")).metadata.ownerReferences?.[0]?.uid).toBe(deployment.metadata.uid);
    expect((await cluster.get<ReplicaSet>(REPLICA_SET, "old")).spec?.replicas).toBe(0);
  });
});

test("pods an old set is about to delete do not count as available", () => {
  const aSet = (name: string, replicas: number, availableReplicas: number): Stored<ReplicaSet> => ({ metadata: { name, namespace: "default", uid: name, resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" }, spec: { replicas, selector: { matchLabels: labels } }, status: { replicas: availableReplicas, availableReplicas } }) as unknown as Stored<ReplicaSet>;
  const deployment = aDeployment({ replicas: 100 });
  // The old set was made smaller by 25, which its status does not show yet; 10 new pods have come since.
  const scaled = rollDown(deployment, { oldSets: [aSet("old", 75, 100)], newSet: aSet("new", 50, 10) });
  expect(scaled.map(({ set, replicas }) => [set.metadata.name, replicas])).toEqual([["old", 65]]);
});
