// Serves requests for resources: finds the kind, runs the verb, writes the reply.
// Authentication and authorization are behind us when this is called.
import { ApiError, badRequest, field, invalid, methodNotSupported, unsupportedMediaType } from "../../../api/errors.ts";
import { jsonPatch, mergePatch } from "../../../api/schema/json-patch.ts";
import { apiVersionOf, type GroupVersionKind, type KindInfo, type SubresourceInfo } from "../../../api/kinds.ts";
import type { AnyObject, DeleteOptions, Scale } from "../../../api/types.ts";
import type { FieldValidation } from "../codec.ts";
import type { Engine } from "../engine.ts";
import type { ResourceRequest, UserInfo } from "../request.ts";
import { create } from "../verbs/create.ts";
import { deleteCollection } from "../verbs/delete-collection.ts";
import { deleteObject, deleteReply } from "../verbs/delete.ts";
import { patch, patchTypeOf, requireSameName } from "../verbs/patch.ts";
import { get, list, type ListRequest } from "../verbs/read.ts";
import { getScale, updateScale } from "../verbs/scale.ts";
import { postSubresource } from "../verbs/subresources.ts";
import { update } from "../verbs/update.ts";
import { Entry } from "../cache/entry.ts";
import { parseBody, parseJson, parseYaml, readBody, type Parsed } from "./body.ts";
import { replyObject, type Exchange } from "./exchange.ts";
import { managerOf, requireManager } from "./manager.ts";
import { inputOf, isPretty, mediaTypeOf, outputOf } from "./negotiate.ts";
import { isTrue, type Query, type ResourceTarget } from "./target.ts";
import { replyEntry, replyList, viewOf, type View } from "./views.ts";
import { serveWatch } from "./watch.ts";

/** A resource request that was authenticated and authorized. */
export interface Call {
  readonly target: ResourceTarget;
  readonly query: Query;
  readonly user: UserInfo;
  /** Throws 403 unless the user may do this with the same target. */
  authorize(verb: string): Promise<void>;
  /** Ends long requests when the server stops. */
  readonly stopping: AbortSignal;
  /** Watches that do not say how long last this long to twice this long. */
  readonly minRequestSeconds: number;
}

/** Upstream's 404 for a path that is no resource. */
export const unknownResource = (): ApiError => new ApiError(404, "NotFound", "the server could not find the requested resource", {});

/** Runs one call to its reply; throws ApiError for what is refused. */
export async function serveResource(engine: Engine, exchange: Exchange, call: Call): Promise<void> {
  const { target, query } = call;
  const kind = engine.kinds.resource(target.group, target.version, target.plural);
  if (!kind || target.rest !== "") throw unknownResource();
  const sub = target.subresource === "" ? undefined : kind.subresources[target.subresource];
  if (target.subresource !== "" && !sub) throw unknownResource();
  const request = requestOf(exchange, call, kind);
  requireScope(request, target);
  requireVerb(request, sub, target);
  const { deprecation } = engine.strategies.for(kind);
  if (deprecation !== undefined) exchange.warnings.push(deprecation);
  const { headers } = exchange.request;
  const view = viewOf(engine, sub ? { ...kind } : kind, { output: outputOf(headers["accept"], isObject(engine, request, sub)), query, pretty: target.verb !== "watch" && isPretty(headers, query) });
  const step: Step = { engine, exchange, call, request, view, sub };
  const serve = SERVERS[target.verb];
  if (!serve) throw methodNotSupported(kind, target.verb);
  await serve(step);
}

/** Reviews, scales and actions are answered, not shown. */
function isObject({ postHandlers }: Engine, { kind, verb }: ResourceRequest, sub: SubresourceInfo | undefined): boolean {
  if (sub) return sub.gvk.kind === kind.kind;
  return verb !== "create" || (postHandlers?.[kind.plural] === undefined && kind.verbs.includes("get"));
}

interface Step {
  readonly engine: Engine;
  readonly exchange: Exchange;
  readonly call: Call;
  readonly request: ResourceRequest;
  readonly view: View;
  readonly sub: SubresourceInfo | undefined;
}

const SERVERS: Readonly<Record<string, (step: Step) => Promise<void> | void>> = {
  get: serveGet, list: serveList, watch: serveWatching, create: serveCreate, update: serveUpdate,
  patch: servePatch, delete: serveDelete, deletecollection: serveDeleteCollection,
};

