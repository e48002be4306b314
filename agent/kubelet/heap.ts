// A queue of things due at some time, the earliest first. Pure data.

/** A binary heap ordered by `at`. */
export class DueQueue<T> {
  readonly #items: { at: number; item: T }[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** When the first item is due; undefined when there is none. */
  get nextAt(): number | undefined {
    return this.#items[0]?.at;
  }

  push(at: number, item: T): void {
    let index = this.#items.push({ at, item }) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#at(parent) <= at) break;
      this.#swap(index, parent);
      index = parent;
    }
  }

  /** Takes out the first item if it is due by then. */
  popDue(now: number): T | undefined {
    const first = this.#items[0];
    if (!first || first.at > now) return undefined;
    const last = this.#items.pop();
    if (last && this.#items.length > 0) {
      this.#items[0] = last;
      this.#sink();
    }
    return first.item;
  }

  #sink(): void {
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const smaller = this.#at(left + 1) < this.#at(left) ? left + 1 : left;
      if (this.#at(smaller) >= this.#at(index)) return;
      this.#swap(index, smaller);
      index = smaller;
    }
  }

  #at(index: number): number {
    return this.#items[index]?.at ?? Infinity;
  }

  #swap(a: number, b: number): void {
    const [x, y] = [this.#items[a], this.#items[b]];
    if (!x || !y) return;
    this.#items[a] = y;
    this.#items[b] = x;
  }
}
