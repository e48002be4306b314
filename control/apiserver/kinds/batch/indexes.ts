// Lists of completion indexes as text: `1,3-5,7`, increasing, below the number of completions.

/** Text that is no such list; the message says why, as upstream does. */
export class IndexesError extends Error {
  override readonly name = "IndexesError";
}

export type Interval = readonly [first: number, last: number];

/** The intervals of a list. Throws IndexesError. */
export function parseIndexes(text: string, completions: number): Interval[] {
  const intervals: Interval[] = [];
  if (text === "") return intervals;
  for (const part of text.split(",")) {
    const interval = parseInterval(part, completions);
    const last = intervals.at(-1)?.[1];
    if (last !== undefined && last >= interval[0]) throw new IndexesError(`non-increasing order, previous: ${last}, current: ${interval[0]}`);
    intervals.push(interval);
  }
  return intervals;
}

/** How many indexes a list names. */
export function countOf(intervals: readonly Interval[]): number {
  return intervals.reduce((total, [first, last]) => total + last - first + 1, 0);
}

/** The first index in both lists. */
export function overlapOf(a: readonly Interval[], b: readonly Interval[]): number | undefined {
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [aFirst, aLast] = a[i] as Interval;
    const [bFirst, bLast] = b[j] as Interval;
    if (aFirst <= bLast && bFirst <= aLast) return Math.max(aFirst, bFirst);
    if (aFirst <= bFirst) i++;
    else j++;
  }
  return undefined;
}

function parseInterval(text: string, completions: number): Interval {
  const parts = text.split("-");
  if (parts.length > 2) throw new IndexesError(`the fragment ${JSON.stringify(text)} violates the requirement that an index interval can have at most two parts separated by '-'`);
  const [first, last = first] = parts.map((part) => indexIn(part, completions)) as [number, number?];
  if (parts.length === 2 && first >= last) throw new IndexesError(`non-increasing order, previous: ${first}, current: ${last}`);
  return [first, last];
}

function indexIn(text: string, completions: number): number {
  if (!/^[-+]?\d+$/.test(text)) throw new IndexesError(`cannot convert string to integer for index: ${JSON.stringify(text)}`);
  if (Number(text) >= completions) throw new IndexesError(`too large index: ${JSON.stringify(text)}`);
  return Number(text);
}
