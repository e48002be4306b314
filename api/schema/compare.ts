// Compares two objects field by field, as ownership sees it: what was added, modified and removed.
// Runs on every write, so unchanged parts cost a walk and nothing else. Semantics: structured-merge-diff/typed.
import { zeroOf } from "./decode.ts";
import { LEAF, isEmptySet, sortedSet, union, type FieldSet } from "./fieldset.ts";
import type { SchemaNode } from "./node.ts";
import { isPlain, type Plain } from "./plain.ts";

/** No field is in more than one set. */
export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

type Building = Record<string, FieldSet>;

/** Compares whole objects; an empty `before` stands for the Go zero of the kind, whose plain structs exist. */
export function compareObjects(node: SchemaNode | undefined, before: Plain, after: Plain): Comparison {
  const out = new Outcome();
  compareFields(node, { before, after, out });
  return { added: sortedSet(out.added), modified: sortedSet(out.modified), removed: sortedSet(out.removed) };
}

/** What one side of a comparison finds below one node. */
class Outcome {
  readonly added: Building = {};
  readonly modified: Building = {};
  readonly removed: Building = {};

  /** Hangs what was found below a child under its path element. */
  adopt(element: string, below: Outcome): void {
    if (!isEmptySet(below.added)) this.added[element] = sortedSet(below.added);
    if (!isEmptySet(below.modified)) this.modified[element] = sortedSet(below.modified);
    if (!isEmptySet(below.removed)) this.removed[element] = sortedSet(below.removed);
  }
}

interface Sides<T> {
  readonly before: T;
  readonly after: T;
  readonly out: Outcome;
}

function compareFields(node: SchemaNode | undefined, { before, after, out }: Sides<Plain>): void {
  for (const name of Object.keys(after)) {
    const child = node?.child(name);
    compareChild(child, fieldElement(name), { before: given(before, name) ?? goZero(child), after: given(after, name), out });
  }
  for (const name of Object.keys(before)) {
    if (Object.hasOwn(after, name)) continue;
    const child = node?.child(name);
    compareChild(child, fieldElement(name), { before: given(before, name), after: goZero(child), out });
  }
}

/** null stands for Go's written null, undefined for absence. */
function compareChild(node: SchemaNode | undefined, element: string, { before, after, out }: Sides<unknown>): void {
  if (before === after) return;
  if (before === undefined) out.added[element] = ownedTree(node, after);
  else if (after === undefined) out.removed[element] = ownedTree(node, before);
  else if (isGranularObject(node, before) && isGranularObject(node, after)) compareInner(element, { before, after, out }, (inner) => compareFields(node, inner as Sides<Plain>));
  else if (isGranularList(node) && (Array.isArray(before) || before === null) && (Array.isArray(after) || after === null) && !(isBlank(before) && isBlank(after))) {
    compareInner(element, { before: before ?? [], after: after ?? [], out }, (inner) => compareItems(node as SchemaNode, inner as Sides<unknown[]>));
  } else if (!Bun.deepEquals(before, after)) out.modified[element] = LEAF;
}

function compareInner(element: string, sides: Sides<unknown>, compare: (inner: Sides<unknown>) => void): void {
  const { before, after, out } = sides;
  if (isBlank(before) && isBlank(after)) return;
  const below = new Outcome();
  compare({ before, after, out: below });
  out.adopt(element, below);
}

function compareItems(node: SchemaNode, { before, after, out }: Sides<readonly unknown[]>): void {
  const earlier = itemsByElement(node, before);
  const later = itemsByElement(node, after);
  for (const [element, items] of later) {
    const old = earlier.get(element) ?? [];
    if (old.length <= 1 && items.length === 1) compareChild(node.items, element, { before: old[0], after: items[0], out });
    else if (old.length >= 2 && items.length >= 2) {
      if (!Bun.deepEquals(old, items)) out.modified[element] = LEAF;
    } else if (items.length >= 2) out.added[element] = LEAF;
    else {
      out.removed[element] = LEAF;
      out.added[element] = ownedTree(node.items, items[0]);
    }
  }
  for (const [element, old] of earlier) {
    if (!later.has(element)) out.removed[element] = old.length === 1 ? ownedTree(node.items, old[0]) : LEAF;
  }
}

