// Every workload controller in bad weather: failing calls, lost answers, broken watches, crashes, and a user who keeps changing things.
// When the weather clears the world is what the specs ask for.
import { afterEach, describe, expect, test } from "bun:test";
import { createInformers } from "../../api/client/informers.ts";
import { MemoryClient } from "../../api/client/testing.ts";
import { KindRegistry } from "../../api/registry.ts";
import type { DaemonSet, Deployment, EndpointSlice, Job, KubeObject, Pod, ReplicaSet, Service, StatefulSet, Stored } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { inBadWeather, pick, seeded, type Random, type Weather } from "./chaos.suite.ts";
import { eventually, pretendKubelet, readyStatus } from "./cluster.suite.ts";
import type { Controller, ControllerDeps } from "./controller.ts";
import { daemonSetController } from "./daemonset/daemonset.ts";
import { targetNode } from "./daemonset/nodes.ts";
import { deploymentController } from "./deployment/deployment.ts";
import { endpointSliceController } from "./endpoints/endpointslice.ts";
import { garbageCollector } from "./garbagecollector/garbagecollector.ts";
import { jobController } from "./job/job.ts";
import { CONFIG_MAP, DAEMON_SET, DEPLOYMENT, ENDPOINT_SLICE, JOB, NODE, POD, REPLICA_SET, SERVICE, STATEFUL_SET } from "./kinds.ts";
import { replicaSetController } from "./replicaset.ts";
import { statefulSetController } from "./statefulset/statefulset.ts";

const SEEDS = [1, 2, 3];
/** Back-off passes a hundred times as fast; everything else in its own time. */
const hasty = { now: () => Date.now(), sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(Math.min(ms, 5), signal) };
const running: { stop: () => Promise<void> }[] = [];
afterEach(async () => {
  for (const world of running.splice(0)) await world.stop();
});

/** A cluster whose controllers live in the weather and can crash. */
class World {
  readonly client = new MemoryClient();
  readonly weather: Weather = { trouble: 0.12 };
  readonly random: Random;
  #signal = new AbortController();
  #ended: Promise<unknown>[] = [];
  readonly #kubelet = new AbortController();

  constructor(seed: number, private readonly make: readonly ((deps: ControllerDeps) => Controller)[]) {
    this.random = seeded(seed);
    running.push(this);
  }

  start(): void {
    const client = inBadWeather(this.client, this.weather, this.random);
    const informers = createInformers(client, hasty);
    const deps: ControllerDeps = { informers, clientFor: () => client, recorderFor: () => ({ event: () => undefined }), clock: hasty, kinds: new KindRegistry(), settings: { clusterCaPem: "", clusterCidrs: [] } };
    const controllers = this.make.map((create) => create(deps));
    const { signal } = this.#signal;
    informers.start(signal);
    this.#ended = controllers.map((controller) => controller.start(signal));
  }

