// JSON patch, RFC 6902, with the errors the API server gives for patches that do not fit.
import { applyPatch, JsonPatchError, type Operation } from "fast-json-patch";
import { ApiError, badRequest } from "../../../api/errors.ts";
import { cloneJson } from "../json.ts";

const MAX_OPERATIONS = 10_000;

/** The patched copy. Throws 400 for something that is no patch, 422 for operations that cannot be carried out. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch");
  if (patch.length > MAX_OPERATIONS) throw new ApiError(413, "RequestEntityTooLarge", `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`);
  try {
    return applyPatch(cloneJson(target), cloneJson(patch) as Operation[], true).newDocument;
  } catch (error) {
    if (!(error instanceof JsonPatchError)) throw error;
    throw new ApiError(422, "Invalid", `the server rejected our request due to an error in our request: ${sentenceOf(error)}`, {}, { cause: error });
  }
}

function sentenceOf(error: JsonPatchError): string {
  const operation = error.operation as { op?: string; path?: string } | undefined;
  if (error.name === "TEST_OPERATION_FAILED") return `testing value ${operation?.path} failed: test failed`;
  const path = operation?.path ?? "";
  return `${operation?.op ?? "patch"} operation does not apply: doc is missing path: ${JSON.stringify(path)}: missing value`;
}

