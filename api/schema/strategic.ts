// Strategic merge patch: how kubectl changes built-in objects, merging lists by the keys the schema declares.
// Follows k8s.io/apimachinery/pkg/util/strategicpatch; the result still has to be decoded and defaulted.
import { ApiError, badRequest } from "../errors.ts";
import type { SchemaNode } from "./node.ts";
import { isPlain, type Plain } from "./plain.ts";

const PATCH = "$patch";
const RETAIN_KEYS = "$retainKeys";
const DELETE_FROM = "$deleteFromPrimitiveList";
const ELEMENT_ORDER = "$setElementOrder";

/** The patched object; neither argument is changed. Throws ApiError in upstream's words for a malformed patch. */
export function strategicMerge(node: SchemaNode, current: Plain, patch: Plain): Plain {
  return mergeObject(node, current, patch);
}

function mergeObject(node: SchemaNode | undefined, original: Plain, patch: Plain): Plain {
  if (PATCH in patch) return directed(patch);
  const result = RETAIN_KEYS in patch ? retained(original, patch) : { ...original };
  const done = new Set<string>([RETAIN_KEYS]);
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(ELEMENT_ORDER)) continue;
    done.add(key);
    const name = directiveTarget(key, ELEMENT_ORDER);
    done.add(name);
    const merged = mergeOrdered({ node: node?.child(name), original: result[name], patch: patch[name], order: patch[key] });
    if (merged !== undefined) result[name] = merged;
  }
  for (const [key, value] of Object.entries(patch)) {
    if (done.has(key)) continue;
    if (key.startsWith(DELETE_FROM)) deleteFrom(result, directiveTarget(key, DELETE_FROM), value);
    else mergeField(node?.child(key), result, { key, value });
  }
  return result;
}

function mergeField(node: SchemaNode | undefined, result: Plain, { key, value }: { key: string; value: unknown }): void {
  const original = Object.hasOwn(result, key) ? result[key] : undefined;
  if (value === null) delete result[key];
  else if (isPlain(original) && isPlain(value) && !strategies(node).includes("replace")) result[key] = mergeObject(node, original, value);
  else if (Array.isArray(original) && Array.isArray(value) && strategies(node).includes("merge")) result[key] = mergeList(node as SchemaNode, original, value);
  else {
    const taken = isPlain(original) && isPlain(value) ? { value } : withoutDirectives(value);
    if (taken) result[key] = taken.value;
    else delete result[key];
  }
}

/** A map that says `$patch: replace` stands for itself, one that says `delete` for an empty map. */
function directed(patch: Plain): Plain {
  if (patch[PATCH] === "delete") return {};
  if (patch[PATCH] !== "replace") throw unknownDirective(patch);
  const { [PATCH]: _, ...rest } = patch;
  return rest;
}

/** The original without what `$retainKeys` does not name. */
function retained(original: Plain, patch: Plain): Plain {
  const keys = patch[RETAIN_KEYS];
  if (!Array.isArray(keys)) throw badRequest("invalid patch format of retainKeys");
  for (const [key, value] of Object.entries(patch)) {
    if (key === RETAIN_KEYS || value === null || key.startsWith(DELETE_FROM) || key.startsWith(ELEMENT_ORDER)) continue;
    if (!keys.includes(key)) throw badRequest("invalid patch format of retainKeys");
  }
  return Object.fromEntries(Object.entries(original).filter(([key]) => keys.includes(key)));
}

function deleteFrom(result: Plain, name: string, values: unknown): void {
  const current = result[name];
  if (!Array.isArray(current)) return;
  if (!Array.isArray(values)) throw badRequest("invalid patch format of primitive list");
  result[name] = current.filter((item) => !values.includes(item));
}

/** Merges a list that comes with `$setElementOrder`, then puts its items in that order. */
function mergeOrdered({ node, original, patch, order }: { node: SchemaNode | undefined; original: unknown; patch: unknown; order: unknown }): unknown[] | undefined {
  if (!Array.isArray(order) || (original !== undefined && !Array.isArray(original)) || (patch !== undefined && !Array.isArray(patch))) {
    throw badRequest("invalid patch format of setElementOrder list");
  }
  const mergeKey = node?.mergeKey ?? "";
  if (patch) checkOrder(patch, order, mergeKey);
  if (!original && !patch) return undefined;
  const merged = original ? (patch ? (strategies(node).includes("merge") ? mergeList(node as SchemaNode, original, patch) : patch) : original) : ((withoutDirectives(patch) as { value: unknown[] }).value);
  return sorted({ items: merged, wanted: order, live: original ?? [], mergeKey });
}

/** The items of a patch must stand in the order it asks for, and all be named there. */
function checkOrder(patch: readonly unknown[], order: readonly unknown[], mergeKey: string): void {
  if (order.length === 0) return;
  let at = 0;
  const items = patch.filter((item) => !(isPlain(item) && PATCH in item));
  for (const wanted of order) if (at < items.length && keyOf(items[at], mergeKey) === keyOf(wanted, mergeKey)) at++;
  if (at < items.length) throw badRequest(`The order in patch list:\n${JSON.stringify(patch)}\n doesn't match ${ELEMENT_ORDER} list:\n${JSON.stringify(order)}\n`);
}