  runPods(): void {
    void pretendKubelet(this.client, this.#kubelet.signal);
  }

  get kubelet(): AbortSignal {
    return this.#kubelet.signal;
  }

  async crash(): Promise<void> {
    this.#signal.abort();
    await Promise.all(this.#ended);
    this.#signal = new AbortController();
    this.start();
  }

  async stop(): Promise<void> {
    this.#kubelet.abort();
    this.#signal.abort();
    await Promise.all(this.#ended);
  }

  list<T extends KubeObject>(kind: typeof POD): Promise<Stored<T>[]> {
    return this.client.list<T>(kind).then(({ items }) => items);
  }

  /** What a user does, by merge patch. */
  async edit(kind: typeof POD, name: string, body: object): Promise<void> {
    await this.client.patch(kind, { namespace: kind === NODE ? undefined : "default", name }, body, { type: "merge" });
  }

  /** One of the changes, again and again, with a crash now and then; then the weather clears. */
  async live(changes: readonly (() => Promise<void>)[], rounds = 25): Promise<void> {
    for (let round = 0; round < rounds; round++) {
      if (this.random() < 0.1) await this.crash();
      else await pick(this.random, changes)();
      await Bun.sleep(this.random() * 12);
    }
    this.weather.trouble = 0;
  }
}

const labels = { app: "web" };
const template = (image: string): NonNullable<Deployment["spec"]>["template"] => ({ metadata: { labels }, spec: { containers: [{ name: "c", image }] } });
const imageOf = (pod: Pod): string | undefined => pod.spec?.containers[0]?.image;
const isGoing = (pod: Pod): boolean => pod.metadata.deletionTimestamp !== undefined;

describe("in bad weather", () => {
  test.each(SEEDS)("a Deployment ends with the right pods behind its service (seed %p)", async (seed) => {
    const world = new World(seed, [deploymentController, replicaSetController, endpointSliceController, garbageCollector]);
    await world.client.create(NODE, { metadata: { name: "n" } });
    await world.client.create<Service>(SERVICE, { metadata: { name: "web", namespace: "default" }, spec: { selector: labels, ports: [{ port: 80 }], ipFamilies: ["IPv4"] } });
    await world.client.create<Deployment>(DEPLOYMENT, { metadata: { name: "web", namespace: "default" }, spec: { replicas: 4, selector: { matchLabels: labels }, revisionHistoryLimit: 2, progressDeadlineSeconds: 600, strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 as never, maxUnavailable: 1 as never } }, template: template("v0") } });
    world.start();
    world.runPods();
    let [replicas, image, version] = [4, "v0", 0];
    await world.live([
      async () => { await world.edit(DEPLOYMENT, "web", { spec: { replicas: replicas = Math.floor(world.random() * 9) } }); },
      async () => { await world.edit(DEPLOYMENT, "web", { spec: { template: template(image = `v${++version}`) } }); },
      async () => { await world.edit(DEPLOYMENT, "web", { spec: { template: template(image = "v0") } }); },
      async () => {
        const pods = await world.list<Pod>(POD);
        if (pods.length > 0) await world.client.delete(POD, pick(world.random, pods).metadata).catch(() => undefined);
      },
    ]);
    await eventually(async () => {
      const pods = (await world.list<Pod>(POD)).filter((pod) => !isGoing(pod));
      const { status, metadata } = await world.client.get<Deployment>(DEPLOYMENT, { namespace: "default", name: "web" });
      return pods.length === replicas && pods.every((pod) => imageOf(pod) === image) && (status?.availableReplicas ?? 0) === replicas && status?.observedGeneration === metadata.generation;
    }, "the deployment's rest");
    const sets = await world.list<ReplicaSet>(REPLICA_SET);
    expect(sets.filter((set) => (set.spec?.replicas ?? 0) > 0).length).toBeLessThanOrEqual(1);
    expect(new Set(sets.map((set) => set.metadata.annotations?.["deployment.kubernetes.io/revision"])).size).toBe(sets.length);
  });

  test.each(SEEDS)("a StatefulSet has every ordinal once (seed %p)", async (seed) => {
    const world = new World(seed, [statefulSetController]);
    await world.client.create<StatefulSet>(STATEFUL_SET, { metadata: { name: "db", namespace: "default" }, spec: { replicas: 3, serviceName: "db", selector: { matchLabels: labels }, revisionHistoryLimit: 2, podManagementPolicy: seed % 2 ? "OrderedReady" : "Parallel", updateStrategy: { type: "RollingUpdate" }, template: template("v0"), volumeClaimTemplates: [{ metadata: { name: "data" }, spec: {} }] } } as StatefulSet);
    world.start();
    world.runPods();
    let [replicas, image] = [3, "v0"];
    await world.live([
      async () => { await world.edit(STATEFUL_SET, "db", { spec: { replicas: replicas = Math.floor(world.random() * 5) } }); },
      async () => { await world.edit(STATEFUL_SET, "db", { spec: { template: template(image = `v${Math.floor(world.random() * 3)}`) } }); },
      async () => {
        const pods = await world.list<Pod>(POD);
        if (pods.length > 0) await world.client.delete(POD, pick(world.random, pods).metadata).catch(() => undefined);
      },
    ]);
    await eventually(async () => {
      const pods = await world.list<Pod>(POD);
      return Bun.deepEquals(pods.map((pod) => pod.metadata.name).toSorted(), Array.from({ length: replicas }, (_, i) => `db-${i}`)) && pods.every((pod) => imageOf(pod) === image && !isGoing(pod));
    }, "the stateful set's rest");
  });

  test.each(SEEDS)("a DaemonSet has one pod on every node that fits (seed %p)", async (seed) => {
    const world = new World(seed, [daemonSetController]);
    const nodes = ["a", "b", "c", "d"];
    for (const name of nodes) await world.client.create(NODE, { metadata: { name, labels: { on: "yes" } } });
    await world.client.create<DaemonSet>(DAEMON_SET, { metadata: { name: "agent", namespace: "default" }, spec: { selector: { matchLabels: labels }, revisionHistoryLimit: 2, updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 as never } }, template: { ...template("v0"), spec: { containers: [{ name: "c", image: "v0" }], nodeSelector: { on: "yes" } } } } });
    world.start();
    world.runPods();
    let image = "v0";
    const on = new Set(nodes);
    await world.live([
      async () => { await world.edit(DAEMON_SET, "agent", { spec: { template: { spec: { containers: [{ name: "c", image: image = `v${Math.floor(world.random() * 3)}` }] } } } }); },
      async () => {
        const name = pick(world.random, nodes);
        on[on.has(name) ? "delete" : "add"](name);
        await world.edit(NODE, name, { metadata: { labels: { on: on.has(name) ? "yes" : "no" } } });
      },
      async () => {
        const pods = await world.list<Pod>(POD);
        if (pods.length > 0) await world.client.delete(POD, pick(world.random, pods).metadata).catch(() => undefined);
      },
    ]);
    await eventually(async () => {
      const pods = await world.list<Pod>(POD);
      return Bun.deepEquals(pods.map((pod) => targetNode(pod)).toSorted(), [...on].toSorted()) && pods.every((pod) => imageOf(pod) === image && !isGoing(pod));
    }, "the daemon set's rest");
  });

