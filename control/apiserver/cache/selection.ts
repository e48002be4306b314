// Which objects a LIST or WATCH asks for, in a form that lets the cache pick an index.
import type { FieldRequirement, LabelMatcher } from "../../../api/selectors.ts";
import { EVERYTHING } from "../../../api/selectors.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Entry } from "./entry.ts";

export type Fields = Readonly<Record<string, string>>;

/** How fields of an object are read; `name` tells representations with different fields apart. */
export interface FieldReader {
  readonly name: string;
  read(entry: Entry): Fields;
}

/** A parsed selection; everything left out selects everything. */
export interface Selection {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly labels: LabelMatcher;
  /** Requirements on fields other than those already in `namespace` and `name`. */
  readonly fields: readonly FieldRequirement[];
  readonly reader: FieldReader;
}

/** Fields every kind has. */
export function metadataFields(object: AnyObject): Fields {
  return { "metadata.name": object.metadata.name ?? "", "metadata.namespace": object.metadata.namespace ?? "" };
}

/** Reads name and namespace only. */
export const METADATA_READER: FieldReader = { name: "metadata", read: (entry) => metadataFields(entry.object) };

/** Selects all objects, or all of one namespace. */
export function selectAll(namespace?: string): Selection {
  return { namespace, labels: EVERYTHING, fields: [], reader: METADATA_READER };
}

/** True when the selection is by namespace at most. */
export function isPlain(selection: Selection): boolean {
  return selection.name === undefined && selection.fields.length === 0 && selection.labels.isEmpty;
}

export function isSelected(selection: Selection, entry: Entry): boolean {
  if (selection.namespace !== undefined && selection.namespace !== entry.namespace) return false;
  if (selection.name !== undefined && selection.name !== entry.name) return false;
  if (!selection.labels.isEmpty && !selection.labels.matches(entry.object.metadata.labels as Fields | undefined)) return false;
  return selection.fields.length === 0 || fieldsHold(selection, entry);
}

/** Whether an entry has the fields that are asked for. */
export function fieldsHold({ fields, reader }: Selection, entry: Entry): boolean {
  const values = reader.read(entry);
  return fields.every(({ field, operator, value }) => ((values[field] ?? "") === value) === (operator === "="));
}
