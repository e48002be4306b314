// The two schema-less patches: JSON merge patch (RFC 7386) and JSON patch (RFC 6902), with upstream's codes and words.
// The result still has to be decoded and defaulted.
import jsonpatch, { type Operation } from "fast-json-patch";
import { ApiError, badRequest, requestTooLarge } from "../errors.ts";

type Plain = Record<string, unknown>;

const MAX_OPERATIONS = 10_000;
const OPERATIONS = new Set(["add", "remove", "replace", "move", "copy", "test"]);

/** RFC 7386; neither argument is changed. Throws 400 for a patch that is no object. */
export function mergePatch(current: Plain, patch: unknown): Plain {
  if (!isPlain(patch)) throw badRequest("Invalid JSON Patch");
  return merged(current, patch) as Plain;
}

/** RFC 6902; the current object is not changed. Throws 400 for a malformed patch, 422 for one that does not fit the object. */
export function jsonPatch(current: Plain, patch: unknown): Plain {
  if (!Array.isArray(patch)) throw badRequest(`json: cannot unmarshal ${patch === null ? "null" : typeof patch} into Go value of type jsonpatch.Patch`);
  if (patch.length > MAX_OPERATIONS) throw requestTooLarge(`The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`);
  let document: Plain = structuredClone(current);
  for (const operation of patch as Operation[]) {
    const problem = problemOf(document, operation);
    if (problem !== undefined) throw doesNotFit(problem);
    try {
      document = jsonpatch.applyOperation(document, structuredClone(operation), false, true).newDocument;
    } catch (error) {
      throw doesNotFit(`${operation.op} operation does not apply: doc is missing path: ${operation.path}: missing value`, error);
    }
  }
  if (!isPlain(document)) throw doesNotFit("the patched object is no object");
  return document;
}

/** Upstream answers with one sentence for everything; what went wrong is its cause. */
function doesNotFit(problem: string, cause?: unknown): ApiError {
  return new ApiError(422, "Invalid", "the server rejected our request due to an error in our request", { causes: [{ message: problem }] }, { cause });
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

/** Why an operation does not apply, in the words clients of upstream know; undefined when it does. */
function problemOf(document: unknown, operation: unknown): string | undefined {
  if (!isPlain(operation) || typeof operation.op !== "string" || !OPERATIONS.has(operation.op)) return `Unexpected kind: ${isPlain(operation) ? String(operation.op) : "unknown"}`;
  const { op, path, from } = operation as { op: string; path: unknown; from: unknown };
  if (typeof path !== "string") return `${op} operation failed to decode path: missing value`;
  if (path !== "" && !path.startsWith("/")) return `${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`;
  if (op === "test") return testProblem(document, operation as { path: string; value: unknown } & Plain);
  const needsFrom = op === "move" || op === "copy";
  if (needsFrom && (typeof from !== "string" || !lookup(document, from).isFound)) return `${op} operation does not apply: doc is missing from path: ${JSON.stringify(from)}: missing value`;
  if (op === "remove" && !lookup(document, path).isFound) return `remove operation does not apply: doc is missing path: ${JSON.stringify(path)}: ${missing(document, path)}`;
  if (op === "replace" && !lookup(document, path).isFound) return `replace operation does not apply: doc is missing ${parent(document, path).isFound ? "key" : "path"}: ${path}: missing value`;
  if (op !== "remove" && path !== "" && !parent(document, path).isFound) return `${op} operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`;
  return undefined;
}

function testProblem(document: unknown, { path, value }: { path: string; value: unknown }): string | undefined {
  const { isFound, value: actual } = lookup(document, path);
  if (!isFound && value !== null && value !== undefined) return `testing path ${path}: missing value`;
  return Bun.deepEquals(actual ?? null, value ?? null) ? undefined : `testing value ${path} failed: test failed`;
}

function missing(document: unknown, path: string): string {
  const key = path.slice(path.lastIndexOf("/") + 1);
  return parent(document, path).isFound && !Array.isArray(parent(document, path).value) ? `unable to remove nonexistent key: ${key}: missing value` : "missing value";
}

function parent(document: unknown, path: string): { isFound: boolean; value: unknown } {
  return lookup(document, path.slice(0, path.lastIndexOf("/")));
}

function lookup(document: unknown, path: string): { isFound: boolean; value: unknown } {
  let value = document;
  for (const step of path.split("/").slice(1)) {
    const key = step.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return { isFound: false, value: undefined };
    value = (value as Plain)[key];
  }
  return { isFound: true, value };
}

function isPlain(value: unknown): value is Plain {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
