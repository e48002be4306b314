// Keys that delete themselves: remembers when, in buckets of one second, and wakes once for the earliest.
import type { Clock } from "../../lib/clock.ts";

const BUCKET_MS = 1000;

/** Calls back for every key whose time has come and that has not been written since. */
export class Expiry {
  readonly #clock: Clock;
  readonly #expire: (key: string, revision: number) => Promise<void>;
  /** Bucket end in milliseconds -> key -> revision that carries the deadline. */
  readonly #buckets = new Map<number, Map<string, number>>();
  readonly #bucketOf = new Map<string, number>();
  #sleep: AbortController | undefined;
  #wakeAt = Infinity;
  #stopped = false;

  constructor(clock: Clock, expire: (key: string, revision: number) => Promise<void>) {
    this.#clock = clock;
    this.#expire = expire;
  }

  /** Sets, moves or (with 0) clears the deadline of a key. */
  set(key: string, revision: number, expiresAtMs: number): void {
    const previous = this.#bucketOf.get(key);
    if (previous === undefined && expiresAtMs === 0) return;
    if (previous !== undefined) this.#buckets.get(previous)?.delete(key);
    this.#bucketOf.delete(key);
    if (expiresAtMs === 0) return;
    const bucket = Math.ceil(expiresAtMs / BUCKET_MS) * BUCKET_MS;
    this.#bucketOf.set(key, bucket);
    const keys = this.#buckets.get(bucket);
    if (keys) keys.set(key, revision);
    else this.#buckets.set(bucket, new Map([[key, revision]]));
    if (bucket < this.#wakeAt) this.#arm(bucket);
  }

  stop(): void {
    this.#stopped = true;
    this.#sleep?.abort();
  }

  #arm(at: number): void {
    if (this.#stopped) return;
    this.#sleep?.abort();
    const sleep = (this.#sleep = new AbortController());
    this.#wakeAt = at;
    void this.#wakeAfter(Math.max(0, at - this.#clock.now()), sleep.signal);
  }

  async #wakeAfter(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal);
    if (!signal.aborted) await this.#wake();
  }

  async #wake(): Promise<void> {
    this.#wakeAt = Infinity;
    const now = this.#clock.now();
    for (const [bucket, keys] of this.#buckets) {
      if (bucket > now) continue;
      this.#buckets.delete(bucket);
      for (const key of keys.keys()) this.#bucketOf.delete(key);
      await Promise.all([...keys].map(([key, revision]) => this.#expire(key, revision)));
    }
    const next = Math.min(...this.#buckets.keys());
    if (next < this.#wakeAt && Number.isFinite(next)) this.#arm(next);
  }
}