  test.each(SEEDS)("a Job counts every pod exactly once (seed %p)", async (seed) => {
    const world = new World(seed, [jobController]);
    await world.client.create<Job>(JOB, { metadata: { name: "work", namespace: "default" }, spec: { completions: 12, parallelism: 3, backoffLimit: 1000, completionMode: seed % 2 ? "Indexed" : "NonIndexed", selector: { matchLabels: labels }, template: template("i") } as Job["spec"] });
    world.start();
    const ended = { Succeeded: 0, Failed: 0 };
    const endOne = async (phase: "Succeeded" | "Failed"): Promise<void> => {
      const pods = (await world.list<Pod>(POD)).filter((pod) => pod.status?.phase === "Pending" && !isGoing(pod));
      if (pods.length === 0) return;
      const pod = pick(world.random, pods);
      const long = new Date(Date.now() - 3_600_000).toISOString();
      await world.client.update<Pod>(POD, { ...pod, status: { ...readyStatus(pod, 0), phase, containerStatuses: [{ name: "c", image: "i", imageID: "", ready: false, restartCount: 0, state: { terminated: { exitCode: phase === "Failed" ? 1 : 0, finishedAt: long } } }] } }, { subresource: "status" });
      ended[phase]++;
    };
    await world.live([() => endOne("Succeeded"), () => endOne("Failed"), () => endOne("Succeeded")], 30);
    await eventually(async () => {
      await endOne("Succeeded");
      return (await world.client.get<Job>(JOB, { namespace: "default", name: "work" })).status?.conditions?.some(({ type }) => type === "Complete") ?? false;
    }, "the job's end");
    const { status } = await world.client.get<Job>(JOB, { namespace: "default", name: "work" });
    // What ends after enough have succeeded is not counted any more.
    expect(status?.succeeded).toBeGreaterThanOrEqual(12);
    expect(status?.succeeded).toBeLessThanOrEqual(ended.Succeeded);
    expect(status?.failed ?? 0).toBe(ended.Failed);
  });

