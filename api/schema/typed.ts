// Objects seen as sets of fields: what an applied configuration claims, how it merges, what is taken out again.
// Nothing here changes its arguments. Semantics: structured-merge-diff/typed.
import { elementOf, isGranularList, isGranularObject, itemsByElement } from "./compare.ts";
import { LEAF, formatElement, formatPath, isEmptySet, isMember, nodeOf, sortedSet, type FieldSet } from "./fieldset.ts";
import type { SchemaNode } from "./node.ts";
import { isPlain, type Plain } from "./plain.ts";

type Building = Record<string, FieldSet>;

/** The fields a configuration names: leaves, list items and map entries, but not the structs that only hold others. */
export function toFieldSet(node: SchemaNode | undefined, value: unknown): FieldSet {
  const set: Building = {};
  if (isGranularObject(node, value)) {
    for (const [name, inner] of Object.entries(value)) {
      const child = node?.child(name);
      const isField = node?.type === "object" && child !== undefined;
      const below = isLeaf(child, inner) ? {} : toFieldSet(child, inner);
      const claims = isLeaf(child, inner) || !isField;
      const entry = nodeOf(claims, below);
      if (entry) set[`f:${name}`] = entry;
    }
  } else if (isGranularList(node) && Array.isArray(value)) {
    const list = node as SchemaNode;
    for (const [element, items] of itemsByElement(list, value)) {
      set[element] = items.length > 1 || isLeaf(list.items, items[0]) ? LEAF : (nodeOf(true, toFieldSet(list.items, items[0])) as FieldSet);
    }
  }
  return sortedSet(set);
}

/** Scalars, atomic values, nulls and empty maps are claimed themselves; an empty granular list claims nothing. */
function isLeaf(node: SchemaNode | undefined, value: unknown): boolean {
  if (isGranularObject(node, value)) return Object.keys(value).length === 0;
  return value === null || !(isGranularList(node) && Array.isArray(value));
}

/** The live object with a configuration laid over it: maps and keyed lists merge, the rest is replaced. */
export function mergeApplied(node: SchemaNode | undefined, live: unknown, applied: unknown): unknown {
  if (applied === undefined) return live;
  if (isGranularObject(node, live) && isGranularObject(node, applied)) {
    const result: Plain = { ...live };
    for (const [name, value] of Object.entries(applied)) result[name] = mergeApplied(node?.child(name), live[name], value);
    return result;
  }
  if (isGranularList(node) && Array.isArray(live) && Array.isArray(applied)) return mergeItems(node as SchemaNode, live, applied);
  return applied;
}

/** The paths of lists and maps in a configuration that can only be replaced as a whole. */
export function atomicPaths(node: SchemaNode | undefined, value: unknown, path = ""): string[] {
  if (!node || typeof value !== "object" || value === null) return [];
  if (Array.isArray(value)) {
    if (!isGranularList(node)) return node.type === "list" ? [path] : [];
    return value.flatMap((item) => atomicPaths(node.items, item, `${path}[${formatElement(elementOf(node, item) ?? "")}]`));
  }
  if (!isGranularObject(node, value)) return node.type === "object" || node.type === "map" ? [path] : [];
  return Object.entries(value).flatMap(([name, inner]) => atomicPaths(node.child(name), inner, `${path}.${name}`));
}

/** Items of both lists: shared ones in the configuration's order, live-only ones where they stood. */
function mergeItems(node: SchemaNode, live: readonly unknown[], applied: readonly unknown[]): unknown[] {
  const theirs = live.map((item) => elementOf(node, item) ?? "");
  const ours = applied.map((item) => elementOf(node, item) ?? "");
  const byElement = itemsByElement(node, live);
  const wanted = new Set(ours);
  const shared = ours.filter((element) => byElement.has(element));
  const merged = new Set<string>();
  const result: unknown[] = [];
  const takeOurs = (index: number): void => {
    const element = ours[index] as string;
    const same = byElement.get(element) ?? [];
    result.push(mergeApplied(node.items, same.length === 1 ? same[0] : undefined, applied[index]));
    merged.add(element);
    if (shared[0] === element) shared.shift();
  };
  for (let l = 0, r = 0; l < theirs.length || r < ours.length; ) {
    const element = theirs[l];
    if (element !== undefined && !wanted.has(element)) result.push(live[l++]);
    else if (element !== undefined && (merged.has(element) || (r < ours.length && element !== ours[r] && shared[0] !== element))) l++;
    else {
      if (element !== undefined && element === ours[r]) l++;
      if (r < ours.length) takeOurs(r++);
    }
  }
  return result;
}

