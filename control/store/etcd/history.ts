// How far back history is kept: remembers when revisions were seen and says which are past the window.
// Every control plane may compact; the furthest wins and the others find the work done.
import type { HistoryWindow } from "../store.ts";

/** Revisions and when they came, to a 500th of the window. */
export class SeenRevisions {
  readonly #window: HistoryWindow;
  /** Each covers the revisions up to the next one's first; the first of all also those before. */
  readonly #samples: { first: number; timeMs: number }[];
  #newest: number;
  #old = 0;

  /** Nobody knows when the revisions that are there already were made; they count as made now. */
  constructor(window: HistoryWindow, newest: number, nowMs: number) {
    this.#window = window;
    this.#newest = newest;
    this.#samples = [{ first: newest + 1, timeMs: nowMs }];
  }

  /** Takes note of a change. */
  add(revision: number, nowMs: number): void {
    this.#newest = revision;
    const last = this.#samples.at(-1);
    if (!last || nowMs - last.timeMs > this.#window.maxAgeMs / 500) this.#samples.push({ first: revision, timeMs: nowMs });
  }

  /** The newest revision outside the window; 0 when nothing is known to be. */
  outside(nowMs: number): number {
    const { maxAgeMs, maxChanges } = this.#window;
    const young = this.#samples.findIndex(({ timeMs }) => timeMs >= nowMs - maxAgeMs);
    this.#samples.splice(0, young === -1 ? this.#samples.length : young);
    const first = this.#samples[0];
    if (!first) this.#old = this.#newest;
    else if (young > 0) this.#old = first.first - 1;
    return Math.max(0, this.#old, this.#newest - maxChanges);
  }
}
