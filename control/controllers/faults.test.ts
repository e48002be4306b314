// Faults by name: what goes wrong once, in one place, and how the cluster gets over it.
import { afterEach, describe, expect, test } from "bun:test";
import { runWorkers, workQueueFigures } from "../../api/client/workers.ts";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { forbidden } from "../../api/errors.ts";
import type { ConfigMap, CronJob, Deployment, Job, Pod, PodDisruptionBudget, ReplicaSet, ResourceQuota, Stored } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { Kubelets } from "./chaos/kubelets.suite.ts";
import { aTemplate, labels } from "./chaos/objects.suite.ts";
import { unlessRefused, World } from "./chaos/world.suite.ts";
import type { Controller, ControllerDeps } from "./controller.ts";
import { runControllers } from "./index.ts";
import { CONFIG_MAP, CRON_JOB, DEPLOYMENT, JOB, POD, POD_DISRUPTION_BUDGET, REPLICA_SET, RESOURCE_QUOTA } from "./kinds.ts";
import { isControlledBy } from "./owners.ts";
import { isActive, isReady } from "./pods.ts";
import { PendingWrites } from "./writes.ts";

const worlds: World[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});
async function aWorld(...controllers: string[]): Promise<{ world: World; kubelets: Kubelets }> {
  const world = await World.create({ seed: 1, controllers });
  worlds.push(world);
  const kubelets = new Kubelets(world);
  await kubelets.addNode("n");
  world.start();
  return { world, kubelets };
}
/** Lets the nodes do what there is to do until there is nothing left. */
async function settle(world: World, kubelets: Kubelets): Promise<void> {
  do await world.pass(2000);
  while (await kubelets.catchUp());
}
/** Lets time pass; workers that made way for others get their turn at every instant. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  const until = clock.monotonic() + ms;
  for (;;) {
    for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
    const next = clock.untilNext ?? Infinity;
    if (clock.monotonic() + next > until) break;
    await clock.advance(next);
  }
  await clock.advance(until - clock.monotonic());
}
const aReplicaSet = (replicas: number, name = "web"): ReplicaSet => ({ metadata: { name }, spec: { replicas, selector: { matchLabels: { app: name } }, template: { ...aTemplate("v0"), metadata: { labels: { app: name } } } } });
const aDeployment = (replicas: number): Deployment => ({ metadata: { name: "web" }, spec: { replicas, selector: { matchLabels: labels }, template: aTemplate("v0") } });
const readyPods = async (world: World): Promise<Stored<Pod>[]> => (await world.list<Pod>(POD)).filter((pod) => isActive(pod) && isReady(pod));

describe("a controller", () => {
  test("that throws is started again, ever later, and never stops the others", async () => {
    const clock = new FakeClock(0);
    const stop = new AbortController();
    const began: string[] = [];
    const failing: Controller = { name: "failing", start: () => (began.push("failing"), Promise.reject(new Error("broken"))) };
    const sound: Controller = { name: "sound", start: () => (began.push("sound"), Promise.resolve()) };
    const running = runControllers({ clock, informers: { start: () => undefined } } as unknown as ControllerDeps, [failing, sound], stop.signal);
    for (let seconds = 0; seconds < 20; seconds++) await clock.advance(1000);
    stop.abort();
    await running;
    expect(began.filter((name) => name === "failing").length).toBe(5);
    expect(began.filter((name) => name === "sound")).toHaveLength(1);
  });

  test("tries an object again ever later, goes on with the others, and names the poisoned one in an event and a metric", async () => {
    const clock = new FakeClock(0);
    const queue = new WorkQueue({ clock });
    const stop = new AbortController();
    const [tried, told]: [number[], string[]] = [[], []];
    let done = 0;
    const reconcile = (key: string): Promise<void> => {
      if (key !== "default/bad") return Promise.resolve(void done++);
      tried.push(clock.monotonic());
      return Promise.reject(new Error("cannot be"));
    };
    const running = runWorkers({ name: "faults", queue, workers: 1, signal: stop.signal, reconcile, onPoisoned: (key, error) => told.push(`${key} ${(error as Error).message}`) });
    queue.add("default/bad");
    for (let step = 0; step < 12; step++) {
      queue.add(`default/good-${step}`);
      await pass(clock, 1000);
    }
    const waits = tried.slice(1).map((at, index) => at - (tried[index] as number));
    expect(waits.slice(0, 6)).toEqual([5, 10, 20, 40, 80, 160]);
    expect(done).toBe(12);
    expect(told).toEqual(["default/bad cannot be"]);
    expect(workQueueFigures()).toMatch(/minik8s_reconcile_poisoned\{name="faults",key="default\/bad"\} \d+/);
    stop.abort();
    await running;
  });

  test("does not wait longer for a date that was set back, nor miss one that was set forward", async () => {
    const clock = new FakeClock(Date.parse("2026-01-01T00:00:00Z"));
    const queue = new WorkQueue({ clock });
    queue.addAfter("soon", 60_000);
    clock.jump(-86_400_000);
    await clock.advance(60_000);
    expect(queue.length).toBe(1);
    const pending = new PendingWrites(clock, { get: () => undefined, revision: 1 });
    pending.wrote("owner", { metadata: { name: "o", resourceVersion: "2" } });
    clock.jump(-86_400_000);
    await clock.advance(31_000);
    expect(pending.isBehind("owner")).toBe(false);
    const { world } = await aWorld("cronjob-controller");
    await world.create<CronJob>(CRON_JOB, { metadata: { name: "yearly" }, spec: { schedule: "@yearly", jobTemplate: { spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } } } } } as NonNullable<CronJob["spec"]> });
    await world.pass(5000);
    world.clock.jump(Date.parse("2027-01-01T00:05:00Z") - world.clock.now());
    await world.pass(60_000);
    expect(await world.list<Job>(JOB)).toHaveLength(1);
  });

  test("that missed what happened while its watch was broken finds it when it lists again", async () => {
    const { world, kubelets } = await aWorld("deployment-controller", "replicaset-controller");
    await world.create(DEPLOYMENT, aDeployment(3));
    await settle(world, kubelets);
    world.weather.trouble = 0.9;
    await world.edit(DEPLOYMENT, "web", { spec: { replicas: 5, template: aTemplate("v1") } });
    for (const pod of await readyPods(world)) await world.remove(POD, pod, { gracePeriodSeconds: 0 });
    await world.pass(60_000);
    world.calm();
    await world.pass(60_000);
    await settle(world, kubelets);
    const pods = await readyPods(world);
    expect(pods.map((pod) => pod.spec?.containers[0]?.image)).toEqual(Array.from({ length: 5 }, () => "v1"));
  });

  test("restarted in mid-rollout goes on where it stood, without a pod too many", async () => {
    const { world, kubelets } = await aWorld("deployment-controller", "replicaset-controller");
    await world.create(DEPLOYMENT, aDeployment(4));
    await settle(world, kubelets);
    await world.edit(DEPLOYMENT, "web", { spec: { template: aTemplate("v1") } });
    let moved = true;
    for (let restarts = 0; moved || restarts < 5; restarts++) {
      await world.pass(500);
      world.crash();
      await world.pass(500);
      const pods = (await world.list<Pod>(POD)).filter(isActive);
      expect(pods.length).toBeLessThanOrEqual(5);
      expect(pods.filter((pod) => isReady(pod)).length).toBeGreaterThanOrEqual(3);
      moved = await kubelets.catchUp();
    }
    const sets = (await world.list<ReplicaSet>(REPLICA_SET)).map((set) => [set.spec?.template?.spec?.containers[0]?.image, set.spec?.replicas]);
    expect(sets.toSorted()).toEqual([["v0", 0], ["v1", 4]]);
  });

  test("whose object is deleted between being read and being written lets it go", async () => {
    const { world, kubelets } = await aWorld("replicaset-controller", "garbage-collector-controller");
    await world.create(REPLICA_SET, aReplicaSet(3));
    await settle(world, kubelets);
    const [victim] = await readyPods(world);
    // Both at once: the set is told to shrink, and the pods it is about to take are gone before it asks.
    await world.edit(REPLICA_SET, "web", { spec: { replicas: 0 } });
    if (victim) await world.remove(POD, victim, { gracePeriodSeconds: 0 });
    await world.remove(REPLICA_SET, { metadata: { name: "web", namespace: "default" } }, { propagationPolicy: "Background" });
    await settle(world, kubelets);
    expect(await world.list(POD)).toEqual([]);
    const { writes } = world.traffic;
    await world.pass(600_000);
    expect(world.traffic.writes).toBe(writes);
  });

  test("meeting a name that is taken makes no second one and takes over nothing that is another's", async () => {
    const { world, kubelets } = await aWorld("deployment-controller", "replicaset-controller");
    await world.create(DEPLOYMENT, aDeployment(1));
    await settle(world, kubelets);
    const [own] = await world.list<ReplicaSet>(REPLICA_SET);
    const name = own?.metadata.name as string;
    await world.remove(DEPLOYMENT, { metadata: { name: "web", namespace: "default" } }, { propagationPolicy: "Background" });
    await world.remove(REPLICA_SET, { metadata: { name, namespace: "default" } }, { gracePeriodSeconds: 0 });
    const stranger = await unlessRefused(world.create<ReplicaSet>(REPLICA_SET, { ...aReplicaSet(0, "stranger"), metadata: { name } }));
    await world.create(DEPLOYMENT, aDeployment(2));
    await settle(world, kubelets);
    const deployment = await world.find<Deployment>(DEPLOYMENT, "web") as Stored<Deployment>;
    const sets = await world.list<ReplicaSet>(REPLICA_SET);
    expect(sets.filter((set) => isControlledBy(set, deployment))).toHaveLength(1);
    expect(deployment.status?.availableReplicas).toBe(2);
    expect((await world.find<ReplicaSet>(REPLICA_SET, name))?.metadata.uid).toBe(stranger?.metadata.uid as string);
  });
});

describe("what can never be", () => {
  test("owners in a circle come apart when they are deleted, and nothing else goes with them", async () => {
    const { world } = await aWorld("garbage-collector-controller");
    const a = await world.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "a" } });
    const refersTo = (owner: Stored<ConfigMap>): object => ({ metadata: { ownerReferences: [{ apiVersion: "v1", kind: "ConfigMap", name: owner.metadata.name, uid: owner.metadata.uid, blockOwnerDeletion: true }] } });
    const b = await world.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "b", ...(refersTo(a) as { metadata: object }).metadata } });
    await world.edit(CONFIG_MAP, "a", refersTo(b));
    await world.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "bystander" } });
    await world.pass(60_000);
    expect((await world.list(CONFIG_MAP)).map(({ metadata }) => metadata.name)).toEqual(["a", "b", "bystander"]);
    await world.remove(CONFIG_MAP, a, { propagationPolicy: "Foreground" });
    await world.pass(60_000);
    expect((await world.list(CONFIG_MAP)).map(({ metadata }) => metadata.name)).toEqual(["bystander"]);
  });

  test("a budget that can never be met refuses every eviction, says so, and rests", async () => {
    const { world, kubelets } = await aWorld("disruption-controller", "replicaset-controller");
    await world.create(REPLICA_SET, aReplicaSet(2));
    await world.create<PodDisruptionBudget>(POD_DISRUPTION_BUDGET, { metadata: { name: "web" }, spec: { selector: { matchLabels: labels }, minAvailable: 5 as never } });
    await settle(world, kubelets);
    for (const { metadata: { name, namespace } } of await readyPods(world)) {
      const granted = await unlessRefused(world.api.post(POD, { name, namespace }, "eviction", { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace } }));
      expect(granted).toBeUndefined();
    }
    const { status } = await world.find<PodDisruptionBudget>(POD_DISRUPTION_BUDGET, "web") as Stored<PodDisruptionBudget>;
    expect(status).toMatchObject({ currentHealthy: 2, desiredHealthy: 5, disruptionsAllowed: 0 });
    expect(status?.conditions?.[0]).toMatchObject({ type: "DisruptionAllowed", status: "False", reason: "InsufficientPods" });
    const { writes } = world.traffic;
    await world.pass(600_000);
    expect(world.traffic.writes).toBe(writes);
  });

  test("a quota hit in mid-scale is an event and a condition, and the rest comes when there is room", async () => {
    const { world, kubelets } = await aWorld("resourcequota-controller", "replicaset-controller");
    await world.create<ResourceQuota>(RESOURCE_QUOTA, { metadata: { name: "q" }, spec: { hard: { pods: "2" } } });
    await world.pass(2000);
    await world.create(REPLICA_SET, aReplicaSet(5));
    await settle(world, kubelets);
    const set = await world.find<ReplicaSet>(REPLICA_SET, "web");
    expect(set?.status).toMatchObject({ replicas: 2, conditions: [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate" }] });
    const refusal = forbidden(POD, "", "").message.split(" is")[0] as string;
    expect(world.events.some((event) => event.startsWith("ReplicaSet/web FailedCreate: Error creating: pods") && event.includes("exceeded quota: q"))).toBe(true);
    expect(set?.status?.conditions?.[0]?.message).toContain(refusal);
    await world.edit(RESOURCE_QUOTA, "q", { spec: { hard: { pods: "9" } } });
    // The longest pause between two tries is under seventeen minutes.
    for (let minutes = 0; minutes < 17; minutes++) await world.pass(60_000);
    await settle(world, kubelets);
    const { status } = await world.find<ReplicaSet>(REPLICA_SET, "web") as Stored<ReplicaSet>;
    expect(status?.availableReplicas).toBe(5);
    expect(status?.conditions ?? []).toEqual([]);
  });
});
