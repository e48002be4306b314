// A cluster for controller tests: the API server in memory, chosen controllers, and a kubelet that is only pretended.
import { expect } from "bun:test";
import type { Client } from "../../api/client/client.ts";
import { createInformers } from "../../api/client/informers.ts";
import type { Informers } from "../../api/client/informer.ts";
import { MemoryClient } from "../../api/client/testing.ts";
import { KindRegistry } from "../../api/registry.ts";
import type { Event, KubeObject, ObjectReference, Pod, Stored } from "../../api/types.ts";
import { systemClock, timestamp, type Clock } from "../../lib/clock.ts";
import type { Controller, ControllerDeps, ControllerSettings } from "./controller.ts";
import { ControllerFigures } from "./figures.ts";
import { NAMESPACE, POD } from "./kinds.ts";
import type { KindInfo } from "../../api/kinds.ts";
import { becomes as untilEqual, eventually as patiently } from "../../lib/testing.ts";

export interface ClusterOptions {
  readonly clock?: Clock;
  readonly settings?: Partial<ControllerSettings>;
  readonly kinds?: KindRegistry;
}

/** One test's cluster; `stop` ends its controllers. */
export class TestCluster {
  readonly client: MemoryClient;
  readonly clock: Clock;
  readonly kinds: KindRegistry;
  /** `reason: message` of every event recorded, in order. */
  readonly events: string[] = [];
  readonly figures = new ControllerFigures();
  informers: Informers;
  readonly #settings: ControllerSettings;
  #running = new AbortController();
  #ended: Promise<unknown>[] = [];

  constructor(options: ClusterOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.client = new MemoryClient(this.clock);
    this.kinds = options.kinds ?? new KindRegistry();
    this.informers = createInformers(this.client, this.clock);
    this.#settings = { clusterCaPem: "CA", clusterCidrs: ["10.244.0.0/16"], ...options.settings };
  }

  get deps(): ControllerDeps {
    const event = (_: KubeObject | ObjectReference, _type: string, reason: string, message: string): void => void this.events.push(`${reason}: ${message}`);
    return { informers: this.informers, clientFor: () => this.client, recorderFor: () => ({ event }), clock: this.clock, kinds: this.kinds, settings: this.#settings, figures: this.figures };
  }

  /** Starts controllers and waits until their caches are filled. */
  async start(...make: ((deps: ControllerDeps) => Controller)[]): Promise<void> {
    const controllers = make.map((create) => create(this.deps));
    this.informers.start(this.#running.signal);
    await this.informers.waitForSync();
    this.#ended.push(...controllers.map((controller) => controller.start(this.#running.signal)));
  }

  /** Ends every controller and forgets every cache, as a crash does. */
  async crash(): Promise<void> {
    this.#running.abort();
    await Promise.all(this.#ended);
    this.#running = new AbortController();
    this.#ended = [];
    this.informers = createInformers(this.client, this.clock);
  }

  async stop(): Promise<void> {
    this.#running.abort();
    await Promise.all(this.#ended);
  }

  create<T extends KubeObject>(kind: KindInfo, object: T): Promise<Stored<T>> {
    return this.client.create<T>(kind, object);
  }

  get<T extends KubeObject>(kind: KindInfo, name: string, namespace: string | undefined = kind.namespaced ? "default" : undefined): Promise<Stored<T>> {
    return this.client.get<T>(kind, { name, namespace });
  }

  async list<T extends KubeObject>(kind: KindInfo, namespace?: string): Promise<Stored<T>[]> {
    return (await this.client.list<T>(kind, { namespace })).items;
  }

  /** Changes an object however the test says; a function of the stored one. */
  async change<T extends KubeObject>(kind: KindInfo, name: string, edit: (object: T) => void, subresource?: string): Promise<Stored<T>> {
    const object = structuredClone(await this.get<T>(kind, name)) as Stored<T>;
    edit(object);
    return this.client.update<T>(kind, object, { subresource });
  }
}

/** Waits until `probe` is true. */
export async function eventually(probe: () => Promise<boolean> | boolean, what = "the condition"): Promise<void> {
  await patiently(what, probe, 2);
}

/** Waits until `read` equals `wanted`, and shows both when it never does. */
export async function becomes<T>(read: () => Promise<T> | T, wanted: T): Promise<void> {
  await untilEqual(wanted, read, 2);
}

/** Checks that `probe` stays true for a while. */
export async function consistently(probe: () => Promise<boolean> | boolean, ms = 60): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end; await Bun.sleep(5)) expect(await probe()).toBe(true);
}

/** Runs every pod as soon as it appears and ends it as soon as it is deleted, until the signal aborts. */
export async function pretendKubelet(client: Client, signal: AbortSignal, accepts: (pod: Stored<Pod>) => boolean = () => true): Promise<void> {
  const seen = new Set<string>();
  try {
    for await (const event of client.watch<Pod>(POD, { signal })) {
      if (event.type === "BOOKMARK" || event.type === "DELETED") continue;
      const pod = event.object;
      const { name, namespace, uid, deletionTimestamp } = pod.metadata;
      if (deletionTimestamp) void client.delete(POD, { name, namespace }, { gracePeriodSeconds: 0 }).catch(() => undefined);
      else if (!seen.has(uid) && accepts(pod)) {
        seen.add(uid);
        void client.update<Pod>(POD, { ...pod, status: readyStatus(pod, Date.now()) }, { subresource: "status" }).catch(() => seen.delete(uid));
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

export function readyStatus(pod: Pod, now: number): NonNullable<Pod["status"]> {
  const lastTransitionTime = timestamp(now);
  return {
    ...pod.status, phase: "Running", podIP: pod.status?.podIP ?? "10.244.0.1",
    conditions: [{ type: "Ready", status: "True", lastTransitionTime }, { type: "ContainersReady", status: "True", lastTransitionTime }],
  };
}

export async function aNamespace(client: Client, name: string): Promise<void> {
  await client.create(NAMESPACE, { metadata: { name } });
}

export type { Event };
