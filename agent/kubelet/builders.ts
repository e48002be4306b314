// Builders for kubelet tests: a pod as the API would hold it, and a whole kubelet on fakes.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KindInfo } from "../../api/kinds.ts";
import { builtinKind } from "../../api/registry.ts";
import type { AnyObject, Container, ObjectReference, Pod, PodSpec, Stored } from "../../api/types.ts";
import { systemClock, type Clock } from "../../lib/clock.ts";
import { PATIENCE_MS } from "../../lib/testing.ts";
import { FakeRuntime, type FakeRuntimeOptions } from "../runtime/fake.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Mounter } from "../volumes/mount.ts";
import { readCgroup } from "./cgroupfigures.ts";
import type { Cgroups } from "./cgroups.ts";
import { FakeApi, fakeInformers } from "./fakeapi.ts";
import { createKubelet, type Kubelet, type KubeletDeps } from "./kubelet.ts";

const POD = builtinKind("", "v1", "Pod");

export const aContainer = (overrides: Partial<Container> = {}): Container => ({ name: "app", image: "app:1", imagePullPolicy: "IfNotPresent", ...overrides });

/** A pod bound to node `n1`, with defaults as the API fills them in. */
export function aPod(overrides: { name?: string; uid?: string; spec?: Partial<PodSpec>; metadata?: Partial<Pod["metadata"]>; status?: Pod["status"] } = {}): Pod {
  return {
    apiVersion: "v1", kind: "Pod",
    metadata: { name: overrides.name ?? "p", namespace: "default", uid: overrides.uid ?? "uid-1", resourceVersion: "1", generation: 1, ...overrides.metadata },
    spec: { nodeName: "n1", restartPolicy: "Always", terminationGracePeriodSeconds: 30, dnsPolicy: "ClusterFirst", enableServiceLinks: true, containers: [aContainer()], ...overrides.spec },
    ...(overrides.status && { status: overrides.status }),
  };
}

const NO_FIGURES = await readCgroup({ version: 1, mounts: new Map(), path: "/nowhere" });

export const noCgroups: Cgroups = { version: 1, parentOf: (pod) => `/kubepods/pod${pod.metadata.uid}`, ensure: () => Promise.resolve(), resize: () => Promise.resolve(), remove: () => Promise.resolve(), refusedForks: () => Promise.resolve(0), figures: async () => ({ own: NO_FIGURES, below: new Map() }), allFigures: async () => NO_FIGURES, removeStale: () => Promise.resolve() };
export const noMounter: Mounter = { tmpfs: () => Promise.resolve(), hugetlbfs: () => Promise.resolve(), bind: () => Promise.resolve(), image: () => Promise.resolve(), unmount: () => Promise.resolve(), isMountPoint: () => Promise.resolve(false), below: () => Promise.resolve([]) };

export interface RecordedEvent {
  readonly about: ObjectReference;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

export interface RigOptions {
  readonly runtime?: FakeRuntimeOptions;
  readonly clock?: Clock;
  readonly api?: FakeApi;
  /** The real things, for tests on a host. */
  readonly real?: { readonly runtime: Runtime; readonly mounter: Mounter; readonly cgroups: Cgroups };
  readonly dataDir?: string;
  /** Whatever else the kubelet is to be given. */
  readonly deps?: Partial<KubeletDeps>;
}

/** A kubelet on a fake runtime and a fake API; `close` stops it and removes its directory. */
export class Rig {
  readonly dir: string;
  readonly api: FakeApi;
  readonly runtime: FakeRuntime;
  readonly events: RecordedEvent[] = [];
  kubelet: Kubelet;
  readonly #clock: Clock;

  readonly #real: RigOptions["real"];
  readonly #deps: RigOptions["deps"];

  constructor(options: RigOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.api = options.api ?? new FakeApi();
    this.#real = options.real;
    this.#deps = options.deps;
    this.dir = options.dataDir ?? mkdtempSync(join(tmpdir(), "kubelet-rig-"));
    this.runtime = new FakeRuntime({ clock: this.#clock, writeLogs: true, ...options.runtime });
    this.kubelet = this.#create();
  }

  #create(): Kubelet {
    return createKubelet({
      client: this.api, informers: fakeInformers(this.api), runtime: this.#real?.runtime ?? this.runtime, clock: this.#clock,
      recorder: { event: (about, type, reason, message) => void this.events.push({ about, type, reason, message }) },
      cgroups: this.#real?.cgroups ?? noCgroups, mounter: this.#real?.mounter ?? noMounter, nodeName: "n1", nodeIp: "10.0.0.1",
      dataDir: join(this.dir, "data"), podLogs: join(this.dir, "logs", "pods"), clusterDns: ["10.96.0.10"], clusterDomain: "cluster.local",
      ...this.#deps,
    });
  }

  async start(): Promise<this> {
    await this.kubelet.start();
    return this;
  }

  /** The agent process goes away and comes back; runtime and API stay. */
  async restart(): Promise<void> {
    await this.kubelet.stop();
    this.kubelet = this.#create();
    await this.kubelet.start();
  }

  /** As `restart`, but without waiting for anything the old process was doing. */
  async crash(): Promise<void> {
    void this.kubelet.stop();
    this.kubelet = this.#create();
    await this.kubelet.start();
  }

  create(pod: Pod): Promise<Stored<Pod>> {
    return this.api.create(POD, pod);
  }

  addObject(kind: KindInfo, object: AnyObject): void {
    void this.api.create(kind, object);
  }

  /** The node's own object, with these resources for pods. */
  async addNode(allocatable: Record<string, string>): Promise<void> {
    await this.api.create(builtinKind("", "v1", "Node"), { metadata: { name: "n1" }, status: { allocatable, capacity: allocatable } });
  }

  /** Resolves when no pod is being worked on any more. */
  async settled(): Promise<void> {
    while (this.kubelet.pods.all().some((worker) => worker.pod.metadata.deletionTimestamp)) await Bun.sleep(5);
  }

  /** Deletes every pod and waits until nothing is left of any. */
  async deleteAll(): Promise<void> {
    for (const pod of this.api.select(POD, {})) await this.delete(pod.metadata.name, 1).catch(() => undefined);
    while (this.kubelet.pods.all().length > 0) await Bun.sleep(5);
  }

  async delete(name: string, gracePeriodSeconds?: number): Promise<void> {
    await this.api.delete(POD, { name, namespace: "default" }, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds });
  }

  pod(name = "p"): Stored<Pod> | undefined {
    return this.api.select(POD, {}).find((pod) => pod.metadata.name === name) as unknown as Stored<Pod> | undefined;
  }

  /** Resolves once the API's pod satisfies the condition; fails when patience is over, with what was there. */
  async until(condition: (pod: Stored<Pod> | undefined) => boolean, name = "p"): Promise<Stored<Pod>> {
    const end = Date.now() + PATIENCE_MS;
    while (!condition(this.pod(name))) {
      if (Date.now() > end) throw new Error(`gave up waiting for pod ${name}: ${JSON.stringify(this.pod(name)?.status, null, 1)} ${JSON.stringify(this.events.map((e) => `${e.reason}: ${e.message}`))}`);
      await Bun.sleep(2);
    }
    return this.pod(name) as Stored<Pod>;
  }

  reasons(): string[] {
    return this.events.map((event) => event.reason);
  }

  async close(): Promise<void> {
    await this.kubelet.stop();
    if (!this.#real) rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A condition's status, for short assertions. */
export const conditionOf = (pod: Pod | undefined, type: string): string | undefined => pod?.status?.conditions?.find((condition) => condition.type === type)?.status;
