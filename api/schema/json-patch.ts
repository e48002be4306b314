// The two schema-less patches: JSON merge patch (RFC 7386) and JSON patch (RFC 6902), with upstream's rules, codes and words.
// The result still has to be decoded and defaulted.
import { ApiError, badRequest, requestTooLarge } from "../errors.ts";
import { type Place, PlaceError, placeOf } from "./json-place.ts";
import { isPlain, type Plain } from "./plain.ts";

/** What the operations of one patch work on. */
interface Patched {
  document: unknown;
  /** Bytes of JSON copied so far. */
  copied: number;
}

const MAX_OPERATIONS = 10_000;
const MAX_COPIED_BYTES = 3 * 1024 * 1024;
const MISSING = "missing value";

const OPERATIONS: Record<string, (patched: Patched, operation: Plain) => void> = { add, remove, replace, move, copy, test };

/** RFC 7386; neither argument is changed. Throws 400 for a patch that is no object. */
export function mergePatch(current: Plain, patch: unknown): Plain {
  if (!isPlain(patch)) throw badRequest("Invalid JSON Patch");
  return merged(current, patch) as Plain;
}

function merged(current: unknown, patch: unknown): unknown {
  if (!isPlain(patch)) return patch;
  const result: Plain = isPlain(current) ? { ...current } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

/** RFC 6902; the current object is not changed. Throws 400 for a malformed patch, 422 for one that does not fit the object. */
export function jsonPatch(current: Plain, patch: unknown): Plain {
  if (!Array.isArray(patch)) throw badRequest(`json: cannot unmarshal ${patch === null ? "null" : typeof patch} into Go value of type jsonpatch.Patch`);
  if (patch.length > MAX_OPERATIONS) throw requestTooLarge(`The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`);
  const patched: Patched = { document: structuredClone(current), copied: 0 };
  for (const operation of patch) apply(patched, operation);
  if (!isPlain(patched.document)) throw doesNotFit("the patched object is no object");
  return patched.document;
}

function apply(patched: Patched, operation: unknown): void {
  const op = isPlain(operation) && typeof operation.op === "string" ? operation.op : "unknown";
  try {
    if (!Object.hasOwn(OPERATIONS, op)) throw new PlaceError(`Unexpected kind: ${op}`);
    OPERATIONS[op]?.(patched, operation as Plain);
  } catch (error) {
    if (error instanceof PlaceError) throw doesNotFit(error.message, error);
    throw error;
  }
}

/** Upstream answers with one sentence for everything; what went wrong is its cause. */
function doesNotFit(problem: string, cause?: unknown): ApiError {
  return new ApiError(422, "Invalid", "the server rejected our request due to an error in our request", { causes: [{ message: problem }] }, { cause });
}

function add(patched: Patched, operation: Plain): void {
  const path = pointer(operation, "path");
  const place = placeOf(patched.document, path) ?? missing(`add operation does not apply: doc is missing path: "${path}"`);
  during(`add for path: '${path}'`, () => place.add(valueOf(operation)));
}

function remove(patched: Patched, operation: Plain): void {
  const path = pointer(operation, "path");
  const place = placeOf(patched.document, path) ?? missing(`remove operation does not apply: doc is missing path: "${path}"`);
  during(`remove for path: '${path}'`, () => place.remove());
}

function replace(patched: Patched, operation: Plain): void {
  const path = pointer(operation, "path");
  if (path === "") {
    patched.document = valueOf(operation);
    return;
  }
  const place = placeOf(patched.document, path) ?? missing(`replace operation does not apply: doc is missing path: ${path}`);
  if (!isReadable(place)) missing(`replace operation does not apply: doc is missing key: ${path}`);
  place.set(valueOf(operation));
}

function move(patched: Patched, operation: Plain): void {
  const from = pointer(operation, "from");
  const source = placeOf(patched.document, from) ?? missing(`move operation does not apply: doc is missing from path: ${from}`);
  const value = during(`move for path: '${from}'`, () => {
    const moved = source.get();
    source.remove();
    return moved;
  });
  const path = pointer(operation, "path");
  const target = placeOf(patched.document, path) ?? missing(`move operation does not apply: doc is missing destination path: ${path}`);
  during(`move for path: '${path}'`, () => target.add(value));
}

function copy(patched: Patched, operation: Plain): void {
  const from = pointer(operation, "from");
  const source = placeOf(patched.document, from) ?? missing(`copy operation does not apply: doc is missing from path: ${from}`);
  const value = structuredClone(during(`copy for from: '${from}'`, () => source.get()) ?? null);
  const path = pointer(operation, "path");
  const target = placeOf(patched.document, path) ?? missing(`copy operation does not apply: doc is missing destination path: ${path}`);
  patched.copied += Buffer.byteLength(JSON.stringify(value));
  if (patched.copied > MAX_COPIED_BYTES) throw new PlaceError(`Unable to complete the copy, the accumulated size increase of copy is ${patched.copied}, exceeding the limit ${MAX_COPIED_BYTES}`);
  during(`copy for path: '${path}'`, () => target.add(value));
}

function test(patched: Patched, operation: Plain): void {
  const path = pointer(operation, "path");
  const actual = path === "" ? patched.document : found(patched, path);
  if (!Bun.deepEquals(actual ?? null, valueOf(operation))) throw new PlaceError(`testing value ${path} failed: test failed`);
}

function found(patched: Patched, path: string): unknown {
  const place = placeOf(patched.document, path) ?? missing(`test operation does not apply: is missing path: ${path}`);
  return during(`test for path: '${path}'`, () => place.get());
}

function isReadable(place: Place): boolean {
  try {
    place.get();
    return true;
  } catch {
    return false;
  }
}

/** Runs what may refuse, and says what was being done. */
function during<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof PlaceError ? new PlaceError(`error in ${what}: ${error.message}`, { cause: error }) : error;
  }
}

function pointer(operation: Plain, field: "path" | "from"): string {
  const value = operation[field];
  return typeof value === "string" ? value : missing(`${String(operation.op)} operation failed to decode ${field}`);
}

/** The operation's value, a copy: a later operation may change what this one has put in. */
function valueOf(operation: Plain): unknown {
  return structuredClone(operation.value ?? null);
}

function missing(problem: string): never {
  throw new PlaceError(`${problem}: ${MISSING}`);
}
