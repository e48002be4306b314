// Assembles the OpenAPI documents: one of version 2 for everything, one of version 3 for every group-version.
// Documents are large; they are made on demand, and whoever serves them decides how long to keep them.
import type { GroupVersionKind, KindInfo } from "../../kinds.ts";
import type { DocsData } from "../data.ts";
import type { Definitions } from "../node.ts";
import { sharedName } from "./hash.ts";
import { OTHER_PATHS, discoveryPaths, groupPaths, kindPaths, type Operation, type Parameter, type Paths } from "./operations.ts";
import { SchemaWriter, type Json } from "./schemas.ts";

const SECURITY = { BearerToken: { description: "Bearer Token authentication", in: "header", name: "authorization", type: "apiKey" } };
const INFO = { title: "Kubernetes", version: "unversioned" };
const REASONS: Readonly<Record<number, string>> = { 200: "OK", 201: "Created", 202: "Accepted" };
/** Clients look for these in every operation, so they are never shared. */
const NEVER_SHARED = new Set(["name", "dryRun", "fieldValidation"]);

/** What documents are made from. */
export interface Sources {
  readonly definitions: Definitions;
  readonly docs: DocsData;
  readonly kinds: readonly KindInfo[];
}

/** The document of everything the server answers, in version 2. */
export function documentV2({ definitions, docs, kinds }: Sources): Json {
  const versions = groupVersionsOf(kinds);
  const writer = new SchemaWriter(definitions, docs.descriptions, { version: 2, groupVersions: versions, kinds });
  const paths = Object.assign({}, ...Object.values(OTHER_PATHS), ...versions.flatMap((gv) => [groupPaths(gv.group), discoveryPaths(gv)]), ...kinds.map((kind) => kindPaths(kind, docs.parameters))) as Paths;
  const shared: Record<string, Json> = {};
  return {
    definitions: writer.closure(definitionsIn(paths)), info: INFO, parameters: shared,
    paths: sorted(Object.entries(paths).map(([path, operations]) => [path, pathV2(writer, operations, shared)])), security: [{ BearerToken: [] }], securityDefinitions: SECURITY, swagger: "2.0",
  };
}

/** The documents of version 3 by their path below `/openapi/v3/`, such as `apis/apps/v1`. */
export function documentsV3(kinds: readonly KindInfo[]): string[] {
  const versions = groupVersionsOf(kinds);
  const groups = versions.map(({ group }) => (group === "" ? "api" : `apis/${group}`));
  const all = versions.map(({ group, version }) => (group === "" ? `api/${version}` : `apis/${group}/${version}`));
  return [...new Set([...Object.keys(OTHER_PATHS), ...groups, ...all])].sort();
}

/** One document of version 3; undefined when there is none at that path. */
export function documentV3({ definitions, docs, kinds }: Sources, path: string): Json | undefined {
  const paths = pathsAt(path, kinds, docs);
  if (!paths) return undefined;
  const [, group = "", version] = path.startsWith("api/") ? ["api", "", path.slice(4)] : path.split("/");
  const groupVersions = version === undefined ? [] : [{ group, version }];
  const writer = new SchemaWriter(definitions, docs.descriptions, { version: 3, groupVersions, kinds });
  const schemas = writer.closure(definitionsIn(paths));
  return {
    components: { ...(Object.keys(schemas).length > 0 && { schemas }), securitySchemes: SECURITY }, info: INFO, openapi: "3.0.0",
    paths: sorted(Object.entries(paths).map(([at, operations]) => [at, pathV3(writer, operations)])),
  };
}

