// How fast refusals go out. A client that asks again the moment it is refused would keep the thread busy with saying no;
// answered at a measured pace, it asks no faster than that.

const PER_SECOND = 500;
/** So many are answered at once before the pace counts. */
const AT_ONCE = 50;
const LONGEST_MS = 10_000;

/** Hands out the moments of refusals. */
export class Pace {
  #nextMs = 0;

  /** How long the next refusal is to wait, in milliseconds. */
  delayMs(nowMs: number): number {
    const gap = 1000 / PER_SECOND;
    this.#nextMs = Math.max(this.#nextMs, nowMs - AT_ONCE * gap) + gap;
    return Math.min(LONGEST_MS, Math.max(0, this.#nextMs - nowMs));
  }
}
