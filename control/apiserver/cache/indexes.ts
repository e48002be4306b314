// Secondary indexes of one resource, made the first time a selector could use one and kept up to date from then on.
// An index maps one label's or one field's value to the entries that have it.
import type { Entry } from "./entry.ts";
import { compareNames } from "./ordered.ts";
import type { FieldReader, Selection } from "./selection.ts";

const MAX_INDEXES = 16;
/** Below this many entries a scan is cheaper than an index. */
const WORTH_INDEXING = 64;
const SCAN_FROM_SHARE = 8;

interface Index {
  valueOf(entry: Entry): string | undefined;
  readonly entries: Map<string, Map<string, Entry>>;
}

/** All indexes of one resource. */
export class Indexes {
  readonly #indexes = new Map<string, Index>();

  /** Candidates for a selection in key order, or undefined when no index helps; all must still be tested. */
  candidates(selection: Selection, size: number, all: () => Iterable<Entry>): readonly Entry[] | undefined {
    if (size < WORTH_INDEXING) return undefined;
    const wanted = wantedIndex(selection);
    const index = wanted && (this.#indexes.get(wanted.name) ?? this.#build(wanted, all));
    if (!index) return undefined;
    const found = index.entries.get(wanted.value);
    // Sorting most of what there is takes longer than looking at all of it, which is sorted.
    if (found && found.size > size / SCAN_FROM_SHARE) return undefined;
    return found ? [...found.values()].sort(compareNames) : [];
  }

  /** Replaces `previous` by `next` in every index. */
  update(previous: Entry | undefined, next: Entry | undefined): void {
    for (const index of this.#indexes.values()) {
      if (previous) remove(index, previous);
      if (next) put(index, next);
    }
  }

  #build(wanted: Wanted, all: () => Iterable<Entry>): Index | undefined {
    if (this.#indexes.size >= MAX_INDEXES) return undefined;
    const index: Index = { valueOf: wanted.valueOf, entries: new Map() };
    for (const entry of all()) put(index, entry);
    this.#indexes.set(wanted.name, index);
    return index;
  }
}

interface Wanted {
  readonly name: string;
  readonly value: string;
  readonly valueOf: (entry: Entry) => string | undefined;
}

function wantedIndex({ fields, labels, reader }: Selection): Wanted | undefined {
  const field = fields.find((requirement) => requirement.operator === "=");
  if (field) return { name: `field ${reader.name} ${field.field}`, value: field.value, valueOf: fieldValue(reader, field.field) };
  const label = labels.requirements.find(({ operator, values }) => (operator === "=" || operator === "==" || operator === "in") && values.length === 1);
  return label && { name: `label ${label.key}`, value: label.values[0] as string, valueOf: (entry) => entry.object.metadata.labels?.[label.key] };
}

function fieldValue(reader: FieldReader, field: string): (entry: Entry) => string {
  return (entry) => reader.read(entry)[field] ?? "";
}

function keyOf(entry: Entry): string {
  return `${entry.namespace}/${entry.name}`;
}

function put(index: Index, entry: Entry): void {
  const value = index.valueOf(entry);
  if (value === undefined) return;
  let bucket = index.entries.get(value);
  if (!bucket) index.entries.set(value, (bucket = new Map()));
  bucket.set(keyOf(entry), entry);
}

function remove(index: Index, entry: Entry): void {
  const value = index.valueOf(entry);
  if (value === undefined) return;
  const bucket = index.entries.get(value);
  if (bucket?.delete(keyOf(entry)) && bucket.size === 0) index.entries.delete(value);
}
