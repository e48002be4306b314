// A numbered range (cluster IPs, node ports) from which values are taken: by name, or at random.
// The low end is left to those who ask by name, so that a random taker rarely stands in their way.

/** Why a value could not be taken; `why` is upstream's sentence. */
export class RangeError extends Error {
  override readonly name = "RangeError";
}

/** No value is left at all. */
export class RangeFull extends Error {
  override readonly name = "RangeFull";
}

export interface RangeOptions {
  /** How many values there are; values are 0 .. size - 1. */
  readonly size: number;
  /** Values below this are handed out at random only when nothing else is left. */
  readonly reserved: number;
  /** The sentence for a value outside the range. */
  readonly outside: string;
  /** The sentence for a value that somebody holds. */
  readonly taken: string;
}

/** Which values of a range are held. */
export class Range {
  readonly #held = new Set<number>();

  constructor(private readonly options: RangeOptions) {}

  get size(): number {
    return this.options.size;
  }

  /** How many values are held. */
  get count(): number {
    return this.#held.size;
  }

  /** What is held, in no order. */
  values(): number[] {
    return [...this.#held];
  }

  /** Whether a value is held. */
  has(value: number): boolean {
    return this.#held.has(value);
  }

  /** Takes this value; throws RangeError when it is outside or held. */
  take(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value >= this.options.size) throw new RangeError(this.options.outside);
    if (this.#held.has(value)) throw new RangeError(this.options.taken);
    this.#held.add(value);
  }

  /** Takes any free value; throws RangeFull. */
  takeAny(): number {
    const { size, reserved } = this.options;
    const value = this.#freeIn(reserved, size) ?? this.#freeIn(0, reserved);
    if (value === undefined) throw new RangeFull("range is full");
    this.#held.add(value);
    return value;
  }

  /** Gives a value back; one that nobody holds is ignored. */
  release(value: number): void {
    this.#held.delete(value);
  }

  /** Starts at random, so that a value just given back is not the next one taken, and goes round once. */
  #freeIn(low: number, high: number): number | undefined {
    const count = high - low;
    if (count <= 0) return undefined;
    const start = Math.floor(Math.random() * count);
    for (let step = 0; step < count; step++) {
      const value = low + ((start + step) % count);
      if (!this.#held.has(value)) return value;
    }
    return undefined;
  }
}
