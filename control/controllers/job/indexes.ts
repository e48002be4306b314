// Sets of completion indexes, as Jobs write them: `1,3-5,7`. Kept as intervals, for there may be a hundred thousand.

interface Interval {
  readonly first: number;
  readonly last: number;
}

/** An immutable set of non-negative integers. */
export class IndexSet {
  static readonly EMPTY = new IndexSet([]);

  private constructor(private readonly intervals: readonly Interval[]) {}

  /** Reads the text form; what is malformed or not below `limit` is left out. */
  static parse(text: string | undefined, limit: number): IndexSet {
    const intervals: Interval[] = [];
    for (const part of (text ?? "").split(",")) {
      const match = /^(\d+)(?:-(\d+))?$/.exec(part);
      if (!match) continue;
      const first = Number(match[1]);
      const last = Math.min(Number(match[2] ?? match[1]), limit - 1);
      if (first <= last) intervals.push({ first, last });
    }
    return new IndexSet(merge(intervals));
  }

  get size(): number {
    return this.intervals.reduce((total, { first, last }) => total + last - first + 1, 0);
  }

  has(index: number): boolean {
    return this.intervals.some(({ first, last }) => first <= index && index <= last);
  }

  with(indexes: Iterable<number>): IndexSet {
    const added = [...indexes].map((index) => ({ first: index, last: index }));
    return added.length === 0 ? this : new IndexSet(merge([...this.intervals, ...added]));
  }

  union(other: IndexSet): IndexSet {
    return new IndexSet(merge([...this.intervals, ...other.intervals]));
  }

  /** How many indexes both sets have. */
  overlap(other: IndexSet): number {
    let count = 0;
    for (const a of this.intervals) for (const b of other.intervals) count += Math.max(0, Math.min(a.last, b.last) - Math.max(a.first, b.first) + 1);
    return count;
  }

  /** The `count` smallest indexes below `limit` that are not in the set. */
  missing(count: number, limit: number): number[] {
    const found: number[] = [];
    let candidate = 0;
    for (const { first, last } of [...this.intervals, { first: limit, last: limit }]) {
      for (; candidate < Math.min(first, limit) && found.length < count; candidate++) found.push(candidate);
      candidate = Math.max(candidate, last + 1);
    }
    return found;
  }

  toString(): string {
    return this.intervals.map(({ first, last }) => (first === last ? `${first}` : last === first + 1 ? `${first},${last}` : `${first}-${last}`)).join(",");
  }
}

function merge(intervals: readonly Interval[]): Interval[] {
  const merged: Interval[] = [];
  for (const interval of intervals.toSorted((a, b) => a.first - b.first)) {
    const previous = merged.at(-1);
    if (previous && interval.first <= previous.last + 1) merged[merged.length - 1] = { first: previous.first, last: Math.max(previous.last, interval.last) };
    else merged.push(interval);
  }
  return merged;
}
