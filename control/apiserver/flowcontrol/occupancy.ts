// How long which part of something limited was in use, as a histogram over time: upstream's "observations at the end of every nanosecond".
// Noting a change is one addition; which bucket it belongs to is found out when somebody asks, or before the limit changes.

const NANOSECONDS = 1_000_000;
const MOST = 4096;

/** Time spent at every value; `of` is what values are a part of. */
export class Occupancy {
  /** Milliseconds at each value since the last settling. */
  readonly #times: number[] = [];
  readonly #buckets: number[];
  #count = 0;
  #sum = 0;

  constructor(private readonly bounds: readonly number[]) {
    this.#buckets = bounds.map(() => 0);
  }

  add(value: number, elapsedMs: number): void {
    const at = value < MOST ? value : MOST;
    this.#times[at] = (this.#times[at] ?? 0) + elapsedMs;
  }

  /** Counts what was added so far as parts of `whole`. */
  settle(whole: number): void {
    this.#times.forEach((elapsedMs, value) => {
      const part = whole > 0 ? value / whole : 0;
      const bucket = this.bounds.findIndex((bound) => part <= bound);
      if (bucket >= 0) this.#buckets[bucket]! += elapsedMs;
      this.#count += elapsedMs;
      this.#sum += elapsedMs * part;
    });
    this.#times.length = 0;
  }

  /** Its lines, in nanoseconds. */
  lines(name: string, labels: string): string[] {
    let below = 0;
    const buckets = this.bounds.map((bound, index) => `${name}_bucket{${labels},le="${bound}"} ${Math.round((below += this.#buckets[index] ?? 0) * NANOSECONDS)}`);
    const count = Math.round(this.#count * NANOSECONDS);
    return [...buckets, `${name}_bucket{${labels},le="+Inf"} ${count}`, `${name}_sum{${labels}} ${this.#sum * NANOSECONDS}`, `${name}_count{${labels}} ${count}`];
  }
}
