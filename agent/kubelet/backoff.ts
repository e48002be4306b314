// CrashLoopBackOff as upstream counts it: 10 s, doubling to 5 min, forgotten after 10 quiet minutes.
// Pure values; the worker keeps one per container.

export const INITIAL_MS = 10_000;
export const MAX_MS = 300_000;

/** The delay the next restart must keep, and when it was last raised (ms since the epoch). */
export interface BackOff {
  readonly delayMs: number;
  readonly updatedAt: number;
}

/** When a container that finished then may start again; undefined when it may at once. */
export function restartAt(backOff: BackOff | undefined, finishedAt: number, now: number): number | undefined {
  if (!backOff || isForgotten(backOff, finishedAt)) return undefined;
  const at = finishedAt + backOff.delayMs;
  // Finished later than now: the date was set back, and nobody waits for it to come round again.
  return at > now && finishedAt <= now ? at : undefined;
}

/** The back-off after one more restart, at most `maxMs`. */
export function raise(backOff: BackOff | undefined, { finishedAt, now, maxMs = MAX_MS }: { readonly finishedAt: number; readonly now: number; readonly maxMs?: number }): BackOff {
  if (!backOff || isForgotten(backOff, finishedAt)) return { delayMs: Math.min(INITIAL_MS, maxMs), updatedAt: now };
  return { delayMs: Math.min(backOff.delayMs * 2, maxMs), updatedAt: now };
}

/** `10s`, `1m20s`, `5m0s`: Go's way of printing a duration of whole seconds. */
export function goDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (hours > 0) return `${hours}h${minutes}m${seconds % 60}s`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}

function isForgotten(backOff: BackOff, finishedAt: number): boolean {
  return finishedAt - backOff.updatedAt > 2 * MAX_MS;
}
