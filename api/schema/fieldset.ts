// Sets of fields in the form they are stored in (`FieldsV1`): a trie of plain objects, where `{}` or a `.` marks a member.
// Nothing here changes its arguments, and results share what they can. Semantics: structured-merge-diff/fieldpath.

/** One node: children by path element (`f:name`, `k:{...}`, `v:...`, `i:0`); a member when empty or when it has `.`. */
export interface FieldSet {
  readonly [element: string]: FieldSet;
}

/** A member without children. */
export const LEAF: FieldSet = Object.freeze({});

export function isEmptySet(set: FieldSet | undefined): boolean {
  if (set) for (const _ in set) return false;
  return true;
}

/** Whether a value from outside has the form of a set: nothing but objects, all the way down. */
export function isFieldSet(value: unknown): value is FieldSet {
  if (typeof value !== "object" || value === null) return false;
  if (checked.has(value)) return true;
  const isSet = isTrie(value);
  if (isSet) checked.add(value);
  return isSet;
}

/** Whole sets that were looked through: those of objects come by again and again. */
const checked = new WeakSet<object>();

function isTrie(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(isTrie);
}

/** Whether the node itself, not only something below it, is in the set. */
export function isMember(node: FieldSet | undefined): boolean {
  return node !== undefined && ("." in node || isEmptySet(node));
}

/** Everything in either set. */
export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  if (isEmptySet(a)) return b;
  return sortedSet(unionOf(a, b));
}

/** Everything in both sets. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const result: Record<string, FieldSet> = {};
  for (const element in a) {
    const left = a[element] as FieldSet;
    const right = b[element];
    if (element === "." || right === undefined) continue;
    const node = nodeOf(isMember(left) && isMember(right), intersection(left, right));
    if (node) result[element] = node;
  }
  return result;
}

/** What is in `a` but not in `b`; removing a node leaves what is below it. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, false);
}

/** What is in `a` but neither in `b` nor below a member of `b`. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  return subtract(a, b, true);
}

/** Every member's path, in the order of the set. */
export function pathsOf(set: FieldSet, prefix: readonly string[] = []): string[][] {
  const paths: string[][] = [];
  for (const element in set) {
    if (element === ".") continue;
    const node = set[element] as FieldSet;
    const path = [...prefix, element];
    if (isMember(node)) paths.push(path);
    paths.push(...pathsOf(node, path));
  }
  return paths;
}

/** The set of the given paths. */
export function setOf(...paths: readonly (readonly string[])[]): FieldSet {
  return paths.reduce<FieldSet>((set, path) => union(set, path.reduceRight<FieldSet>((below, element) => ({ [element]: below }), LEAF)), {});
}

/** `.spec.containers[name="web"].image`, as messages name a path. */
export function formatPath(path: readonly string[]): string {
  return path.map(formatElement).join("");
}

export function formatElement(element: string): string {
  const rest = element.slice(2);
  if (element.startsWith("f:")) return `.${rest}`;
  if (element.startsWith("i:")) return `[${rest}]`;
  if (element.startsWith("v:")) return `[=${rest}]`;
  const keys = Object.entries(JSON.parse(rest) as Record<string, unknown>);
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(",")}]`;
}

/** A node for a membership and its children; undefined when there is neither. */
export function nodeOf(member: boolean, children: FieldSet): FieldSet | undefined {
  if (isEmptySet(children)) return member ? LEAF : undefined;
  return member ? { ".": LEAF, ...children } : children;
}

/** Elements in upstream's order: the node itself, fields, items by key, items by value. */
export function sortedSet(set: Record<string, FieldSet>): FieldSet {
  const elements = Object.keys(set);
  let isSorted = true;
  for (let index = 1; index < elements.length && isSorted; index++) isSorted = (elements[index - 1] as string) < (elements[index] as string);
  if (isSorted) return set;
  const result: Record<string, FieldSet> = {};
  for (const element of elements.sort()) result[element] = set[element] as FieldSet;
  return result;
}

function unionOf(a: FieldSet, b: FieldSet): Record<string, FieldSet> {
  const result: Record<string, FieldSet> = { ...a };
  for (const element in b) {
    if (element === ".") continue;
    const left = a[element];
    const right = b[element] as FieldSet;
    result[element] = left === undefined || left === right ? right : (nodeOf(isMember(left) || isMember(right), withoutSelf(sortedSet(unionOf(left, right)))) as FieldSet);
  }
  return result;
}

function withoutSelf(set: FieldSet): FieldSet {
  if (!("." in set)) return set;
  const { ".": _, ...children } = set;
  return children;
}

function subtract(a: FieldSet, b: FieldSet, isRecursive: boolean): FieldSet {
  if (isEmptySet(b)) return a;
  const result: Record<string, FieldSet> = {};
  for (const element in a) {
    if (element === ".") continue;
    const left = a[element] as FieldSet;
    const right = b[element];
    if (right === undefined) result[element] = left;
    else {
      const isRemoved = isMember(right);
      if (isRemoved && isRecursive) continue;
      const node = nodeOf(isMember(left) && !isRemoved, subtract(withoutSelf(left), withoutSelf(right), isRecursive));
      if (node) result[element] = node;
    }
  }
  return result;
}
