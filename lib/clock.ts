// Time as a dependency: production uses the system's, tests a faked one.

/** The clock everything long-lived is given; times are milliseconds since the epoch. */
export interface Clock {
  now(): number;
  /** Milliseconds that only ever go forward, whatever somebody does to the date: for measuring how long something takes. */
  monotonic(): number;
  /** Resolves after `ms`, or at once when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The system's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done, { once: true });
    }),
};

/** A clock that stands still until `advance` is called. */
export class FakeClock implements Clock {
  #elapsed = 0;
  #begin: number;
  readonly #sleepers = new Set<{ readonly at: number; readonly wake: () => void }>();

  constructor(now = 0) {
    this.#begin = now;
  }

  now(): number {
    return this.#begin + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const sleeper = { at: this.#elapsed + ms, wake: done };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", done, { once: true });
    });
  }

  /** Milliseconds until somebody who sleeps now wakes; undefined when nobody sleeps. */
  get untilNext(): number | undefined {
    let soonest: number | undefined;
    for (const { at } of this.#sleepers) soonest = Math.min(soonest ?? Infinity, at);
    return soonest === undefined ? undefined : soonest - this.#elapsed;
  }

  /** Sets the date forward or back, as an administrator does: nobody wakes by it. */
  jump(ms: number): void {
    this.#begin += ms;
  }

  /** Moves time forward, waking sleepers in order, and lets their continuations run. */
  async advance(ms: number): Promise<void> {
    const until = this.#elapsed + ms;
    for (;;) {
      const next = [...this.#sleepers].filter((sleeper) => sleeper.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.#elapsed = next.at;
      next.wake();
      await settle();
    }
    this.#elapsed = until;
    await settle();
  }
}

/** Lets promise continuations queued so far run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 8; turn++) await Promise.resolve();
}

/** `2026-01-31T12:00:00Z`: the API's second-resolution timestamp. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** `2026-01-31T12:00:00.123000Z`: the API's MicroTime. */
export function microTimestamp(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}
