// Trying again what a runtime that is busy or just starting refuses.
// What is asked of it, and whether an answer is a good one, is the caller's.
import type { Clock } from "../../lib/clock.ts";

/** The first result `work` does not throw instead of; undefined when the signal aborts before there is one. */
export async function untilDone<T>(work: () => Promise<T>, { clock, everyMs, signal }: { readonly clock: Clock; readonly everyMs: number; readonly signal: AbortSignal }): Promise<T | undefined> {
  while (!signal.aborted) {
    try {
      return await work();
    } catch {
      await clock.sleep(everyMs, signal);
    }
  }
  return undefined;
}
