// The watch caches of all resources, filled by one list and kept current by one watch of the store.
// All move together: one revision says how much of the store every one of them has seen.
import type { KindInfo } from "../../../api/kinds.ts";
import type { Clock } from "../../../lib/clock.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Change, Store } from "../../store/store.ts";
import { resourceOf, ROOT, splitStoreKey } from "../keys.ts";
import { Entry } from "./entry.ts";
import type { CacheEvent } from "./event.ts";
import type { HistoryBounds } from "./history.ts";
import { ResourceCache } from "./resource-cache.ts";

export interface CachesOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly bounds?: HistoryBounds | undefined;
}

const TRIM_EVERY_MS = 60_000;

/** Every resource's cache. */
export class Caches {
  readonly #caches = new Map<string, ResourceCache>();
  readonly #byKind = new WeakMap<KindInfo, ResourceCache>();
  readonly #clock: Clock;
  readonly #bounds: HistoryBounds | undefined;
  /** Objects whose bytes are on their way through the store, so that nobody parses what was just serialised. */
  readonly #announced = new WeakMap<Uint8Array, AnyObject>();
  readonly #waiting = new Set<{ revision: number; resolve: () => void }>();
  #loadedAt = 0;
  #revision = 0;

  private constructor({ clock, bounds }: CachesOptions) {
    this.#clock = clock;
    this.#bounds = bounds;
  }

  /** Reads everything once and follows the store until the signal aborts. */
  static async start(options: CachesOptions): Promise<Caches> {
    const caches = new Caches(options);
    const { store, signal } = options;
    // A change between the list and the watch is not lost: the watch starts at the list's revision.
    const { entries, revision } = await store.list(ROOT);
    caches.#loadedAt = caches.#revision = revision;
    for (const { key, value, modRevision } of entries) {
      const parts = splitStoreKey(key);
      if (parts) caches.for(parts.resource).load(new Entry(parts.namespace, parts.name, modRevision, { stored: value }));
    }
    store.watch({ prefix: "", after: revision, signal, onChanges: (changes) => caches.#take(changes) });
    const timer = setInterval(() => caches.#trim(), TRIM_EVERY_MS);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    return caches;
  }

  /** The revision every cache has seen. */
  get revision(): number {
    return this.#revision;
  }

  /** All caches that hold or held something. */
  all(): Iterable<ResourceCache> {
    return this.#caches.values();
  }

  /** The cache of `<group or core>/<plural>`; an empty one for a resource nobody wrote yet. */
  for(resource: string): ResourceCache {
    let cache = this.#caches.get(resource);
    if (!cache) this.#caches.set(resource, (cache = new ResourceCache(resource, this.#loadedAt, this.#bounds)));
    return cache;
  }

  /** The cache of a kind's objects. */
  forKind(kind: KindInfo): ResourceCache {
    let cache = this.#byKind.get(kind);
    if (!cache) this.#byKind.set(kind, (cache = this.for(resourceOf(kind))));
    return cache;
  }

  /** Says that these bytes, once stored, are this object; the object must not be touched afterwards. */
  announce(value: Uint8Array, object: AnyObject): void {
    this.#announced.set(value, object);
  }

  /** Resolves once every cache has seen `revision`, or after `timeoutMs`; returns whether it has. */
  async reached(revision: number, timeoutMs: number): Promise<boolean> {
    if (this.#revision >= revision) return true;
    let waiter: { revision: number; resolve: () => void } | undefined;
    const stop = new AbortController();
    await Promise.race([
      new Promise<void>((resolve) => this.#waiting.add((waiter = { revision, resolve }))),
      this.#clock.sleep(timeoutMs, stop.signal),
    ]);
    stop.abort();
    if (waiter) this.#waiting.delete(waiter);
    return this.#revision >= revision;
  }

  #take(changes: readonly Change[]): void {
    const batches = new Map<ResourceCache, CacheEvent[]>();
    const nowMs = this.#clock.now();
    for (const change of changes) {
      const parts = splitStoreKey(change.key);
      if (!parts) continue;
      const cache = this.for(parts.resource);
      const event = cache.apply(change, parts, { object: this.#announced.get(change.value), nowMs });
      if (!event) continue;
      const batch = batches.get(cache);
      if (batch) batch.push(event);
      else batches.set(cache, [event]);
    }
    this.#revision = changes.at(-1)?.revision ?? this.#revision;
    for (const [cache, events] of batches) cache.dispatch(events);
    for (const waiter of this.#waiting) if (waiter.revision <= this.#revision) waiter.resolve();
  }

  #trim(): void {
    const nowMs = this.#clock.now();
    for (const cache of this.#caches.values()) cache.trim(nowMs);
  }
}