/** A whole subtree that came or went: every node of it is a member, down to the leaves. */
export function ownedTree(node: SchemaNode | undefined, value: unknown): FieldSet {
  if (isGranularObject(node, value)) {
    const names = Object.keys(value);
    if (names.length === 0) return LEAF;
    const children: Building = { ".": LEAF };
    for (const name of names.sort()) children[fieldElement(name)] = ownedTree(node?.child(name), value[name]);
    return children;
  }
  if (isGranularList(node) && Array.isArray(value) && value.length > 0) return ownedItems(node as SchemaNode, value);
  return LEAF;
}

function ownedItems(node: SchemaNode, items: readonly unknown[]): FieldSet {
  const children: Building = { ".": LEAF };
  for (const item of items) {
    const element = elementOf(node, item);
    // An element found twice is owned as a whole.
    if (element !== undefined) children[element] = element in children ? LEAF : ownedTree(node.items, item);
  }
  return sortedSet(children);
}

/** Items by their path element; more than one under an element is a duplicate. Items without a key are left out. */
export function itemsByElement(node: SchemaNode, items: readonly unknown[]): Map<string, unknown[]> {
  const found = new Map<string, unknown[]>();
  for (const item of items) {
    const element = elementOf(node, item);
    if (element === undefined) continue;
    const same = found.get(element);
    if (same) same.push(item);
    else found.set(element, [item]);
  }
  return found;
}

/** The path element of an item of a set or map list; undefined when it lacks a key that has no default. */
export function elementOf(node: SchemaNode, item: unknown): string | undefined {
  if (node.listType === "set") return typeof item === "object" ? undefined : `v:${JSON.stringify(item)}`;
  if (!isPlain(item)) return undefined;
  let text = "";
  for (const key of sortedKeys(node)) {
    const value = item[key] ?? keyDefault(node, key);
    if (value === undefined) return undefined;
    text += `${text === "" ? "" : ","}"${key}":${jsonOf(value)}`;
  }
  return `k:{${text}}`;
}

const PLAIN_TEXT = /^[\w./-]*$/;

function jsonOf(value: unknown): string {
  return typeof value === "string" && PLAIN_TEXT.test(value) ? `"${value}"` : JSON.stringify(value);
}

/** Field names repeat from object to object, and joining them anew each time is what most of the work would be. */
const fieldElements = new Map<string, string>();
const REMEMBERED = 8_192;

function fieldElement(name: string): string {
  let element = fieldElements.get(name);
  if (element === undefined) {
    if (fieldElements.size >= REMEMBERED) fieldElements.clear();
    fieldElements.set(name, (element = `f:${name}`));
  }
  return element;
}

const keyOrders = new WeakMap<SchemaNode, readonly string[]>();

function sortedKeys(node: SchemaNode): readonly string[] {
  if (node.keys.length === 1) return node.keys;
  let keys = keyOrders.get(node);
  if (!keys) keyOrders.set(node, (keys = [...node.keys].sort()));
  return keys;
}

/** A key that is missing takes the value the schema publishes for it. */
function keyDefault(node: SchemaNode, key: string): unknown {
  const field = node.items?.fields.get(key);
  return field?.default ?? (field?.presence === "always" ? zeroOf(field) : undefined);
}

/** Owned field by field, unlike atomic ones; what has no schema is granular where it is an object. */
export function isGranularObject(node: SchemaNode | undefined, value: unknown): value is Plain {
  return isPlain(value) && (node === undefined || ((node.type === "object" || node.type === "map") && !node.isAtomic));
}

export function isGranularList(node: SchemaNode | undefined): boolean {
  return node !== undefined && node.type === "list" && node.listType !== "atomic";
}

/** Go's value of a field that was not given: zeros and empty structs are there, lists and maps are null. */
export function goZero(node: SchemaNode | undefined): unknown {
  if (node === undefined || (node.presence !== "always" && node.presence !== "null")) return undefined;
  if (node.presence === "null") return null;
  return node.type === "object" ? EMPTY : (zeroOf(node) ?? null);
}

const EMPTY: Plain = Object.freeze({});

function given(object: Plain, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Null and empty lists and objects, which come to the same. */
export function isBlank(value: unknown): boolean {
  return value === null || (Array.isArray(value) ? value.length === 0 : isPlain(value) && Object.keys(value).length === 0);
}

/** Everything a comparison says is now different and present. */
export function changedFields(comparison: Comparison): FieldSet {
  return union(comparison.added, comparison.modified);
}

/** Whether a comparison found no difference. */
export function isSame({ added, modified, removed }: Comparison): boolean {
  return isEmptySet(added) && isEmptySet(modified) && isEmptySet(removed);
}