async function serveGet({ engine, exchange, call, request, view, sub }: Step): Promise<void> {
  if (sub?.name === "scale") return replyObject(exchange, 200, await getScale(engine, request), view.output);
  replyEntry(exchange, 200, await get(engine, request, call.query.get("resourceVersion") ?? undefined), view);
}

async function serveList({ engine, exchange, call, request, view }: Step): Promise<void> {
  await replyList(exchange, await list(engine, request, listOptions(call.query)), view);
}

function serveWatching({ engine, exchange, call, request, view }: Step): void {
  const asked = call.query.get("timeoutSeconds");
  const seconds = (asked && integer(asked)) || call.minRequestSeconds * (1 + Math.random());
  serveWatch(engine, exchange, { request, query: call.query, view, stopping: call.stopping, seconds });
}

async function serveCreate(step: Step): Promise<void> {
  const { engine, exchange, request, view, sub } = step;
  const body = await bodyObject(step);
  if (sub) return replyObject(exchange, 201, await postSubresource(engine, request, body), view.output);
  const post = engine.postHandlers?.[request.kind.plural];
  if (post) return replyObject(exchange, 201, await post(request, body), view.output);
  if (request.kind.plural === "bindings") {
    const pods = engine.kinds.resource("", "v1", "pods") as KindInfo;
    const named = { ...request, kind: pods, name: body.metadata?.name ?? "", subresource: "binding" };
    return replyObject(exchange, 201, await postSubresource(engine, named, body), view.output);
  }
  replyEntry(exchange, 201, await create(engine, request, body), view);
}

async function serveUpdate(step: Step): Promise<void> {
  const { engine, exchange, call, request, view, sub } = step;
  const body = await bodyObject(step);
  if (sub?.name === "scale") return replyObject(exchange, 200, await updateScale(engine, request, () => body as unknown as Scale), view.output);
  requireSameName(body, request.name);
  if (request.kind.namespaced && body.metadata.namespace && body.metadata.namespace !== request.namespace) throw badRequest(`the namespace of the object (${body.metadata.namespace}) does not match the namespace on the request (${request.namespace})`);
  // The body belongs to this request alone, but a retry needs it again; one that names a version is never tried again.
  const text = namesVersion(body) ? "" : JSON.stringify(body);
  let first: AnyObject | undefined = body;
  const transform = (): AnyObject => {
    const object = first ?? (JSON.parse(text) as AnyObject);
    first = undefined;
    return object;
  };
  const { entry, created } = await update(engine, request, { transform, replaces: true, mustMayCreate: () => call.authorize("create") });
  replyEntry(exchange, created ? 201 : 200, entry, view);
}

function namesVersion({ metadata: { resourceVersion } }: AnyObject): boolean {
  return resourceVersion !== undefined && resourceVersion !== "" && resourceVersion !== "0";
}

async function servePatch({ engine, exchange, call, request, view, sub }: Step): Promise<void> {
  const type = patchTypeOf(mediaTypeOf(exchange.request.headers["content-type"]));
  if (call.query.get("force") !== null && type !== "apply") throw invalid({ group: "meta.k8s.io", kind: "PatchOptions" }, "", [field.forbidden("force", "may not be specified for non-apply patch")]);
  const raw = await readBody(exchange.request);
  const { raw: body, repeated }: Parsed = type === "apply" ? await parseYaml(raw.toString()) : { raw: parseJson(raw, (why) => badRequest(type === "strategic" ? why : `error decoding patch: ${why}`)) };
  exchange.audit?.requested(body);
  if (sub?.name === "scale") {
    const patched = await updateScale(engine, request, (current) => (type === "json" ? jsonPatch({ ...current }, body) : mergePatch({ ...current }, body)) as unknown as Scale);
    return replyObject(exchange, 200, patched, view.output);
  }
  const fieldManager = type === "apply" ? (call.query.get("fieldManager") ?? "") : request.fieldManager;
  const fieldValidation = fieldValidationOf(call.query);
  const { entry, created } = await patch(engine, { ...request, fieldManager }, { type, body, force: isTrue(call.query.get("force")), fieldValidation, repeated: fieldValidation === "Ignore" ? undefined : repeated, mustMayCreate: () => call.authorize("create") });
  replyEntry(exchange, created ? 201 : 200, entry, view);
}

