// A cluster in which time is only pretended: the real API server in memory, controllers that can crash, weather, and a date that jumps.
// What happens in it is the scenarios' business, what pods do the kubelets'.
import type { Client } from "../../../api/client/client.ts";
import { createInformers } from "../../../api/client/informers.ts";
import { ApiError } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import { KindRegistry } from "../../../api/registry.ts";
import { SchemaCodec } from "../../../api/schema/codec.ts";
import { SchemaEngine } from "../../../api/schema/engine.ts";
import type { AnyObject, KubeObject, Stored } from "../../../api/types.ts";
import { FakeClock } from "../../../lib/clock.ts";
import { namespaceLifecycle } from "../../apiserver/admission/lifecycle.ts";
import { resourceQuota } from "../../apiserver/admission/quota.ts";
import { defaultStorageClass, storageObjectInUseProtection } from "../../apiserver/admission/storage.ts";
import { startKindServer } from "../../apiserver/kinds/testing.ts";
import type { TestServer } from "../../apiserver/testing.ts";
import type { ControllerDeps, ControllerSettings } from "../controller.ts";
import { ControllerFigures } from "../figures.ts";
import { createControllers, runControllers } from "../index.ts";
import { NAMESPACE } from "../kinds.ts";
import { inBadWeather, pick, seeded, type Random, type Traffic, type Weather } from "./weather.suite.ts";

const BEGIN = Date.parse("2026-01-31T10:00:00Z");
const TROUBLE = 0.1;
/** More wake-ups than this in one stretch of time are a loop that spins. */
const MAX_WAKE_UPS = 20_000;
const codec = new SchemaCodec(new SchemaEngine());

/** Who the controllers of one life are, and what is left of their settings to be chosen. */
export interface WorldOptions {
  readonly seed: number;
  /** As `--controllers` takes them. */
  readonly controllers: readonly string[];
  readonly settings?: Partial<ControllerSettings>;
}

/** One seed's cluster; `stop` ends it. */
export class World {
  readonly clock = new FakeClock(BEGIN);
  readonly random: Random;
  readonly weather: Weather = { trouble: 0 };
  readonly traffic: Traffic = { calls: 0, writes: 0, inFlight: 0, activity: 0 };
  readonly kinds = new KindRegistry();
  /** `Kind/name reason: message` of every event recorded. */
  readonly events: string[] = [];
  /** What the world did, for whoever replays it. */
  readonly story: string[] = [];
  server!: TestServer;
  #life = new AbortController();
  #controllers: Promise<void> = Promise.resolve();

  private constructor(private readonly options: WorldOptions) {
    this.random = seeded(options.seed);
  }

  static async create(options: WorldOptions): Promise<World> {
    const world = new World(options);
    const { clock, kinds } = world;
    world.server = await startKindServer({ kinds, codec, clock, admission: [namespaceLifecycle(), storageObjectInUseProtection(), defaultStorageClass(), resourceQuota(clock)] });
    if (!(await world.find(NAMESPACE, "default"))) await world.api.create(NAMESPACE, { metadata: { name: "default" } });
    return world;
  }

  /** The API as users, nodes and the scheduler have it: in fine weather. */
  get api(): Client {
    return this.server.client;
  }

  start(): void {
    this.#life = new AbortController();
    const { signal } = this.#life;
    const client = inBadWeather(this.server.client, { ...this, life: signal });
    const event: ReturnType<ControllerDeps["recorderFor"]>["event"] = (regarding, _type, reason, message) => {
      const { kind = "", name = "" } = "metadata" in regarding ? { kind: regarding.kind, name: regarding.metadata.name } : regarding;
      this.events.push(`${kind}/${name} ${reason}: ${message}`);
    };
    const deps: ControllerDeps = {
      informers: createInformers(client, this.clock), clientFor: () => client, recorderFor: () => ({ event }), clock: this.clock, kinds: this.kinds, figures: new ControllerFigures(),
      settings: { clusterCaPem: "CA", clusterCidrs: ["10.244.0.0/16"], ...this.options.settings },
    };
    this.#controllers = runControllers(deps, createControllers(deps, this.options.controllers), signal);
  }

