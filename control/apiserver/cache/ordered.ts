// The objects of one resource, found by name and listed in key order.
// Order is the store's: namespaces compare with their trailing slash, names by code unit. Sorting waits until somebody lists.
import type { Entry } from "./entry.ts";

/** Where an object lives. */
export interface Place {
  readonly namespace: string;
  readonly name: string;
}

/** An ordered map of (namespace, name) to entry. */
export class OrderedEntries {
  readonly #buckets = new Map<string, Bucket>();
  #all: readonly Entry[] | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(namespace: string, name: string): Entry | undefined {
    return this.#buckets.get(namespace)?.entries.get(name);
  }

  set(entry: Entry): void {
    let bucket = this.#buckets.get(entry.namespace);
    if (!bucket) this.#buckets.set(entry.namespace, (bucket = new Bucket()));
    if (bucket.set(entry)) this.#size++;
    this.#all = undefined;
  }

  delete(namespace: string, name: string): void {
    const bucket = this.#buckets.get(namespace);
    if (!bucket?.delete(name)) return;
    this.#size--;
    this.#all = undefined;
    if (bucket.entries.size === 0) this.#buckets.delete(namespace);
  }

  /** All entries in any order. */
  *all(): Iterable<Entry> {
    for (const { entries } of this.#buckets.values()) yield* entries.values();
  }

  /** All entries in order, of one namespace or of all; the same array until something changes. */
  sorted(namespace?: string): readonly Entry[] {
    if (namespace !== undefined) return this.#buckets.get(namespace)?.sorted() ?? [];
    return (this.#all ??= this.#join());
  }

  #join(): readonly Entry[] {
    const namespaces = [...this.#buckets.keys()].sort((a, b) => (slashed(a) < slashed(b) ? -1 : 1));
    const [only] = namespaces;
    if (namespaces.length === 1) return (this.#buckets.get(only as string) as Bucket).sorted();
    return namespaces.flatMap((namespace) => (this.#buckets.get(namespace) as Bucket).sorted());
  }
}

/** Compares two places in store order. */
export function compareNames(a: Place, b: Place): number {
  if (a.namespace !== b.namespace) return slashed(a.namespace) < slashed(b.namespace) ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** The first index whose entry comes strictly after `place`. */
export function positionAfter(sorted: readonly Entry[], place: Place): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareNames(sorted[middle] as Entry, place) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Two lists in store order as one; no place is in both. */
export function mergeSorted(a: readonly Entry[], b: readonly Entry[]): readonly Entry[] {
  if (b.length === 0) return a;
  const merged: Entry[] = [];
  let i = 0;
  for (const entry of b) {
    while (i < a.length && compareNames(a[i] as Entry, entry) < 0) merged.push(a[i++] as Entry);
    merged.push(entry);
  }
  while (i < a.length) merged.push(a[i++] as Entry);
  return merged;
}

/** One namespace. Names are kept sorted as of the last listing; newcomers wait in `#added`. */
class Bucket {
  readonly entries = new Map<string, Entry>();
  #names: string[] = [];
  #added: string[] = [];
  #hasGone = false;
  #sorted: readonly Entry[] | undefined;

  /** True when the name is new. */
  set(entry: Entry): boolean {
    const isNew = !this.entries.has(entry.name);
    if (isNew) this.#added.push(entry.name);
    this.entries.set(entry.name, entry);
    this.#sorted = undefined;
    return isNew;
  }

  delete(name: string): boolean {
    if (!this.entries.delete(name)) return false;
    this.#hasGone = true;
    this.#sorted = undefined;
    return true;
  }

  sorted(): readonly Entry[] {
    return (this.#sorted ??= this.#sort());
  }

  #sort(): readonly Entry[] {
    if (this.#hasGone) this.#names = this.#names.filter((name) => this.entries.has(name));
    if (this.#added.length > 0) this.#names = merge(this.#names, this.#added.sort());
    this.#added = [];
    this.#hasGone = false;
    const sorted: Entry[] = [];
    for (const name of this.#names) {
      const entry = this.entries.get(name);
      if (entry) sorted.push(entry);
    }
    return sorted;
  }
}

/** Two sorted lists as one, without repeats: a name that went and came back is in both. */
function merge(a: readonly string[], b: readonly string[]): string[] {
  const merged: string[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    const next = j >= b.length || (i < a.length && (a[i] as string) <= (b[j] as string)) ? (a[i++] as string) : (b[j++] as string);
    if (merged.at(-1) !== next) merged.push(next);
  }
  return merged;
}

// "a-b/x" comes before "a/x" in the store, because '-' sorts before '/'.
function slashed(text: string): string {
  return `${text}/`;
}
