// How long a refused client is told to stay away: doubled while many are refused, shortened again when few are.
// Rules: k8s.io/apiserver, the tracker of dropped requests; at most 32 seconds.

const LONGEST_SECONDS = 32;

/** Counts one priority level's refusals by second. */
export class RetryAfter {
  seconds = 1;
  #history: { second: number; count: number }[] = [];
  #current = { second: 0, count: 0 };
  #raisedAt = 0;

  /** Notes a refusal; `second` is the time in whole seconds. */
  refused(second: number): void {
    if (second === this.#current.second) return void this.#current.count++;
    this.#history.push(this.#current);
    const oldest = this.#current.second - Math.min(2 * this.seconds, LONGEST_SECONDS);
    this.#history = this.#history.filter((entry) => entry.second >= oldest);
    this.#current = { second, count: 1 };
    this.#adjust(second);
  }

  #adjust(second: number): void {
    let recent = 0;
    for (const entry of this.#history) if (second - entry.second <= this.seconds) recent += entry.count;
    if (second - this.#raisedAt >= this.seconds && recent >= 3 * this.seconds) {
      this.seconds = Math.min(LONGEST_SECONDS, this.seconds * 2);
      this.#raisedAt = second;
    } else if (recent < this.seconds && this.seconds > 1) this.seconds--;
  }
}
