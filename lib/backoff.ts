// How long to wait before trying again: growing, capped, and spread so that many do not retry together.

export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  /** Each step multiplies by this; 2 when left out. */
  readonly factor?: number;
  /** Adds up to this share of the delay at random; 0 when left out. */
  readonly jitter?: number;
}

/** Successive delays of one retry loop. */
export class Backoff {
  #attempts = 0;

  constructor(private readonly options: BackoffOptions, private readonly random: () => number = Math.random) {}

  /** The delay before the next try, in milliseconds. */
  next(): number {
    return jittered(delayOf(this.options, this.#attempts++), this.options.jitter ?? 0, this.random);
  }

  /** Starts over, after a success. */
  reset(): void {
    this.#attempts = 0;
  }
}

/** The delay of the `attempt`th retry (from 0), without jitter. */
export function delayOf({ baseMs, maxMs, factor = 2 }: BackoffOptions, attempt: number): number {
  return Math.min(maxMs, baseMs * factor ** Math.min(attempt, 64));
}

/** `ms` plus up to `share` of it. */
export function jittered(ms: number, share: number, random: () => number = Math.random): number {
  return ms * (1 + share * random());
}
