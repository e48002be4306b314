// What a URL asks for: a resource of the API or some other path, read from method, path and query.
// Rules: k8s.io/apiserver/pkg/endpoints/request/requestinfo.go.
import type { RequestVerb } from "../request.ts";

/** A request for a resource; whether it exists is not known yet. */
export interface ResourceTarget {
  readonly type: "resource";
  readonly verb: RequestVerb;
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, for proxies; starts with a slash when not empty. */
  readonly rest: string;
  /** What a collection is narrowed to, which nodes must do to be allowed to read it. */
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

export interface PathTarget {
  readonly type: "path";
  readonly path: string;
}

export type Target = ResourceTarget | PathTarget;

/** Query parameters, the last value of each name winning where only one makes sense. */
export type Query = URLSearchParams;

const NO_QUERY = new URLSearchParams();
const NAMESPACE_SUBRESOURCES = new Set(["status", "finalize"]);
const METHOD_VERBS: Readonly<Record<string, RequestVerb>> = { POST: "create", PUT: "update", PATCH: "patch", DELETE: "delete" };

/** Splits a request URL. */
export function splitUrl(url: string): { path: string; query: Query; search: string } {
  const mark = url.indexOf("?");
  return mark < 0 ? { path: url, query: NO_QUERY, search: "" } : { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)), search: url.slice(mark) };
}

/** Reads method and path. */
export function targetOf(method: string, path: string, query: Query): Target {
  const parts = path.split("/");
  // parts[0] is what precedes the first slash.
  const isCore = parts[1] === "api";
  const head = isCore ? 3 : 4;
  if ((!isCore && parts[1] !== "apis") || parts.length <= head || parts[head] === "") return { type: "path", path };
  const group = isCore ? "" : (parts[2] as string);
  const version = parts[head - 1] as string;
  const isLegacyWatch = parts[head] === "watch";
  const place = placeOf(parts, isLegacyWatch ? head + 1 : head);
  if (!place) return { type: "path", path };
  const verb = verbOf(method, place, { query, isLegacyWatch });
  if (verb !== "list" && verb !== "watch" && verb !== "deletecollection") return { type: "resource", verb, group, version, ...place };
  const [fieldSelector, labelSelector] = [query.get("fieldSelector"), query.get("labelSelector")];
  return { type: "resource", verb, group, version, ...place, name: place.name === "" ? nameFrom(query) : place.name, ...(fieldSelector && { fieldSelector }), ...(labelSelector && { labelSelector }) };
}

interface Place {
  readonly namespace: string;
  readonly plural: string;
  readonly name: string;
  readonly subresource: string;
  readonly rest: string;
}

function placeOf(parts: readonly string[], at: number): Place | undefined {
  const isScoped = parts[at] === "namespaces" && parts.length > at + 2 && parts[at + 2] !== "" && !NAMESPACE_SUBRESOURCES.has(parts[at + 2] as string);
  const start = isScoped ? at + 2 : at;
  const plural = parts[start];
  if (!plural) return undefined;
  return {
    namespace: isScoped ? decode(parts[at + 1] as string) : "",
    plural,
    name: decode(parts[start + 1] ?? ""),
    subresource: parts[start + 2] ?? "",
    rest: parts.length > start + 3 ? `/${parts.slice(start + 3).join("/")}` : "",
  };
}

function verbOf(method: string, { name, subresource }: Place, { query, isLegacyWatch }: { query: Query; isLegacyWatch: boolean }): RequestVerb {
  if (method === "GET" || method === "HEAD") {
    if (isLegacyWatch || (subresource === "" && isTrue(query.get("watch")))) return "watch";
    return name === "" ? "list" : "get";
  }
  if (method === "DELETE" && name === "") return "deletecollection";
  return METHOD_VERBS[method] ?? method.toLowerCase();
}

/** A list that can only ever show one object is authorized as that object. */
function nameFrom(query: Query): string {
  const selector = query.get("fieldSelector");
  return /(?:^|,)metadata\.name==?([^,=\\]+)(?:,|$)/.exec(selector ?? "")?.[1] ?? "";
}

/** Booleans as the API reads them in queries: present and neither false nor 0. */
export function isTrue(value: string | null): boolean {
  return value !== null && value.toLowerCase() !== "false" && value !== "0";
}

function decode(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
