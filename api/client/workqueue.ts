// Which keys need work: each at most once in the queue and never handled by two workers at a time.
// Failures come back after a delay that doubles per key; keys can be added for later.
import { delayOf, type BackoffOptions } from "../../lib/backoff.ts";
import { systemClock, type Clock } from "../../lib/clock.ts";
import { Heap } from "../../lib/heap.ts";
import { Histogram, type QueueFigures } from "./queuefigures.ts";

export interface WorkQueueOptions {
  readonly clock?: Clock;
  /** Delays of `addRateLimited`, per key; 5 ms doubling to 1,000 s when left out, as upstream. */
  readonly backoff?: BackoffOptions;
}

interface Delayed {
  readonly key: string;
  readonly at: number;
}

const DEFAULT_BACKOFF: BackoffOptions = { baseMs: 5, maxMs: 1_000_000 };
/** Timers cannot hold more than 24 days; longer waits are slept in pieces. */
const LONGEST_SLEEP_MS = 86_400_000;

/** A deduplicating queue of keys. A key added while it is being worked on is handed out again once that is done. */
export class WorkQueue implements QueueFigures {
  readonly #clock: Clock;
  readonly #backoff: BackoffOptions;
  /** Since when each key waits, and since when each is worked on. */
  readonly #ready = new Map<string, number>();
  readonly #processing = new Map<string, number>();
  readonly #dirty = new Set<string>();
  readonly #failures = new Map<string, number>();
  /** When each delayed key is due; entries of the heap that disagree have been superseded. */
  readonly #due = new Map<string, number>();
  readonly #delayed = new Heap<Delayed>((a, b) => a.at < b.at);
  readonly #waiting: ((key: string | undefined) => void)[] = [];
  #timer: AbortController | undefined;
  #timerAt = Infinity;
  #isShutDown = false;
  #adds = 0;
  #retries = 0;

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#backoff = options.backoff ?? DEFAULT_BACKOFF;
  }

  /** Keys ready to be worked on, not counting delayed ones and those in work. */
  get length(): number {
    return this.#ready.size;
  }

  /** How often a key was added that was not waiting already, and how often one was added rate limited. */
  get counts(): { readonly adds: number; readonly retries: number } {
    return { adds: this.#adds, retries: this.#retries };
  }

  /** How long keys waited, and how long they were worked on. */
  readonly waits = new Histogram();
  readonly work = new Histogram();

  /** Seconds that keys still in work have taken so far. */
  get inWork(): { readonly total: number; readonly longest: number } {
    const now = this.#clock.monotonic();
    let [total, longest] = [0, 0];
    for (const since of this.#processing.values()) {
      total += (now - since) / 1000;
      longest = Math.max(longest, (now - since) / 1000);
    }
    return { total, longest };
  }

  /** Keys that keep failing, by how often in a row. */
  get failing(): ReadonlyMap<string, number> {
    return this.#failures;
  }

  add(key: string): void {
    if (this.#isShutDown) return;
    if (this.#processing.has(key)) {
      if (!this.#dirty.has(key)) this.#adds++;
      this.#dirty.add(key);
      return;
    }
    if (!this.#ready.has(key)) this.#adds++;
    const worker = this.#ready.has(key) ? undefined : this.#waiting.shift();
    const now = this.#clock.monotonic();
    if (!worker) {
      if (!this.#ready.has(key)) this.#ready.set(key, now);
      return;
    }
    this.waits.observe(0);
    this.#processing.set(key, now);
    worker(key);
  }

  /** Adds after `ms`; of several times asked for one key, the earliest counts. */
  addAfter(key: string, ms: number): void {
    if (this.#isShutDown) return;
    if (ms <= 0) return this.add(key);
    const at = this.#clock.monotonic() + ms;
    const known = this.#due.get(key);
    if (known !== undefined && known <= at) return;
    this.#due.set(key, at);
    this.#delayed.push({ key, at });
    if (at < this.#timerAt) this.#arm(at);
  }

  /** Adds every delayed key now. */
  wakeDelayed(): void {
    const keys = [...this.#due.keys()];
    this.#due.clear();
    this.#delayed.clear();
    keys.forEach((key) => this.add(key));
  }

  /** Adds after this key's back-off, which grows until `forget`. */
  addRateLimited(key: string): void {
    const failures = this.#failures.get(key) ?? 0;
    this.#retries++;
    this.#failures.set(key, failures + 1);
    this.addAfter(key, delayOf(this.#backoff, failures));
  }

  /** The key succeeded, or will not be tried again: its back-off starts over. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** How often the key was added rate limited since it was last forgotten. */
  retries(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, or undefined once shut down. Every key got must be given to `done`. */
  get(): Promise<string | undefined> {
    if (this.#isShutDown) return Promise.resolve(undefined);
    for (const [key, since] of this.#ready) {
      const now = this.#clock.monotonic();
      this.waits.observe((now - since) / 1000);
      this.#ready.delete(key);
      this.#processing.set(key, now);
      return Promise.resolve(key);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  done(key: string): void {
    const since = this.#processing.get(key);
    if (since !== undefined) this.work.observe((this.#clock.monotonic() - since) / 1000);
    this.#processing.delete(key);
    if (this.#dirty.delete(key)) this.add(key);
  }

  /** Wakes every waiting worker with undefined and drops what is queued. */
  shutDown(): void {
    this.#isShutDown = true;
    this.#timer?.abort();
    for (const collection of [this.#ready, this.#dirty, this.#due, this.#delayed, this.#failures]) collection.clear();
    for (const resolve of this.#waiting.splice(0)) resolve(undefined);
  }

  /** Sleeps until `at`, replacing a timer that would ring later. */
  #arm(at: number): void {
    this.#timer?.abort();
    const timer = new AbortController();
    this.#timer = timer;
    this.#timerAt = at;
    const ms = Math.max(0, Math.min(at - this.#clock.monotonic(), LONGEST_SLEEP_MS));
    void this.#ringAfter(ms, timer.signal);
  }

  async #ringAfter(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal);
    if (!signal.aborted) this.#ring();
  }

  #ring(): void {
    const now = this.#clock.monotonic();
    this.#timerAt = Infinity;
    for (let next = this.#delayed.peek(); next; next = this.#delayed.peek()) {
      if (next.at > now) return this.#arm(next.at);
      this.#delayed.pop();
      if (this.#due.get(next.key) !== next.at) continue;
      this.#due.delete(next.key);
      this.add(next.key);
    }
  }
}
