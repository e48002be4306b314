// The one factory of informers: each kind and scope is watched once and shared by everyone in the process.
// Handlers are called in the order of the changes, before the next change enters the cache.
import { systemClock, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { apiVersionOf, type KindInfo } from "../kinds.ts";
import type { KubeObject, Stored } from "../types.ts";
import { Cache } from "./cache.ts";
import type { Client } from "./client.ts";
import { keyOf, type Handler, type IndexFunction, type Informer, type Informers, type InformerScope } from "./informer.ts";
import { Reflector, type ReflectorSink } from "./reflector.ts";

const log = logger("informer");

/** Makes informers on a client. They hold what they hear until the signal given to `start` aborts. */
export function createInformers(client: Client, clock: Clock = systemClock): Informers {
  return new SharedInformers(client, clock);
}

class SharedInformers implements Informers {
  readonly #informers = new Map<string, SharedInformer<KubeObject>>();
  #signal: AbortSignal | undefined;

  constructor(readonly client: Client, private readonly clock: Clock) {}

  for<T extends KubeObject>(kind: KindInfo, scope: InformerScope = {}): Informer<T> {
    const id = [apiVersionOf(kind), kind.plural, scope.namespace, scope.labelSelector, scope.fieldSelector, scope.metadataOnly].join("|");
    let informer = this.#informers.get(id);
    if (!informer) {
      informer = new SharedInformer(kind);
      this.#informers.set(id, informer);
      if (this.#signal) this.#run(informer, scope, this.#signal);
      else informer.scope = scope;
    }
    // The map holds informers of many types; the kind a caller asks with decides which it gets.
    return informer as unknown as Informer<T>;
  }

  start(signal: AbortSignal): void {
    if (this.#signal) return;
    this.#signal = signal;
    for (const informer of this.#informers.values()) this.#run(informer, informer.scope, signal);
  }

  async waitForSync(signal?: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
    const all = Promise.all([...this.#informers.values()].map((informer) => informer.firstSync));
    await Promise.race([all, aborted]);
  }

  #run(informer: SharedInformer<KubeObject>, scope: InformerScope, signal: AbortSignal): void {
    const reflector = new Reflector({ client: this.client, kind: informer.kind, scope, clock: this.clock, sink: informer });
    void reflector.run(signal);
  }
}

/** One informer: a cache, its handlers, and the sink its reflector fills. */
export class SharedInformer<T extends KubeObject> implements Informer<T>, ReflectorSink<T> {
  readonly lister = new Cache<T>();
  readonly firstSync: Promise<void>;
  scope: InformerScope = {};
  readonly #handlers: Handler<T>[] = [];
  #markSynced: () => void = () => undefined;
  #synced = false;

  constructor(readonly kind: KindInfo) {
    this.firstSync = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  get synced(): boolean {
    return this.#synced;
  }

  addIndex(name: string, index: IndexFunction<T>): void {
    this.lister.addIndex(name, index);
  }

  addHandler(handler: Handler<T>): void {
    this.#handlers.push(handler);
    for (const object of this.lister.list()) this.#call(handler, "add", object);
  }

  replace(objects: readonly Stored<T>[], revision: string | undefined): void {
    const gone = new Set(this.lister.keys());
    for (const object of objects) {
      gone.delete(keyOf(object));
      this.set(object);
    }
    for (const key of gone) this.#removeKey(key, undefined);
    this.reached(revision);
    this.#synced = true;
    this.#markSynced();
  }

  set(object: Stored<T>): void {
    this.reached(object.metadata.resourceVersion);
    const old = this.lister.get(keyOf(object));
    if (old?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    // Another object took the name while nobody watched: to handlers the first one is gone.
    if (old && old.metadata.uid !== object.metadata.uid) this.#removeKey(keyOf(old), undefined);
    const replaced = this.lister.set(object);
    for (const handler of this.#handlers) {
      if (replaced) this.#call(handler, "update", object, replaced);
      else this.#call(handler, "add", object);
    }
  }

  remove(object: Stored<T>): void {
    this.reached(object.metadata.resourceVersion);
    this.#removeKey(keyOf(object), object);
  }

  reached(revision: string | undefined): void {
    this.lister.revision = Number(revision ?? 0);
  }

  #removeKey(key: string, last: Stored<T> | undefined): void {
    const old = this.lister.remove(key);
    if (!old) return;
    for (const handler of this.#handlers) this.#call(handler, "delete", last ?? old);
  }

  #call(handler: Handler<T>, event: "add" | "update" | "delete", object: Stored<T>, old?: Stored<T>): void {
    try {
      if (event === "update") handler.update?.(object, old as Stored<T>);
      else handler[event]?.(object);
    } catch (error) {
      log.error({ kind: this.kind.kind, key: keyOf(object), event, err: error }, "an event handler threw");
    }
  }
}
