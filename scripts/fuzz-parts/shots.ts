// One request of a run, made from its number: what to ask for, how, and with which body.
import { LEAST } from "../../control/apiserver/kinds/least.ts";
import { bodyOf, type Body } from "./bodies.ts";
import { definition } from "./custom.ts";
import { queryOf } from "./queries.ts";
import type { Random } from "./random.ts";
import type { Seen, SeenObject } from "./seen.ts";
import { basePath, type Resource, type Surface } from "./surface.ts";
import { Maker, STRINGS, tamed } from "./values.ts";

/** A request, ready to be sent, and sent again. */
export interface Shot {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** What stands at the path when it is one object's; replies teach. */
  readonly place?: string;
  readonly upgrade?: "websocket" | "SPDY/3.1";
}

export interface Aim {
  readonly random: Random;
  readonly surface: Surface;
  readonly seen: Seen;
}

const NAMES = ["fuzz-0", "fuzz-1", "fuzz-2"];
const ODD_NAMES = ["", ".", "..", "%2f", "%00", "a%ff", "x".repeat(300), "é", "UPPER", "a/b", "__proto__", "%", "a?b", "constructor"];
const NAMESPACES = ["fuzz-a", "fuzz-b", "default"];
const ODD_NAMESPACES = ["nope", "kube-system", "", "%2e%2e", "x".repeat(100), "*"];
const ACCEPTS = [
  "application/json", "application/json;as=Table;g=meta.k8s.io;v=v1,application/json", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "application/yaml",
  "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf", "application/cbor,application/json", "*/*", "", "text/html", "application/json;q=x", "application/json;as=Table", ";;;", ",", "application/json;as=Nope;g=meta.k8s.io;v=v1", "application/json;stream=watch",
];
const PATCHES = ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"];
const WANTED: Readonly<Record<string, readonly string[]>> = {
  GET: ["resourceVersion", "pretty"], LIST: ["labelSelector", "fieldSelector", "limit", "continue", "resourceVersion", "resourceVersionMatch", "includeObject"],
  WATCH: ["labelSelector", "fieldSelector", "resourceVersion", "allowWatchBookmarks", "sendInitialEvents", "resourceVersionMatch"],
  POST: ["dryRun", "fieldValidation", "fieldManager", "pretty"], PUT: ["dryRun", "fieldValidation", "fieldManager"], PATCH: ["fieldManager", "force", "fieldValidation", "dryRun"],
  DELETE: ["gracePeriodSeconds", "propagationPolicy", "dryRun", "orphanDependents"],
};
const PATHS = ["/", "/api", "/apis", "/api/v1", "/version", "/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1", "/healthz", "/livez", "/readyz", "/livez/ping", "/metrics", "/openid/v1/jwks", "/.well-known/openid-configuration", "/apis/apps", "/apis/nope", "/api/v1/nope", "/apis/apps/v1/namespaces/default", "/api/v1/watch/pods", "/api/v1/watch/namespaces/default/pods/fuzz-0", "//api/v1/pods", "/api//v1/pods", "/api/v1/pods/", "/api/v1/namespaces/default/pods/fuzz-0/proxy/../..", "/apis/apps/v1/deployments/x/y/z/w", "/%61pi/v1/pods", "/api/v1/namespaces/%2e%2e/pods", "/logs/", "/debug/pprof", "/apis/fuzz.example.com/v1", "/apis/fuzz.example.com"];
const ACTIONS = ["proxy", "proxy/", "proxy/a/b?x=y", "log", "exec", "attach", "portforward", "status", "scale", "binding", "eviction", "token", "nope", "ephemeralcontainers", "resize", "finalize", "approval"];

/** Makes one request. */
export function shotOf(aim: Aim): Shot {
  const { random } = aim;
  const share = random.next();
  if (share < 0.03) return documentShot(aim);
  if (share < 0.07) return actionShot(aim);
  if (share < 0.1) return definitionShot(aim);
  return resourceShot(aim, resourceOf(aim));
}

function resourceOf({ random, surface }: Aim): Resource {
  const custom = random.chance(0.12) ? surface.resources.filter(({ group }) => group === "fuzz.example.com") : [];
  return random.pick(custom.length > 0 ? custom : surface.resources);
}

