// The recent changes of one resource, oldest first, bounded by count, age and the bytes of versions nothing else keeps.
// Answers "what happened after revision N" and "what was object X at revision N".
import type { CacheEvent } from "./event.ts";
import type { Entry } from "./entry.ts";

export interface HistoryBounds {
  readonly maxEvents: number;
  readonly maxAgeMs: number;
  /** Of versions that are only remembered; watchers from before that are served from the store. */
  readonly maxBytes?: number;
}

const DEFAULT_MAX_BYTES = 32 * 1024 * 1024;
export const DEFAULT_BOUNDS: HistoryBounds = { maxEvents: 10_000, maxAgeMs: 5 * 60_000 };

/** A bounded log of changes; `since` is the newest revision whose following changes are all here. */
export class History {
  #events: CacheEvent[] = [];
  #times: number[] = [];
  /** As they were when the event came: a version grows a little when it is first read. */
  #sizes: number[] = [];
  #start = 0;
  #bytes = 0;
  #since: number;

  constructor(since: number, private readonly bounds: HistoryBounds = DEFAULT_BOUNDS) {
    this.#since = since;
  }

  get since(): number {
    return this.#since;
  }

  add(event: CacheEvent, nowMs: number): void {
    this.#events.push(event);
    this.#times.push(nowMs);
    const size = rememberedBytes(event);
    this.#sizes.push(size);
    this.#bytes += size;
    this.trim(nowMs);
  }

  /** Forgets what is too old or too many. */
  trim(nowMs: number): void {
    const { maxEvents, maxAgeMs, maxBytes = DEFAULT_MAX_BYTES } = this.bounds;
    const isTooMuch = (): boolean => this.#events.length - this.#start > maxEvents || this.#bytes > maxBytes || (this.#times[this.#start] as number) < nowMs - maxAgeMs;
    while (this.#start < this.#events.length && isTooMuch()) {
      this.#since = (this.#events[this.#start] as CacheEvent).revision;
      this.#bytes -= this.#sizes[this.#start] as number;
      // Let go of the object now; the slot itself goes with the next compaction.
      this.#events[this.#start] = undefined as unknown as CacheEvent;
      this.#start++;
    }
    if (this.#start < 1024 || this.#start * 2 < this.#events.length) return;
    this.#events = this.#events.slice(this.#start);
    this.#times = this.#times.slice(this.#start);
    this.#sizes = this.#sizes.slice(this.#start);
    this.#start = 0;
  }

  /** Changes after `revision`, oldest first; the caller has checked `revision >= since`. */
  after(revision: number): readonly CacheEvent[] {
    let low = this.#start;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle] as CacheEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low);
  }

  /** What each object changed after `revision` was at that revision; undefined where it did not exist yet. */
  statesAt(revision: number): Map<string, Entry | undefined> {
    const states = new Map<string, Entry | undefined>();
    for (const event of this.after(revision)) {
      const key = `${event.entry.namespace}/${event.entry.name}`;
      if (!states.has(key)) states.set(key, event.previous);
    }
    return states;
  }
}

/** What an event alone keeps: the version it replaced, and a removed object's last. */
function rememberedBytes({ type, entry, previous }: CacheEvent): number {
  return (previous?.size ?? 0) + (type === "DELETED" ? entry.size : 0);
}