/** The value without what a set names; containers that lose everything stay, empty. */
export function removeFields(node: SchemaNode | undefined, value: unknown, set: FieldSet): unknown {
  if (isEmptySet(set)) return value;
  if (isGranularObject(node, value)) {
    const result: Plain = {};
    for (const [name, inner] of Object.entries(value)) {
      const below = set[`f:${name}`];
      if (below === undefined) result[name] = inner;
      else if (!isMember(below)) result[name] = removeFields(node?.child(name), inner, below);
    }
    return result;
  }
  if (isGranularList(node) && Array.isArray(value)) {
    const list = node as SchemaNode;
    return value.flatMap((item) => {
      const below = set[elementOf(list, item) ?? ""];
      if (below === undefined) return [item];
      return isMember(below) ? [] : [removeFields(list.items, item, below)];
    });
  }
  return value;
}

/** The set with every struct field on the way made a member too, so that whole fields can be told apart. */
export function withNamedFields(node: SchemaNode | undefined, set: FieldSet): FieldSet {
  const result: Building = {};
  for (const element in set) {
    if (element === ".") continue;
    const below = set[element] as FieldSet;
    const child = element.startsWith("f:") ? node?.child(element.slice(2)) : node?.items;
    const isField = element.startsWith("f:") && node?.type === "object" && child !== undefined;
    result[element] = nodeOf(isMember(below) || isField, withNamedFields(child, below)) as FieldSet;
  }
  return result;
}

/** What keeps a configuration from being read by the schema, as `path: sentence`; empty when nothing does. */
export function appliedErrors(node: SchemaNode, value: unknown, path: readonly string[] = []): string[] {
  if (value === null || value === undefined) return [];
  switch (node.type) {
    case "object":
    case "map":
      return isPlain(value) ? objectErrors(node, value, path) : [wrongType(path, "map", value)];
    case "list":
      return Array.isArray(value) ? listErrors(node, value, path) : [wrongType(path, "list", value)];
    case "integer":
    case "number":
      return typeof value === "number" ? [] : [wrongType(path, "numeric (int or float)", value)];
    case "boolean":
      return typeof value === "boolean" ? [] : [wrongType(path, "boolean", value)];
    case "string":
    case "bytes":
    case "time":
    case "microTime":
      return typeof value === "string" ? [] : [wrongType(path, "string", value)];
    default:
      return [];
  }
}

function objectErrors(node: SchemaNode, value: Plain, path: readonly string[]): string[] {
  return Object.entries(value).flatMap(([name, inner]) => {
    const child = node.child(name);
    if (child) return appliedErrors(child, inner, [...path, `f:${name}`]);
    return node.preservesUnknown ? [] : [`${formatPath([...path, `f:${name}`])}: field not declared in schema`];
  });
}

function listErrors(node: SchemaNode, value: readonly unknown[], path: readonly string[]): string[] {
  const seen = new Set<string>();
  const errors: string[] = [];
  for (const [index, item] of value.entries()) {
    const element = node.listType === "atomic" ? `i:${index}` : elementOf(node, item);
    if (element === undefined) return [...errors, `${formatPath(path)}: element ${index}: ${missingKey(node, item)}`];
    if (seen.has(element)) errors.push(`${formatPath(path)}: duplicate entries for key ${formatElement(element)}`);
    seen.add(element);
    errors.push(...appliedErrors(node.items as SchemaNode, item, [...path, element]));
  }
  return errors;
}

function missingKey(node: SchemaNode, item: unknown): string {
  if (node.listType === "set") return "associative lists without keys have items that are scalars only";
  if (item === null) return "associative list with keys may not have a null element";
  if (!isPlain(item)) return "associative list with keys may not have non-map elements";
  const key = node.keys.find((name) => item[name] === undefined) ?? "";
  return `associative list with keys has an element that omits key field ${JSON.stringify(key)} (and doesn't have default value)`;
}

function wrongType(path: readonly string[], wanted: string, value: unknown): string {
  const shown = isPlain(value) || Array.isArray(value) ? JSON.stringify(value) : String(value);
  const where = formatPath(path);
  return `${where === "" ? "" : `${where}: `}expected ${wanted}, got ${shown}`;
}
