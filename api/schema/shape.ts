// The shape of an object: which fields it has, and what its list items are known by, but not what its fields say.
// Objects of one shape are owned alike by whoever creates them, so that is worked out for the first of them only.
import { elementOf, goZero, isBlank, isGranularList, isGranularObject } from "./compare.ts";
import type { FieldSet } from "./fieldset.ts";
import type { SchemaNode } from "./node.ts";

/** Beyond this many shapes, remembering starts over. */
const MAX_SHAPES = 1024;
/** Objects with very many fields are hardly ever made twice. */
const MAX_LENGTH = 8192;

interface Known {
  readonly node: SchemaNode;
  readonly fields: FieldSet;
}

const known = new Map<string, Known>();

/** What `work` finds for an object of the node's kind; objects of equal shape and `purpose` get the same answer. */
export function onceForShape(node: SchemaNode, { object, purpose }: { object: unknown; purpose: string }, work: () => FieldSet): FieldSet {
  const shape = shapeOf(node, object);
  if (shape.length > MAX_LENGTH) return work();
  const key = `${node.goType} ${purpose} ${shape}`;
  const found = known.get(key);
  // Custom resources get another node with every change of their schema.
  if (found?.node === node) return found.fields;
  const fields = work();
  if (known.size >= MAX_SHAPES) known.clear();
  known.set(key, { node, fields });
  return fields;
}

/** A text that is the same only for values that compare alike with nothing: names are preceded by their length, so none passes for two. */
export function shapeOf(node: SchemaNode | undefined, value: unknown): string {
  if (isGranularObject(node, value)) {
    let text = "{";
    for (const name of Object.keys(value)) text += `${name.length}:${name}${shapeOf(node?.child(name), value[name])}`;
    return `${text}}`;
  }
  if (isGranularList(node) && Array.isArray(value)) return shapeOfItems(node as SchemaNode, value);
  if (value === undefined) return "u";
  if (value === null) return "n";
  if (typeof value === "object") return isBlank(value) ? "e" : "o";
  return value === goZero(node) ? "z" : "s";
}

function shapeOfItems(node: SchemaNode, items: readonly unknown[]): string {
  let text = "[";
  for (const item of items) {
    const element = elementOf(node, item);
    text += element === undefined ? "?" : `${element.length}:${element}${shapeOf(node.items, item)}`;
  }
  return `${text}]`;
}
