// A binary heap whose items can be found, moved and removed by key.
// The order is the caller's; equal items come out in no particular order.

/** A priority queue over items with a key. `before(a, b)` says that a comes out first. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #at = new Map<string, number>();

  constructor(private readonly keyOf: (item: T) => string, private readonly before: (a: T, b: T) => boolean) {}

  get size(): number {
    return this.#items.length;
  }

  get(key: string): T | undefined {
    const at = this.#at.get(key);
    return at === undefined ? undefined : this.#items[at];
  }

  /** All items, in no particular order. */
  values(): Iterable<T> {
    return this.#items;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** Adds, or replaces the item with the same key. */
  push(item: T): void {
    const key = this.keyOf(item);
    const at = this.#at.get(key) ?? this.#items.length;
    this.#put(at, item);
    this.#sink(this.#rise(at));
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.remove(this.keyOf(first));
    return first;
  }

  remove(key: string): T | undefined {
    const at = this.#at.get(key);
    if (at === undefined) return undefined;
    const removed = this.#items[at] as T;
    this.#at.delete(key);
    const last = this.#items.pop() as T;
    if (at < this.#items.length) {
      this.#put(at, last);
      this.#sink(this.#rise(at));
    }
    return removed;
  }

  #put(at: number, item: T): void {
    this.#items[at] = item;
    this.#at.set(this.keyOf(item), at);
  }

  #rise(at: number): number {
    const item = this.#items[at] as T;
    let place = at;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!this.before(item, this.#items[parent] as T)) break;
      this.#put(place, this.#items[parent] as T);
      place = parent;
    }
    if (place !== at) this.#put(place, item);
    return place;
  }

  #sink(at: number): void {
    const item = this.#items[at] as T;
    let place = at;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#items.length) break;
      if (child + 1 < this.#items.length && this.before(this.#items[child + 1] as T, this.#items[child] as T)) child++;
      if (!this.before(this.#items[child] as T, item)) break;
      this.#put(place, this.#items[child] as T);
      place = child;
    }
    if (place !== at) this.#put(place, item);
  }
}
