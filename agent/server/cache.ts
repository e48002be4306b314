// A small cache whose entries expire one by one and whose size is bounded.
// What is kept, and for how long, is the caller's.
import type { Clock } from "../../lib/clock.ts";

/** Values by key, each for its own time; the oldest goes when there are too many. */
export class ExpiringCache<T> {
  readonly #entries = new Map<string, { readonly value: T; readonly until: number }>();

  constructor(readonly clock: Clock, readonly maxEntries: number) {}

  /** Wrapped, so that a kept `undefined` differs from absence. */
  get(key: string): { readonly value: T } | undefined {
    const entry = this.#entries.get(key);
    if (entry && entry.until <= this.clock.monotonic()) this.#entries.delete(key);
    return entry && entry.until > this.clock.monotonic() ? entry : undefined;
  }

  set(key: string, value: T, forMs: number): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: this.clock.monotonic() + forMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.maxEntries && oldest !== undefined) this.#entries.delete(oldest);
  }
}