function documentShot({ random, seen }: Aim): Shot {
  const method = random.pick(["GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "DELETE", "PATCH", "PUT", "FOO"]);
  return { method, path: random.pick(PATHS) + queryOf(random, seen), headers: headersOf(random) };
}

/** What is handed on to nodes and services that are not there. */
function actionShot({ random, seen }: Aim): Shot {
  const resource = random.pick(["pods", "services", "nodes"]);
  const name = random.pick([...NAMES, "https:fuzz-0:443", "fuzz-0:http", "fuzz-0:99999", ":::"]);
  const scope = resource === "nodes" ? "" : `/namespaces/${random.pick(NAMESPACES)}`;
  const upgrade = random.chance(0.4) ? random.pick(["websocket", "SPDY/3.1"] as const) : undefined;
  const path = `/api/v1${scope}/${resource}/${name}/${random.pick(ACTIONS)}${queryOf(random, seen, ["container", "command", "follow", "tailLines"])}`;
  return { method: upgrade ? random.pick(["GET", "POST"]) : random.pick(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]), path, headers: headersOf(random), ...(upgrade && { upgrade }) };
}

function definitionShot({ random, seen }: Aim): Shot {
  const object = definition(random);
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  if (random.chance(0.5)) return shot({ method: "POST", path: path + queryOf(random, seen, WANTED["POST"]), headers: headersOf(random) }, bodyOf(random, object));
  const { name } = object["metadata"] as { name: string };
  return shot({ method: "PATCH", path: `${path}/${name}?fieldManager=fuzz&force=true`, headers: headersOf(random) }, { contentType: "application/apply-patch+yaml", bytes: Buffer.from(JSON.stringify(object)) });
}

function resourceShot(aim: Aim, resource: Resource): Shot {
  const { random, seen } = aim;
  const verb = random.chance(0.93) ? random.pick(weighted(resource)) : random.pick(["create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"]);
  const { collection, object } = placesOf(aim, resource);
  const target = resource.subresource === "" ? object : `${object}/${resource.subresource}`;
  const headers = headersOf(random);
  const query = (method: string): string => queryOf(random, seen, WANTED[method]);
  switch (verb) {
    case "create": return shot({ method: "POST", path: (resource.subresource === "" ? collection : target) + query("POST"), headers, place: object }, bodyOf(random, newObject(aim, resource, object)));
    case "update": return shot({ method: "PUT", path: target + query("PUT"), headers, place: object }, bodyOf(random, changedObject(aim, resource, object)));
    case "patch": return patchShot(aim, resource, { object, target, headers });
    case "delete": return shot({ method: "DELETE", path: target + query("DELETE"), headers }, random.chance(0.3) ? bodyOf(random, deleteOptions(random)) : undefined);
    case "deletecollection": return { method: "DELETE", path: collection + query("LIST"), headers };
    case "list": return { method: random.chance(0.97) ? "GET" : "HEAD", path: (random.chance(0.3) ? everywhere(resource) : collection) + query("LIST"), headers };
    case "watch": return watchShot(aim, random.chance(0.5) ? everywhere(resource) : random.chance(0.2) ? object : collection, headers);
    default: return { method: random.chance(0.97) ? "GET" : "HEAD", path: target + query("GET"), headers, place: object };
  }
}

function deleteOptions(random: Random): unknown {
  return { kind: "DeleteOptions", apiVersion: "v1", ...(random.chance(0.7) && { propagationPolicy: random.pick(["Foreground", "Background", "Orphan"]) }), ...(random.chance(0.3) && { preconditions: { uid: random.pick(STRINGS) } }) };
}

function weighted({ verbs }: Resource): string[] {
  const list = verbs.flatMap((verb) => (verb === "create" || verb === "update" || verb === "patch" ? [verb, verb, verb] : verb === "deletecollection" || verb === "watch" ? [verb] : [verb, verb]));
  return list.length === 0 ? ["get"] : list;
}

function placesOf({ random, seen }: Aim, resource: Resource): { collection: string; object: string } {
  const known = random.chance(0.7) ? seen.place(random, `${basePath(resource)}/`, `/${resource.plural}/`) : undefined;
  if (known) return { collection: known.slice(0, known.lastIndexOf("/")), object: known };
  const namespace = random.chance(0.95) ? random.pick(NAMESPACES) : random.pick(ODD_NAMESPACES);
  const scope = resource.namespaced ? `/namespaces/${namespace}` : "";
  const collection = `${basePath(resource)}${scope}/${resource.plural}`;
  return { collection, object: `${collection}/${random.chance(0.95) ? nameFor(random, resource) : random.pick(ODD_NAMES)}` };
}

/** Some kinds can have certain names only. */
function nameFor(random: Random, { group, kind }: Resource): string {
  const { metadata } = (LEAST[`${group}/${kind}`] ?? {}) as SeenObject;
  return metadata?.name && metadata.name !== "x" ? metadata.name : random.pick(NAMES);
}

function everywhere(resource: Resource): string {
  return `${basePath(resource)}/${resource.plural}`;
}

function watchShot({ random, seen }: Aim, path: string, headers: Record<string, string>): Shot {
  const query = queryOf(random, seen, WANTED["WATCH"]);
  return { method: "GET", path: `${path}${query === "" ? "?" : `${query}&`}watch=true${random.chance(0.8) ? "&timeoutSeconds=1" : ""}`, headers, ...(random.chance(0.05) && { upgrade: "websocket" as const }) };
}

function newObject({ random, surface }: Aim, resource: Resource, path: string): unknown {
  const maker = new Maker(random, surface.definitions);
  const least = LEAST[`${resource.group}/${resource.kind}`] as SeenObject | undefined;
  const made = least && resource.subresource === "" && random.chance(0.9) ? times(random, least, (object) => maker.spoilt(object, resource.schema)) : maker.value(resource.schema);
  return tamed(random.chance(0.9) ? named(made, resource, path) : made);
}

function changedObject(aim: Aim, resource: Resource, path: string): unknown {
  const { random, seen, surface } = aim;
  const current = seen.object(path);
  if (!current || random.chance(0.1)) return newObject(aim, resource, path);
  const maker = new Maker(random, surface.definitions);
  const changed = times(random, current, (object) => maker.spoilt(object, resource.schema)) as SeenObject;
  if (random.chance(0.5) || typeof changed !== "object" || changed === null) return tamed(changed);
  return tamed({ ...changed, apiVersion: current.apiVersion, kind: current.kind, metadata: { ...current.metadata, ...(random.chance(0.5) && { resourceVersion: undefined }) } });
}

function patchShot(aim: Aim, resource: Resource, { object, target, headers }: { object: string; target: string; headers: Record<string, string> }): Shot {
  const { random, seen, surface } = aim;
  const type = random.chance(0.97) ? random.pick(PATCHES) : "application/json";
  const maker = new Maker(random, surface.definitions);
  const isApply = type.includes("apply");
  const body = type.includes("json-patch") ? jsonPatch(maker, seen.object(object)) : isApply ? named(random.chance(0.5) ? newObject(aim, resource, object) : maker.value(resource.schema), resource, object) : partOf(maker, changedObject(aim, resource, object), type);
  const query = queryOf(random, seen, WANTED["PATCH"]);
  const manager = isApply && !query.includes("fieldManager") && random.chance(0.9) ? `${query === "" ? "?" : "&"}fieldManager=${random.pick(["fuzz", "other"])}` : "";
  return shot({ method: "PATCH", path: target + query + manager, headers, place: object }, bodyOf(random, tamed(body), type));
}

const POINTERS = ["/metadata/labels", "/metadata/labels/a", "/metadata/annotations/a~1b", "/spec", "/status", "/metadata/finalizers", "/metadata/finalizers/-", "/metadata/ownerReferences", "/metadata/name", "/kind", "/spec/replicas", "/spec/template/spec/containers/0", "/spec/template/spec/containers/-", "/data/a", "", "/", "/a/b/c", "/metadata/__proto__/x", "a", "/~2", "/metadata/managedFields"];

function jsonPatch(maker: Maker, current: SeenObject | undefined): unknown {
  const { random } = maker;
  const pointers = [...POINTERS, ...pointersOf(current)];
  return random.several(5, () => ({ op: random.pick(["add", "replace", "remove", "test", "copy", "move", "x"]), path: random.pick(pointers), ...(random.chance(0.8) && { value: maker.anything() }), ...(random.chance(0.3) && { from: random.pick(pointers) }) }));
}

function pointersOf(value: unknown, prefix = "", depth = 0): string[] {
  if (typeof value !== "object" || value === null || depth > 4) return [];
  return Object.entries(value).flatMap(([name, field]) => {
    const path = `${prefix}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return [path, ...pointersOf(field, path, depth + 1)];
  });
}

const DIRECTIVES: readonly Record<string, unknown>[] = [{ $patch: "delete" }, { $patch: "replace" }, { $patch: "merge" }, { $patch: "nope" }, { $retainKeys: ["a"] }, { $retainKeys: 1 }, { "$deleteFromPrimitiveList/finalizers": ["a"] }, { "$setElementOrder/containers": [{ name: "c" }] }, { "$setElementOrder/ports": 1 }, { "$setElementOrder/finalizers": ["a", "b"] }];

/** Some of an object's fields, with a directive somewhere when it is strategic. */
function partOf(maker: Maker, value: unknown, type: string): unknown {
  const { random } = maker;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const kept = Object.fromEntries(Object.entries(value).filter(([name]) => name !== "status" && random.chance(0.6)).map(([name, field]) => [name, random.chance(0.1) ? null : random.chance(0.3) ? partOf(maker, field, type) : field]));
  return type.includes("strategic") && random.chance(0.2) ? { ...kept, ...random.pick(DIRECTIVES) } : kept;
}

/** The object with the identity its path asks for. */
function named(object: unknown, { group, version, kind, namespaced }: Resource, path: string): unknown {
  if (typeof object !== "object" || object === null || Array.isArray(object)) return object;
  const parts = path.split("/");
  const { metadata } = object as SeenObject;
  const { uid: _, resourceVersion: __, ...rest } = typeof metadata === "object" && metadata !== null && !Array.isArray(metadata) ? metadata : {};
  return { ...object, apiVersion: group === "" ? version : `${group}/${version}`, kind, metadata: { ...rest, name: parts.at(-1), ...(namespaced && { namespace: parts.at(-3) }) } };
}

function times<T>(random: Random, object: T, change: (object: T) => unknown): unknown {
  let changed: unknown = object;
  for (let count = Math.max(0, random.below(6) - 2); count > 0; count--) changed = change(changed as T);
  return changed;
}

const ODD_HEADERS: readonly Record<string, string>[] = [
  { "impersonate-user": "fuzz" }, { "impersonate-user": "system:serviceaccount:default:default", "impersonate-group": "a" }, { "impersonate-uid": "1" }, { "impersonate-extra-a%2fb": "c", "impersonate-user": "x" }, { "impersonate-extra-%zz": "c", "impersonate-user": "x" },
  { authorization: "Bearer x" }, { authorization: "Bearer a.b.c" }, { authorization: "Basic eDp5" }, { authorization: `Bearer ${"e30".repeat(5)}.e30.e30` }, { "accept-encoding": "gzip" }, { "accept-encoding": "gzip;q=0, identity" }, { "if-none-match": "*" },
  { "user-agent": "" }, { "user-agent": "x".repeat(5000) }, { "content-encoding": "gzip" }, { range: "bytes=0-1" }, { expect: "100-continue" }, { "x-remote-user": "admin" }, { "x-forwarded-for": "::" }, { origin: "https://evil.example" }, { "content-length": "5" }, { cookie: "a=b" },
];

function headersOf(random: Random): Record<string, string> {
  const accept = random.chance(0.7) ? "application/json" : random.pick(ACCEPTS);
  return { accept, ...(random.chance(0.06) && random.pick(ODD_HEADERS)) };
}

/** A request with a body, whose type becomes a header. */
function shot(call: Omit<Shot, "body">, body: Body | undefined): Shot {
  const type = body?.contentType;
  return { ...call, headers: { ...call.headers, ...(type !== undefined && { "content-type": type }) }, ...(body && { body: body.bytes }) };
}
