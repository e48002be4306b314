// Sets the defaults that are constants of the schema; those that depend on other fields are the strategies' business.

import { isZero } from "./decode.ts";
import type { SchemaNode } from "./node.ts";

type Plain = Record<string, unknown>;

/** Sets every constant default that is missing, in place. Running it twice changes nothing. */
export function applyDefaults(node: SchemaNode, value: unknown): void {
  if (typeof value !== "object" || value === null) return;
  if (node.type === "list" || node.type === "map") {
    const items = node.items as SchemaNode;
    if (!hasDefaults(items)) return;
    for (const item of Array.isArray(value) ? value : Object.values(value)) applyDefaults(items, item);
    return;
  }
  if (node.type !== "object") return;
  const object = value as Plain;
  for (const [name, field] of node.defaultedFields) if (isMissing(field, object[name])) object[name] = copyOf(field.default);
  for (const key of Object.keys(object)) {
    const field = node.fields.get(key);
    if (field && hasDefaults(field)) applyDefaults(field, object[key]);
  }
}

/** A plain Go field that is zero counts as not given; a pointer to zero was given. */
function isMissing(field: SchemaNode, value: unknown): boolean {
  return value === undefined || value === null || (field.presence !== "pointer" && isZero(value) && !isZero(field.default));
}

function copyOf(value: unknown): unknown {
  // Defaults are at most one level deep.
  return Array.isArray(value) ? [...value] : typeof value === "object" ? { ...value } : value;
}

const known = new WeakMap<SchemaNode, boolean>();

/** Whether anything below a node has a default, so that whole subtrees are skipped. */
function hasDefaults(node: SchemaNode): boolean {
  const answer = known.get(node);
  if (answer !== undefined) return answer;
  // A schema that contains itself is asked about itself: it has none of its own until the rest says otherwise.
  known.set(node, false);
  const children = node.type === "object" ? [...node.fields.values()] : node.items ? [node.items] : [];
  const result = node.defaultedFields.length > 0 || children.some(hasDefaults);
  known.set(node, result);
  return result;
}
