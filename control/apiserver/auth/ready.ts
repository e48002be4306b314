// Answers before the caches are filled would be wrong: right after a start, questions wait a little instead.
// A server that restarts thus never tells a node or a pod that it is nobody or may nothing.
import type { Informers } from "../../../api/client/informer.ts";
import type { Clock } from "../../../lib/clock.ts";

const MAX_WAIT_MS = 10_000;

/** Open once everything asked of the informers so far is there. */
export class SyncGate {
  #isOpen = false;
  #opening: Promise<void> | undefined;

  constructor(private readonly informers: Informers, private readonly clock: Clock) {}

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Resolves when the gate opens, or after 10 seconds: an answer from what is known is better than none. */
  async wait(): Promise<void> {
    if (this.#isOpen) return;
    this.#opening ??= this.informers.waitForSync().then(() => {
      this.#isOpen = true;
      return undefined;
    });
    const late = new AbortController();
    await Promise.race([this.#opening, this.clock.sleep(MAX_WAIT_MS, late.signal)]);
    late.abort();
  }
}
