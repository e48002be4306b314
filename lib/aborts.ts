// Many who wait for one signal: a listener each would be compared with all others whenever one comes or goes.

const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls `run` once when the signal aborts, in the order of asking; returns how to call that off. Nothing happens when it has aborted before. */
export function onAbort(signal: AbortSignal, run: () => void): () => void {
  let runs = waiting.get(signal);
  if (!runs) {
    const all = new Set<() => void>();
    waiting.set(signal, (runs = all));
    signal.addEventListener("abort", () => {
      for (const each of all) each();
    }, { once: true });
  }
  const mine = runs;
  // A function of its own, so that the same one can be asked for twice.
  const own = (): void => run();
  mine.add(own);
  return () => void mine.delete(own);
}
