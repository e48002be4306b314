// Ends what takes too long. All requests are looked after by one timer, because one each would cost more than most requests.

/** Something to be ended when its time is up. */
export interface Expiring {
  expire(): void;
}

const SLOT_MS = 250;

/** Times are milliseconds of `performance.now()`; they are kept to a quarter of a second. */
export class Deadlines {
  readonly #slots = new Map<number, Set<Expiring>>();
  #timer: Timer | undefined;

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Calls `expire` once `atMs` has passed, unless the returned function was called before. */
  add(atMs: number, expiring: Expiring): () => void {
    const slot = Math.ceil(atMs / SLOT_MS);
    let members = this.#slots.get(slot);
    if (!members) this.#slots.set(slot, (members = new Set()));
    members.add(expiring);
    if (!this.#timer) {
      this.#timer = setInterval(() => this.sweep(), SLOT_MS);
      this.#timer.unref();
    }
    return () => void members.delete(expiring);
  }

  /** Ends what is due. */
  sweep(): void {
    const due = this.now() / SLOT_MS;
    for (const [slot, members] of this.#slots) {
      if (slot > due) continue;
      this.#slots.delete(slot);
      for (const expiring of members) expiring.expire();
    }
    if (this.#slots.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