  /** The controllers' process dies at this instant, and another starts. */
  crash(): void {
    this.#life.abort();
    void this.#controllers;
    this.start();
  }

  storm(): void {
    this.weather.trouble = TROUBLE;
  }

  calm(): void {
    this.weather.trouble = 0;
  }

  async stop(): Promise<void> {
    this.#life.abort();
    this.calm();
    // Whoever sleeps in bad weather has to wake up to notice the end.
    await this.pass(10_000);
    await this.#controllers;
    await this.server.stop();
  }

  /** Lets time pass, everything that was to happen in it included. */
  async pass(ms: number): Promise<void> {
    const until = this.clock.monotonic() + ms;
    for (let wakeUps = 0; ; wakeUps++) {
      await this.#settle();
      const next = this.clock.untilNext;
      if (next === undefined || this.clock.monotonic() + next > until) break;
      if (wakeUps > MAX_WAKE_UPS) throw new Error(`something spins: ${MAX_WAKE_UPS} wake-ups in ${ms} ms`);
      await this.clock.advance(next);
    }
    await this.clock.advance(until - this.clock.monotonic());
    await this.#settle();
  }

  /** Until nothing moves by itself any more, short of time passing. */
  async #settle(): Promise<void> {
    for (let quiet = 0, turns = 0; quiet < 4 || this.traffic.inFlight > 0; turns++) {
      if (turns > MAX_WAKE_UPS) throw new Error("something spins without time passing");
      const before = this.traffic.activity;
      await new Promise((resolve) => setImmediate(resolve));
      quiet = this.traffic.activity === before ? quiet + 1 : 0;
    }
  }

  /** An integer below `bound`. */
  below(bound: number): number {
    return Math.floor(this.random() * bound);
  }

  pick<T>(items: readonly T[]): T {
    return pick(this.random, items);
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  tell(text: string): void {
    this.story.push(`${new Date(this.clock.now()).toISOString().slice(11, 23)} ${text}`);
  }

  create<T extends KubeObject>(kind: KindInfo, object: T): Promise<Stored<T>> {
    const metadata = kind.namespaced ? { namespace: "default", ...object.metadata } : object.metadata;
    return this.api.create<T>(kind, { ...object, metadata });
  }

  async list<T extends KubeObject>(kind: KindInfo, namespace?: string): Promise<Stored<T>[]> {
    return [...(await this.api.list<T>(kind, { namespace })).items];
  }

  async find<T extends KubeObject>(kind: KindInfo, name: string, namespace = "default"): Promise<Stored<T> | undefined> {
    return unlessRefused(this.api.get<T>(kind, { name, namespace: kind.namespaced ? namespace : undefined }));
  }

  /** What a user does, by merge patch; something that is not there stays that way. */
  async edit(kind: KindInfo, name: string, body: object, namespace = "default"): Promise<void> {
    await unlessRefused(this.api.patch(kind, { name, namespace: kind.namespaced ? namespace : undefined }, body, { type: "merge" }));
  }

  /** As `kubectl delete`; undefined where there is nothing (any more). */
  async remove(kind: KindInfo, object: { readonly metadata: { readonly name?: string | undefined; readonly namespace?: string | undefined } }, options: Parameters<Client["delete"]>[2] = {}): Promise<void> {
    const { name = "", namespace } = object.metadata;
    await unlessRefused(this.api.delete(kind, { name, namespace }, options));
  }

  /** Replaces the status; one that was overtaken is dropped. */
  async setStatus(kind: KindInfo, object: AnyObject, status: object): Promise<void> {
    await unlessRefused(this.api.update(kind, { ...object, status }, { subresource: "status" }));
  }
}

/** What a call returned; undefined when the server refused it, as it refuses what comes too late. */
export async function unlessRefused<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ApiError && [403, 404, 409, 422, 429].includes(error.code)) return undefined;
    throw error;
  }
}

/** Throws with what is wrong and what happened before, unless it holds. */
export function check(world: World, holds: boolean, what: string): void {
  if (!holds) throw new Error(`${what}\n${world.story.slice(-30).join("\n")}`);
}
