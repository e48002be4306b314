// How many seats a level could use, observed over time: the highest, the average and how it varies.
// A running sum over intervals: every change costs three multiplications.

/** Demand over the period that just ended. */
export interface Demand {
  readonly peak: number;
  readonly average: number;
  readonly deviation: number;
  /** Follows rises at once and falls slowly: half in five minutes at a period of ten seconds. */
  readonly smoothed: number;
}

const DECAY = 0.977;

/** Integrates one number over time; times are milliseconds of any one clock. */
export class DemandMeter {
  #value = 0;
  #since: number;
  #begin: number;
  #sum = 0;
  #squares = 0;
  #peak = 0;
  #last: Demand = { peak: 0, average: 0, deviation: 0, smoothed: 0 };

  constructor(nowMs: number) {
    this.#since = this.#begin = nowMs;
  }

  get last(): Demand {
    return this.#last;
  }

  add(delta: number, nowMs: number): void {
    this.#advance(nowMs);
    this.#value += delta;
    if (this.#value > this.#peak) this.#peak = this.#value;
  }

  /** Ends the period, and starts the next at the present value. */
  endPeriod(nowMs: number): Demand {
    this.#advance(nowMs);
    const elapsed = nowMs - this.#begin;
    const average = elapsed > 0 ? this.#sum / elapsed : this.#value;
    const deviation = elapsed > 0 ? Math.sqrt(Math.max(0, this.#squares / elapsed - average * average)) : 0;
    const envelope = average + deviation;
    const smoothed = Math.max(envelope, DECAY * this.#last.smoothed + (1 - DECAY) * envelope);
    this.#last = { peak: this.#peak, average, deviation, smoothed };
    this.#begin = nowMs;
    this.#sum = this.#squares = 0;
    this.#peak = this.#value;
    return this.#last;
  }

  #advance(nowMs: number): void {
    const elapsed = nowMs - this.#since;
    if (elapsed <= 0) return;
    this.#sum += this.#value * elapsed;
    this.#squares += this.#value * this.#value * elapsed;
    this.#since = nowMs;
  }
}