  test("a service's slices hold each pod once, however its writes are lost", async () => {
    const world = new World(7, [endpointSliceController]);
    await world.client.create(NODE, { metadata: { name: "n" } });
    await world.client.create<Service>(SERVICE, { metadata: { name: "web", namespace: "default" }, spec: { selector: labels, ports: [{ port: 80 }], ipFamilies: ["IPv4"] } });
    world.start();
    let next = 0;
    await world.live([
      async () => {
        const pod: Pod = { metadata: { name: `p${next++}`, namespace: "default", labels }, spec: { nodeName: "n", containers: [] } };
        await world.client.create<Pod>(POD, { ...pod, status: { ...readyStatus(pod, 0), podIP: `10.0.0.${next}` } });
      },
      async () => {
        const pods = await world.list<Pod>(POD);
        if (pods.length > 0) await world.client.delete(POD, pick(world.random, pods).metadata, { gracePeriodSeconds: 0 });
      },
    ], 60);
    const published = async (): Promise<(string | undefined)[]> => (await world.list<EndpointSlice>(ENDPOINT_SLICE)).flatMap((slice) => slice.endpoints ?? []).map((endpoint) => endpoint.targetRef?.name).toSorted();
    await eventually(async () => Bun.deepEquals(await published(), (await world.list<Pod>(POD)).map((pod) => pod.metadata.name).toSorted()), "the slices' rest");
  });

  test.each(SEEDS)("of a web of owners exactly what still has one stays (seed %p)", async (seed) => {
    const world = new World(seed, [garbageCollector]);
    const owners = new Map<string, readonly string[]>();
    const uids = new Map<string, string>();
    const deleted = new Set<string>();
    world.start();
    const add = async (): Promise<void> => {
      const name = `o${owners.size}`;
      const candidates = [...owners.keys()].filter((owner) => !deleted.has(owner));
      const chosen = candidates.length === 0 || world.random() < 0.3 ? [] : [...new Set([pick(world.random, candidates), pick(world.random, candidates)])];
      const ownerReferences = chosen.map((owner) => ({ apiVersion: "v1", kind: "ConfigMap", name: owner, uid: uids.get(owner) as string, blockOwnerDeletion: world.random() < 0.5 }));
      const created = await world.client.create(CONFIG_MAP, { metadata: { name, namespace: "default", ...(chosen.length > 0 && { ownerReferences }) } });
      owners.set(name, chosen);
      uids.set(name, created.metadata.uid);
    };
    const remove = async (): Promise<void> => {
      const name = pick(world.random, [...owners.keys()]);
      const propagationPolicy = pick(world.random, ["Background", "Foreground"] as const);
      await world.client.delete(CONFIG_MAP, { namespace: "default", name }, { propagationPolicy }).catch(() => undefined);
      deleted.add(name);
    };
    for (let i = 0; i < 10; i++) await add();
    await world.live([add, add, remove], 50);
    /** Alive when nobody deleted it, and it never had an owner or still has a living one. */
    const isAlive = (name: string): boolean => {
      const references = owners.get(name) ?? [];
      return !deleted.has(name) && (references.length === 0 || references.some(isAlive));
    };
    const expected = [...owners.keys()].filter(isAlive).toSorted();
    await eventually(async () => Bun.deepEquals((await world.list(CONFIG_MAP)).map((object) => object.metadata.name).toSorted(), expected), "the web's rest");
  });
});
