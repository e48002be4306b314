// Keeps what has many pods from being looked over and rewritten for every single one that changes: the more, the longer between two passes.
import type { WorkQueue } from "../../api/client/workqueue.ts";
import type { Clock } from "../../lib/clock.ts";

/** Spaces the writes of each key; a key that may not be written yet is put back into the queue for when it may. */
export class Pace {
  readonly #notBefore = new Map<string, number>();

  constructor(private readonly queue: WorkQueue, private readonly clock: Clock) {}

  /** Whether the key has to wait; it comes back by itself. */
  mustWait(key: string): boolean {
    const left = (this.#notBefore.get(key) ?? 0) - this.clock.monotonic();
    if (left > 0) this.queue.addAfter(key, left);
    else this.#notBefore.delete(key);
    return left > 0;
  }

  /** The key was written; the next write comes no sooner than `ms` from now. */
  wrote(key: string, ms: number): void {
    if (ms >= 1) this.#notBefore.set(key, this.clock.monotonic() + ms);
  }

  forget(key: string): void {
    this.#notBefore.delete(key);
  }
}
