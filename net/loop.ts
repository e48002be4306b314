// The one shape of every network component's work: run when something changed, never twice at once, again on failure.
// Also runs at an interval, to repair what others may have broken.
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";

export interface LoopOptions {
  /** Brings the machine to the wanted state; `repair` is true when it runs for the interval rather than a change. */
  readonly body: (repair: boolean) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Changes arriving within this time of a run share the next one. */
  readonly settleMs?: number;
  readonly repairMs?: number;
  readonly maxRetryMs?: number;
}

const FIRST_RETRY_MS = 500;

/** Runs a body on demand, on an interval and, after a failure, with growing pauses. */
export class Loop {
  readonly #options: Required<LoopOptions>;
  readonly #abort = new AbortController();
  #wake = new AbortController();
  #pending = false;
  #running: Promise<void> | undefined;

  constructor(options: LoopOptions) {
    this.#options = { settleMs: 20, repairMs: 30_000, maxRetryMs: 30_000, ...options };
  }

  /** Aborts when the loop is stopped. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Something changed: run soon. */
  kick(): void {
    this.#pending = true;
    this.#wake.abort();
  }

  /** Runs the body, and from then on whenever asked; resolves after the first run, also when that failed and will be retried. */
  async start(): Promise<void> {
    const failures = await this.#run(0);
    this.#running = this.#serve(failures);
  }

  /** Resolves once no body runs any more. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake.abort();
    await this.#running;
  }

  async #serve(startFailures: number): Promise<void> {
    const { clock, settleMs, repairMs, maxRetryMs } = this.#options;
    let failures = startFailures;
    while (!this.signal.aborted) {
      const pauseMs = failures > 0 ? Math.min(FIRST_RETRY_MS * 2 ** (failures - 1), maxRetryMs) : repairMs;
      this.#wake = new AbortController();
      // After a failure the pause holds even when changes keep coming.
      if (failures > 0 || !this.#pending) await clock.sleep(pauseMs, failures > 0 ? this.signal : this.#wake.signal);
      if (this.#pending) await clock.sleep(settleMs, this.signal);
      if (this.signal.aborted) return;
      failures = await this.#run(failures);
    }
  }

  /** One run; returns how many have failed in a row. */
  async #run(failures: number): Promise<number> {
    const repair = !this.#pending;
    this.#pending = false;
    try {
      await this.#options.body(repair);
      return 0;
    } catch (error) {
      this.#options.log.error({ err: error, failures: failures + 1 }, "cannot apply network state, will retry");
      return failures + 1;
    }
  }
}