async function serveDelete({ engine, exchange, call, request, view }: Step): Promise<void> {
  const options = await deleteOptions(engine, exchange, call.query);
  const wanted = { ...request, dryRun: request.dryRun || isDryRun(options.dryRun ?? []) };
  const result = await deleteObject(engine, wanted, options);
  const body = deleteReply(wanted, result);
  const status = !result.deleted && options.orphanDependents === false ? 202 : 200;
  if (body instanceof Entry) replyEntry(exchange, status, body, view);
  else replyObject(exchange, status, body, view.output);
}

async function serveDeleteCollection({ engine, exchange, call, request, view }: Step): Promise<void> {
  const options = await deleteOptions(engine, exchange, call.query);
  const wanted = { ...request, dryRun: request.dryRun || isDryRun(options.dryRun ?? []) };
  await replyList(exchange, await deleteCollection(engine, wanted, listOptions(call.query), options), view);
}

/** The request as the verbs see it. */
function requestOf(exchange: Exchange, { target, query, user }: Call, kind: KindInfo): ResourceRequest {
  const agent = String(exchange.request.headers["user-agent"] ?? "");
  const manager = query.get("fieldManager");
  if (manager !== null) requireManager(manager);
  return {
    verb: target.verb, kind, namespace: target.namespace, name: target.name, subresource: target.subresource, user,
    dryRun: isDryRun(query.getAll("dryRun")), fieldManager: manager || managerOf(agent), warnings: exchange.warnings,
    ...(exchange.audit && { auditAnnotations: exchange.audit.annotations }),
  };
}

function requireScope({ kind, namespace, verb }: ResourceRequest, target: ResourceTarget): void {
  if (!kind.namespaced && namespace !== "") throw unknownResource();
  const isAcrossNamespaces = kind.namespaced && namespace === "";
  if (isAcrossNamespaces && (target.name !== "" || target.subresource !== "") && verb !== "list" && verb !== "watch") throw unknownResource();
  if (isAcrossNamespaces && (verb === "create" || verb === "deletecollection")) throw methodNotSupported(kind, verb);
}

/** An object is not made under a name of the URL's, and no collection is replaced. */
function requireVerb({ kind, verb }: ResourceRequest, sub: SubresourceInfo | undefined, { name }: ResourceTarget): void {
  const allowed: readonly string[] = sub ? sub.verbs : kind.verbs;
  const isMisplaced = name === "" ? verb === "update" || verb === "patch" : verb === "create" && !sub;
  if (isMisplaced || !allowed.includes(verb)) throw new ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {});
}

/** The decoded body of a create or update. */
async function bodyObject({ engine, exchange, call, request, sub }: Step): Promise<AnyObject> {
  const gvk = sub ? sub.gvk : request.kind;
  const { raw, text, repeated: found } = await readObject(engine, exchange, gvk);
  requireKind(raw, gvk, sub !== undefined);
  const mode = fieldValidationOf(call.query);
  const repeated = mode === "Ignore" ? undefined : found;
  if (repeated !== undefined && mode === "Strict") throw badRequest(`${gvk.kind} in version ${JSON.stringify(gvk.version)} cannot be handled as a ${gvk.kind}: strict decoding error: ${repeated}`);
  if (repeated !== undefined) exchange.warnings.push(repeated);
  const { object, warnings } = engine.codec.decode(sub ? bodyKind(raw, gvk) : gvk, raw, mode, text);
  exchange.warnings.push(...warnings);
  object.metadata ??= {};
  object.kind ??= gvk.kind;
  object.apiVersion ??= apiVersionOf(gvk);
  exchange.audit?.requested(object);
  return object;
}

/** The body as an object, with what parsing hides. */
async function readObject(engine: Engine, exchange: Exchange, expected: GroupVersionKind): Promise<Parsed & { raw: AnyObject }> {
  const format = inputOf(exchange.request.headers["content-type"]);
  const body = await readBody(exchange.request);
  if (format === "protobuf") return { raw: protobufObject(engine, body, expected) };
  const parsed = await parseBody(body, format, expected.kind);
  return { ...parsed, raw: (parsed.raw ?? {}) as AnyObject };
}

function protobufObject({ protobuf }: Engine, body: Buffer, expected: GroupVersionKind): AnyObject {
  if (!protobuf) throw unsupportedMediaType("the body of the request was in an unknown format - accepted media types include: application/json, application/yaml");
  return protobuf.decode(body, expected) as AnyObject;
}

