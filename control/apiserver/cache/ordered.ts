// The objects of one resource in key order, grouped by namespace.
// Order is the store's: namespaces compare with their trailing slash, names by code unit.
import type { Entry } from "./entry.ts";

interface Bucket {
  readonly namespace: string;
  readonly entries: Map<string, Entry>;
  /** Sorted names; rebuilt lazily after out-of-order inserts. */
  names: string[];
}

/** An ordered map of (namespace, name) to entry. */
export class OrderedEntries {
  readonly #buckets = new Map<string, Bucket>();
  #namespaces: string[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(namespace: string, name: string): Entry | undefined {
    return this.#buckets.get(namespace)?.entries.get(name);
  }

  /** How many entries a namespace has. */
  count(namespace: string): number {
    return this.#buckets.get(namespace)?.entries.size ?? 0;
  }

  set(entry: Entry): void {
    const bucket = this.#buckets.get(entry.namespace) ?? this.#open(entry.namespace);
    if (!bucket.entries.has(entry.name)) {
      insert(bucket.names, entry.name, identity);
      this.#size++;
    }
    bucket.entries.set(entry.name, entry);
  }

  delete(namespace: string, name: string): void {
    const bucket = this.#buckets.get(namespace);
    if (!bucket?.entries.delete(name)) return;
    this.#size--;
    bucket.names.splice(position(bucket.names, name, identity), 1);
    if (bucket.entries.size > 0) return;
    this.#buckets.delete(namespace);
    this.#namespaces.splice(position(this.#namespaces, namespace, slashed), 1);
  }

  /** Entries in order, of one namespace or of all, strictly after `after` when given. */
  *entries(namespace?: string, after?: { namespace: string; name: string }): IterableIterator<Entry> {
    const namespaces = namespace === undefined ? this.#namespaces : [namespace];
    const start = after && namespace === undefined ? position(this.#namespaces, after.namespace, slashed) : 0;
    for (let index = start; index < namespaces.length; index++) {
      const bucket = this.#buckets.get(namespaces[index] as string);
      if (!bucket) continue;
      const { names, entries } = bucket;
      const from = after?.namespace === bucket.namespace ? afterPosition(names, after.name) : 0;
      for (let at = from; at < names.length; at++) yield entries.get(names[at] as string) as Entry;
    }
  }

  #open(namespace: string): Bucket {
    const bucket: Bucket = { namespace, entries: new Map(), names: [] };
    this.#buckets.set(namespace, bucket);
    insert(this.#namespaces, namespace, slashed);
    return bucket;
  }
}

/** Compares two (namespace, name) pairs in store order. */
export function compareNames(a: { namespace: string; name: string }, b: { namespace: string; name: string }): number {
  if (a.namespace !== b.namespace) return slashed(a.namespace) < slashed(b.namespace) ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

type Rank = (text: string) => string;
const identity: Rank = (text) => text;
// "a-b/x" comes before "a/x" in the store, because '-' sorts before '/'.
const slashed: Rank = (text) => `${text}/`;

function insert(sorted: string[], text: string, rank: Rank): void {
  const last = sorted.at(-1);
  if (last === undefined || rank(last) < rank(text)) sorted.push(text);
  else sorted.splice(position(sorted, text, rank), 0, text);
}

/** The first index whose text is not before `text`. */
function position(sorted: readonly string[], text: string, rank: Rank): number {
  const wanted = rank(text);
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rank(sorted[middle] as string) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

function afterPosition(names: readonly string[], name: string): number {
  const at = position(names, name, identity);
  return names[at] === name ? at + 1 : at;
}