function mergeList(node: SchemaNode, original: readonly unknown[], patch: readonly unknown[]): unknown[] {
  if (original.length === 0 && patch.length === 0) return [];
  const isObjects = [...original, ...patch].every(isPlain);
  if (!isObjects) {
    if ([...original, ...patch].some((item) => typeof item === "object")) throw new ApiError(422, "", "lists of lists are not supported");
    return sorted({ items: [...new Set([...original, ...patch])], wanted: patch, live: original, mergeKey: "" });
  }
  if (node.mergeKey === "") throw badRequest(`cannot merge lists without merge key for ${node.goType}`);
  const { kept, plain } = applySpecialItems(node.mergeKey, original as Plain[], patch as Plain[]);
  const merged = [...kept];
  for (const item of plain) {
    const key = keyOf(item, node.mergeKey);
    const index = merged.findIndex((existing) => existing[node.mergeKey] === key);
    if (index < 0) merged.push(item);
    else merged[index] = mergeObject(node.items, merged[index] as Plain, item);
  }
  return sorted({ items: merged, wanted: plain, live: kept, mergeKey: node.mergeKey });
}

/** Carries out items that say `$patch: delete` or `replace`; returns what is left of both lists. */
function applySpecialItems(mergeKey: string, original: readonly Plain[], patch: readonly Plain[]): { kept: readonly Plain[]; plain: readonly Plain[] } {
  let kept = original;
  let isReplaced = false;
  const plain: Plain[] = [];
  for (const item of patch) {
    if (!(PATCH in item)) plain.push(item);
    else if (item[PATCH] === "replace") isReplaced = true;
    else if (item[PATCH] === "delete") {
      const key = keyOf(item, mergeKey);
      kept = kept.filter((existing) => existing[mergeKey] !== key);
    } else if (item[PATCH] === "merge") throw badRequest("merging lists cannot yet be specified in the patch");
    else throw unknownDirective(item);
  }
  return isReplaced ? { kept: plain, plain: [] } : { kept, plain };
}

/** Items the patch names come in its order, the others in the live order, woven together by the live order. */
function sorted({ items, wanted, live, mergeKey }: { items: readonly unknown[]; wanted: readonly unknown[]; live: readonly unknown[]; mergeKey: string }): unknown[] {
  const wantedAt = positions(wanted, mergeKey);
  const liveAt = positions(live, mergeKey);
  const key = (item: unknown): unknown => keyOf(item, mergeKey);
  const ours = items.filter((item) => wantedAt.has(key(item))).sort((a, b) => (wantedAt.get(key(a)) as number) - (wantedAt.get(key(b)) as number));
  const theirs = items.filter((item) => !wantedAt.has(key(item))).sort((a, b) => (liveAt.get(key(a)) ?? Infinity) - (liveAt.get(key(b)) ?? Infinity));
  const result: unknown[] = [];
  let next = 0;
  for (const item of ours) {
    const at = liveAt.get(key(item)) ?? -1;
    for (; next < theirs.length && (liveAt.get(key(theirs[next])) ?? Infinity) < at; next++) result.push(theirs[next]);
    result.push(item);
  }
  return [...result, ...theirs.slice(next)];
}

function positions(items: readonly unknown[], mergeKey: string): Map<unknown, number> {
  const found = new Map<unknown, number>();
  items.forEach((item, index) => {
    const key = keyOf(item, mergeKey);
    if (!found.has(key)) found.set(key, index);
  });
  return found;
}

function keyOf(item: unknown, mergeKey: string): unknown {
  if (!isPlain(item)) return item;
  if (!(mergeKey in item)) throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${mergeKey}`);
  return item[mergeKey];
}

/** A value taken over as it is, minus nulls and whatever is only an instruction; undefined when nothing is left. */
function withoutDirectives(value: unknown): { value: unknown } | undefined {
  if (Array.isArray(value)) return { value: value.map(withoutDirectives).filter((kept) => kept !== undefined).map((kept) => kept.value) };
  if (!isPlain(value)) return { value };
  if (PATCH in value) return undefined;
  const result: Plain = {};
  for (const [key, inner] of Object.entries(value)) {
    const kept = inner === null ? undefined : withoutDirectives(inner);
    if (kept && key !== RETAIN_KEYS && !key.startsWith(`${DELETE_FROM}/`) && !key.startsWith(`${ELEMENT_ORDER}/`)) result[key] = kept.value;
  }
  return { value: result };
}

function directiveTarget(key: string, directive: string): string {
  if (key.startsWith(`${directive}/`)) return key.slice(directive.length + 1);
  throw badRequest(directive === DELETE_FROM ? "invalid patch format of primitive list" : "invalid patch format of setElementOrder list");
}

function unknownDirective(patch: Plain): ApiError {
  return badRequest(`unknown patch type: ${String(patch[PATCH])} in map: ${JSON.stringify(patch)}`);
}

function strategies(node: SchemaNode | undefined): string {
  return node?.strategy ?? "";
}