function bodyKind(raw: AnyObject, gvk: SubresourceInfo["gvk"]): SubresourceInfo["gvk"] {
  return raw.apiVersion === "policy/v1beta1" ? { ...gvk, version: "v1" } : gvk;
}

/** A body may leave kind and apiVersion out; what it says must be what the URL means. */
function requireKind(raw: AnyObject, gvk: { group: string; version: string; kind: string }, isSubresource: boolean): void {
  const expected = apiVersionOf(gvk);
  const { kind = gvk.kind, apiVersion = expected } = raw as { kind?: unknown; apiVersion?: unknown };
  if (typeof kind !== "string" || typeof apiVersion !== "string") throw badRequest("couldn't get version/kind; json parse error: json: cannot unmarshal into Go struct field .apiVersion of type string");
  if (kind === gvk.kind && (apiVersion === expected || (isSubresource && apiVersion === "policy/v1beta1"))) return;
  if (kind === gvk.kind) throw badRequest(`the API version in the data (${apiVersion}) does not match the expected API version (${expected})`);
  throw badRequest(`${kind} in version ${JSON.stringify(apiVersion.split("/").at(-1))} cannot be handled as a ${gvk.kind}: converting (${apiVersion}, Kind=${kind}) to (${expected}, Kind=${gvk.kind}): unknown conversion`);
}

const DELETE_OPTIONS: GroupVersionKind = { group: "meta.k8s.io", version: "v1", kind: "DeleteOptions" };

async function deleteOptions(engine: Engine, exchange: Exchange, query: Query): Promise<DeleteOptions> {
  const { request } = exchange;
  const body = await readBody(request);
  if (body.length > 0) {
    const format = inputOf(request.headers["content-type"]);
    const raw = (format === "protobuf" ? protobufObject(engine, body, DELETE_OPTIONS) : (await parseBody(body, format, "DeleteOptions")).raw) as AnyObject | null;
    if (raw?.kind && raw.kind !== "DeleteOptions") throw badRequest(`decoded object cannot be converted to DeleteOptions: ${raw.kind}`);
    // Every group version has DeleteOptions of its own; all are the same.
    const { object } = engine.codec.decode(DELETE_OPTIONS, { ...raw, kind: "DeleteOptions", apiVersion: "meta.k8s.io/v1" }, "Ignore");
    exchange.audit?.requested(object);
    return object as unknown as DeleteOptions;
  }
  const grace = query.get("gracePeriodSeconds");
  const propagationPolicy = query.get("propagationPolicy");
  const orphan = query.get("orphanDependents");
  return { ...(grace !== null && { gracePeriodSeconds: integer(grace) }), ...(propagationPolicy !== null && { propagationPolicy }), ...(orphan !== null && { orphanDependents: isTrue(orphan) }) };
}

function listOptions(query: Query): ListRequest {
  const text = (name: string): string | undefined => query.get(name) ?? undefined;
  const limit = query.get("limit");
  // A list ends when it ends; what it says must be a number all the same.
  const timeout = query.get("timeoutSeconds");
  if (timeout) integer(timeout);
  const initial = query.get("sendInitialEvents");
  return {
    labelSelector: text("labelSelector"), fieldSelector: text("fieldSelector"), resourceVersion: text("resourceVersion"),
    resourceVersionMatch: text("resourceVersionMatch"), continue: text("continue"), limit: limit ? integer(limit) : undefined,
    sendInitialEvents: initial === null ? undefined : isTrue(initial),
  };
}

function integer(text: string): number {
  if (!/^-?\d{1,18}$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

function isDryRun(values: readonly string[]): boolean {
  const unknown = values.filter((value) => value !== "All" && value !== "");
  if (unknown.length > 0) throw invalid({ group: "meta.k8s.io", kind: "CreateOptions" }, "", [field.notSupported("dryRun", unknown[0], ["All"])]);
  return values.includes("All");
}

function fieldValidationOf(query: Query): FieldValidation {
  const value = query.get("fieldValidation") || "Warn";
  if (value !== "Ignore" && value !== "Warn" && value !== "Strict") throw invalid({ group: "meta.k8s.io", kind: "CreateOptions" }, "", [field.notSupported("fieldValidation", value, ["", "Ignore", "Strict", "Warn"])]);
  return value;
}

