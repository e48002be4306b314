// Follows one kind: lists it by watching, then watches on from the last revision heard, for as long as its signal lives.
// What the events mean for a cache and its handlers is the sink's business.
import { Backoff, jittered } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { ApiError, isExpired } from "../errors.ts";
import { groupResourceOf, type KindInfo } from "../kinds.ts";
import type { KubeObject, Stored, WatchEvent } from "../types.ts";
import type { Client } from "./client.ts";
import type { InformerScope } from "./informer.ts";

/** Where a reflector puts what it hears. */
export interface ReflectorSink<T extends KubeObject> {
  /** The whole truth at one revision: what is not in it is gone. */
  replace(objects: readonly Stored<T>[], revision: string | undefined): void;
  set(object: Stored<T>): void;
  remove(object: Stored<T>): void;
  /** Nothing else happened up to this revision. */
  reached(revision: string | undefined): void;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: Client;
  readonly kind: KindInfo;
  readonly scope: InformerScope;
  readonly clock: Clock;
  readonly sink: ReflectorSink<T>;
}

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";
const MIN_WATCH_SECONDS = 300;
/** A watch that ends sooner than this without an event counts as a failure, or a broken server would be hammered. */
const SHORTEST_USEFUL_WATCH_MS = 1000;
const log = logger("reflector");

/** Runs list and watch in turn until the signal aborts. Never throws; failures are retried with back-off. */
export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #backoff = new Backoff({ baseMs: 800, maxMs: 30_000, jitter: 1 });
  /** Where to resume; undefined demands the whole list first. */
  #revision: string | undefined;
  #canStreamLists = true;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#runOnce(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (this.#recovers(error)) continue;
        log.warn({ kind: groupResourceOf(this.#options.kind), err: error }, "watch failed; trying again");
        await clock.sleep(this.#backoff.next(), signal);
      }
    }
  }

  async #runOnce(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    if (this.#revision === undefined && !this.#canStreamLists) await this.#list();
    const begin = clock.monotonic();
    const heard = this.#revision === undefined ? await this.#watchList(signal) : await this.#watch(signal, {});
    if (heard > 0 || clock.monotonic() - begin >= SHORTEST_USEFUL_WATCH_MS) this.#backoff.reset();
    else if (!signal.aborted) await clock.sleep(this.#backoff.next(), signal);
  }

  /** Deals with what has an answer other than waiting. */
  #recovers(error: unknown): boolean {
    if (isExpired(error) && this.#revision !== undefined) {
      this.#revision = undefined;
      return true;
    }
    const refused = error instanceof ApiError && (error.code === 400 || error.code === 422);
    if (refused && this.#revision === undefined && this.#canStreamLists) {
      this.#canStreamLists = false;
      return true;
    }
    return false;
  }

  async #list(): Promise<void> {
    const { client, kind, scope, sink } = this.#options;
    const { metadataOnly: _, ...selected } = scope;
    const list = await client.list<T>(kind, { ...selected, resourceVersion: "0" });
    sink.replace(list.items, list.metadata.resourceVersion);
    this.#revision = list.metadata.resourceVersion;
  }

  /** One stream that begins with every object there is, then goes on as a watch. */
  async #watchList(signal: AbortSignal): Promise<number> {
    const initial = new Map<string, Stored<T>>();
    return this.#watch(signal, {
      collect: (event) => {
        if (event.type === "BOOKMARK") {
          if (event.object.metadata.annotations?.[INITIAL_EVENTS_END] !== "true") return false;
          this.#options.sink.replace([...initial.values()], event.object.metadata.resourceVersion);
          initial.clear();
          return true;
        }
        const id = `${event.object.metadata.namespace ?? ""}/${event.object.metadata.name}`;
        if (event.type === "DELETED") initial.delete(id);
        else initial.set(id, event.object);
        return false;
      },
    });
  }

  /** Watches until the stream ends; `collect` swallows events until it says that the initial ones are complete. */
  async #watch(signal: AbortSignal, { collect }: { collect?: (event: WatchEvent<Stored<T>>) => boolean }): Promise<number> {
    const { client, kind, scope } = this.#options;
    let isCollecting = collect !== undefined;
    let heard = 0;
    const events = client.watch<T>(kind, {
      ...scope, signal, allowWatchBookmarks: true,
      timeoutSeconds: Math.round(jittered(MIN_WATCH_SECONDS, 1)),
      ...(isCollecting ? { sendInitialEvents: true } : { resourceVersion: this.#revision }),
    });
    for await (const event of events) {
      heard++;
      if (isCollecting && collect) isCollecting = !collect(event);
      else this.#deliver(event);
      if (!isCollecting) this.#revision = event.object.metadata.resourceVersion;
    }
    return heard;
  }

  #deliver(event: WatchEvent<Stored<T>>): void {
    const { sink } = this.#options;
    if (event.type === "BOOKMARK") sink.reached(event.object.metadata.resourceVersion);
    else if (event.type === "DELETED") sink.remove(event.object);
    else sink.set(event.object);
  }
}
