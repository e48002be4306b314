// Sets of managed fields shared by all objects that have the same: what one template makes is managed alike.
// They are half of what most objects consist of, and nobody changes one in place.
import type { ManagedFieldsEntry } from "../types.ts";
import type { FieldSet } from "./fieldset.ts";

/** Beyond this many, sharing starts over. */
const MAX_SETS = 2048;
const sets = new Map<string, FieldSet>();
const texts = new Map<FieldSet, string>();

/** The set that stands for all equal ones; it may be the one given. */
export function sharedSet(set: FieldSet): FieldSet {
  if (texts.has(set)) return set;
  const text = JSON.stringify(set);
  const known = sets.get(text);
  if (known) return known;
  if (sets.size >= MAX_SETS) {
    sets.clear();
    texts.clear();
  }
  sets.set(text, set);
  texts.set(set, text);
  return set;
}

/** A set as JSON text, which is known for those that are shared. */
export function textOfSet(set: FieldSet): string {
  return texts.get(set) ?? JSON.stringify(set);
}

/** Replaces the sets of entries that nobody else has yet by the shared ones, in place. */
export function shareSets(entries: readonly ManagedFieldsEntry[] | undefined): void {
  for (const entry of entries ?? []) if (entry.fieldsV1) entry.fieldsV1 = sharedSet(entry.fieldsV1 as FieldSet);
}