function pathsAt(path: string, kinds: readonly KindInfo[], docs: DocsData): Paths | undefined {
  const other = OTHER_PATHS[path];
  if (other) return other;
  const gv = groupVersionsOf(kinds).find(({ group, version }) => path === (group === "" ? `api/${version}` : `apis/${group}/${version}`));
  if (gv) return Object.assign(discoveryPaths(gv), ...kinds.filter((kind) => kind.group === gv.group && kind.version === gv.version).map((kind) => kindPaths(kind, docs.parameters))) as Paths;
  const group = path === "api" ? "" : path.replace(/^apis\//, "");
  return kinds.some((kind) => kind.group === group) ? groupPaths(group) : undefined;
}

function pathV2(writer: SchemaWriter, operations: readonly Operation[], shared: Record<string, Json>): Json {
  const common = commonParameters(operations);
  const write = (parameter: Json): Json => {
    if (NEVER_SHARED.has(parameter["name"] as string) || isOwnBody(parameter)) return sortedKeys(parameter);
    const name = sharedName(parameter);
    shared[name] = sortedKeys(parameter);
    return { $ref: `#/parameters/${name}` };
  };
  const item: Json = {};
  for (const operation of operations) {
    const own = operation.parameters.filter((parameter) => !common.includes(parameter)).filter((parameter) => !common.some((other) => isSame(other, parameter)));
    const body = operation.body && { name: "body", in: "body", ...(operation.body.isRequired && { required: true }), schema: writer.reference(operation.body.definition) };
    const parameters = [...(body ? [body as Json] : []), ...own.map(parameterV2)].sort(byNameAndPlace).map(write);
    item[operation.method] = sortedKeys({
      ...headOf(operation), ...(operation.consumes && { consumes: operation.consumes }), ...(operation.produces && { produces: operation.produces }), schemes: ["https"],
      ...(parameters.length > 0 && { parameters }), responses: repliesOf(operation, (definition) => ({ schema: writer.reference(definition) })),
    });
  }
  if (common.length > 0) item["parameters"] = common.map(parameterV2).sort(byNameAndPlace).map(write);
  return sortedKeys(item);
}

function pathV3(writer: SchemaWriter, operations: readonly Operation[]): Json {
  const common = commonParameters(operations);
  const item: Json = {};
  for (const operation of operations) {
    const parameters = operation.parameters.filter((parameter) => !common.some((other) => isSame(other, parameter))).map(parameterV3).sort(byNameAndPlace);
    item[operation.method] = sortedKeys({
      ...headOf(operation), ...(parameters.length > 0 && { parameters }), ...(operation.body && { requestBody: bodyV3(writer, operation) }),
      responses: repliesOf(operation, (definition) => ({ content: Object.fromEntries((operation.produces ?? []).map((type) => [type, { schema: writer.reference(definition) }])) })),
    });
  }
  if (common.length > 0) item["parameters"] = common.map(parameterV3).sort(byNameAndPlace);
  return sortedKeys(item);
}

function bodyV3(writer: SchemaWriter, { body, consumes }: Operation): Json {
  const content = Object.fromEntries((consumes ?? []).map((type) => [type, { schema: writer.reference(body?.definition as string) }]));
  return { content, ...(body?.isRequired && { required: true }) };
}

function headOf({ description, operationId, tags, action, gvk }: Operation): Json {
  return {
    ...(description !== undefined && { description }), operationId, tags, ...(action !== undefined && { "x-kubernetes-action": action }),
    ...(gvk && { "x-kubernetes-group-version-kind": gvkOf(gvk) }),
  };
}

function gvkOf({ group, kind, version }: GroupVersionKind): Json {
  return { group, kind, version };
}

function repliesOf({ reply }: Operation, content: (definition: string) => Json): Json {
  const replies = (reply?.codes ?? []).map((code) => [String(code), { ...content(reply?.definition as string), description: REASONS[code] }]);
  return Object.fromEntries([...replies, ["401", { description: "Unauthorized" }]]) as Json;
}

/** Parameters of every operation of a path are written once, at the path. */
function commonParameters([first, ...rest]: readonly Operation[]): Parameter[] {
  return (first?.parameters ?? []).filter((parameter) => rest.every(({ parameters }) => parameters.some((other) => isSame(other, parameter))));
}

function isSame(a: Parameter, b: Parameter): boolean {
  return a.name === b.name && a.in === b.in && a.description === b.description;
}

// Key order is part of the name shared parameters get; it is that of upstream's encoder.
function parameterV2({ name, in: place, type, description, isRequired }: Parameter): Json {
  return { uniqueItems: true, type, description, name, in: place, ...(isRequired && { required: true }) };
}

function parameterV3({ name, in: place, type, description, isRequired }: Parameter): Json {
  return { description, in: place, name, ...(isRequired && { required: true }), schema: { type, uniqueItems: true } };
}

function isOwnBody(parameter: Json): boolean {
  const schema = parameter["schema"] as { $ref?: string } | undefined;
  return schema !== undefined && !schema.$ref?.startsWith("#/definitions/io.k8s.apimachinery");
}

function byNameAndPlace(a: Json, b: Json): number {
  return placeOf(a) < placeOf(b) ? -1 : 1;
}

function placeOf(parameter: Json): string {
  return `${String(parameter["name"])}\n${String(parameter["in"])}`;
}

function definitionsIn(paths: Paths): Set<string> {
  return new Set(Object.values(paths).flat().flatMap(({ body, reply }) => [...(body ? [body.definition] : []), ...(reply ? [reply.definition] : [])]));
}

function groupVersionsOf(kinds: readonly KindInfo[]): { group: string; version: string }[] {
  return [...new Map(kinds.map(({ group, version }) => [`${group}/${version}`, { group, version }])).entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, gv]) => gv);
}

function sorted(entries: [string, Json][]): Json {
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function sortedKeys(object: Json): Json {
  return sorted(Object.entries(object) as [string, Json][]);
}
