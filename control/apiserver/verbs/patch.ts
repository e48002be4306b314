// PATCH: the four ways to say what should change, each turned into a transform of the current object.
import { ApiError, badRequest, notFound, unsupportedMediaType } from "../../../api/errors.ts";
import { apiVersionOf } from "../../../api/kinds.ts";
import type { PatchType } from "../../../api/client/client.ts";
import { jsonPatch, mergePatch } from "../../../api/schema/json-patch.ts";
import type { AnyObject } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import type { FieldValidation } from "../codec.ts";
import type { Engine } from "../engine.ts";
import type { ResourceRequest } from "../request.ts";
import { goType } from "../json.ts";
import { update, type UpdateResult } from "./update.ts";

export interface PatchRequest {
  readonly type: PatchType;
  /** The parsed patch. */
  readonly body: unknown;
  readonly force?: boolean | undefined;
  readonly fieldValidation: FieldValidation;
  /** Throws unless the user may also create (server-side apply of what does not exist). */
  readonly mustMayCreate?: (() => Promise<void>) | undefined;
  /** What to say of keys that an applied configuration spells twice. */
  readonly repeated?: string | undefined;
}

const TYPES: Readonly<Record<string, PatchType>> = {
  "application/json-patch+json": "json", "application/merge-patch+json": "merge",
  "application/strategic-merge-patch+json": "strategic", "application/apply-patch+yaml": "apply",
};

/** The patch type of a Content-Type; throws 415 for any other. */
export function patchTypeOf(contentType: string): PatchType {
  const type = TYPES[contentType];
  if (!type) throw unsupportedMediaType(`the body of the request was in an unknown format - accepted media types include: ${Object.keys(TYPES).join(", ")}`);
  return type;
}

/** Patches one object; server-side apply creates it when it does not exist. */
export async function patch(engine: Engine, request: ResourceRequest, change: PatchRequest): Promise<UpdateResult> {
  if (change.type === "apply") return apply(engine, request, change);
  // Nobody told clients how lists of custom resources merge.
  if (change.type === "strategic" && request.kind.isCustom) throw unsupportedMediaType("the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml");
  const transform = async (current: AnyObject | undefined): Promise<AnyObject> => {
    // Kinds that a PUT may create are not created by patching nothing.
    if (!current) throw notFound(request.kind, request.name);
    return patched(engine, request, { ...change, current });
  };
  return update(engine, request, { unconditional: true, transform, onlyReads: isDecodedWhole(request) });
}

/** Decoding makes a new object of every kind whose schema is known to the last field. */
function isDecodedWhole({ kind }: ResourceRequest): boolean {
  return !kind.isCustom && DECODED_WHOLE.has(`${kind.group}/${kind.plural}`);
}

/** Those that are patched all the time. */
const DECODED_WHOLE = new Set(["/pods", "/nodes", "/events", "apps/replicasets", "apps/deployments", "batch/jobs", "coordination.k8s.io/leases"]);

async function patched(engine: Engine, { kind, name, warnings }: ResourceRequest, { type, body, current, fieldValidation }: PatchRequest & { current: AnyObject }): Promise<AnyObject> {
  const { uid } = current.metadata;
  if (type === "json" && fieldValidation !== "Ignore" && !Array.isArray(body)) throw badRequest(`${UNDECODED[type]}json: cannot unmarshal ${goType(body)} into Go value of type []handlers.jsonPatchOp`);
  const raw = type === "json" ? jsonPatch(current, body) : type === "merge" ? mergePatch(current, requireMap(body, type)) : engine.codec.strategicMerge(kind, current, requireMap(body, type));
  const { object, warnings: found } = engine.codec.decodePatched(kind, raw, fieldValidation, type === "strategic" ? body : undefined);
  warnings.push(...found.filter((text) => !warnings.includes(text)));
  requireSameName(object, name);
  if (object.kind !== kind.kind || object.apiVersion !== apiVersionOf(kind)) throw badRequest(`${object.apiVersion ?? ""}, Kind=${object.kind ?? ""} does not match the expected ${apiVersionOf(kind)}, Kind=${kind.kind}`);
  object.metadata.uid ??= uid as string;
  // The version the patch was computed on is only a demand when the patch itself names one.
  if (object.metadata.resourceVersion === current.metadata.resourceVersion && !namesVersion(body, type)) delete object.metadata.resourceVersion;
  return object;
}

function namesVersion(body: unknown, type: PatchType): boolean {
  if (type !== "json") return (body as { metadata?: { resourceVersion?: unknown } })?.metadata?.resourceVersion !== undefined;
  return (body as { path?: string; op?: string }[]).some(({ path, op }) => path === "/metadata/resourceVersion" && op !== "test");
}

async function apply(engine: Engine, request: ResourceRequest, { mustMayCreate, body, force, fieldValidation, repeated }: PatchRequest): Promise<UpdateResult> {
  const { kind, name, namespace, fieldManager, subresource, warnings } = request;
  if (fieldManager === "") throw new ApiError(422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch', { group: "meta.k8s.io", kind: "PatchOptions", causes: [{ reason: "FieldValueRequired", message: "Required value: is required for apply patch", field: "fieldManager" }] });
  // Taken as it is: decoding would fill in fields that the configuration does not name, and so does not claim.
  const applied = { ...requireMap(body, "apply") } as unknown as AnyObject;
  if (applied.kind !== kind.kind || applied.apiVersion !== apiVersionOf(kind)) throw badRequest(`invalid object type: ${applied.apiVersion ?? ""}, Kind=${applied.kind ?? ""}`);
  applied.metadata = { ...applied.metadata };
  if (applied.metadata.managedFields) throw badRequest("metadata.managedFields must be nil");
  requireSameName(applied, name);
  if (kind.namespaced) applied.metadata.namespace ??= namespace;
  const transform = (current: AnyObject | undefined): AnyObject => {
    const change = { kind, previous: current, applied, manager: fieldManager, subresource, force: force === true, now: timestamp(engine.clock.now()) };
    const { object: merged } = engine.codec.decode(kind, engine.codec.serverSideApply(change), "Ignore");
    if (applied.metadata.resourceVersion) merged.metadata.resourceVersion = applied.metadata.resourceVersion;
    else delete merged.metadata.resourceVersion;
    // Conflicts are told first, as upstream does.
    if (repeated !== undefined && fieldValidation === "Strict") throw badRequest(`error strict decoding YAML: ${repeated}`);
    if (repeated !== undefined && !warnings.includes(repeated)) warnings.push(repeated);
    return merged;
  };
  return update(engine, request, { transform, mayCreate: true, managesFields: true, unconditional: true, mustMayCreate });
}

/** Checks the name of an object against the URL, filling it in when the object has none. */
export function requireSameName(object: AnyObject, name: string): void {
  object.metadata ??= {};
  if (!object.metadata.name) object.metadata.name = name;
  else if (object.metadata.name !== name) throw badRequest(`the name of the object (${object.metadata.name}) does not match the name on the URL (${name})`);
}

/** What comes before the words of Go's decoder. */
const UNDECODED: Readonly<Record<PatchType, string>> = { json: "error decoding patch: ", merge: "error decoding patch: ", strategic: "", apply: "error decoding YAML: error unmarshaling JSON: while decoding JSON: " };

function requireMap(body: unknown, type: PatchType): Record<string, unknown> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) throw badRequest(`${UNDECODED[type]}json: cannot unmarshal ${goType(body)} into Go value of type map[string]interface {}`);
  return body as Record<string, unknown>;
}
