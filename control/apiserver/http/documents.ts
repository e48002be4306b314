// Everything that is not a resource: discovery, version, health, metrics, OpenAPI, the token issuer's keys, the list of paths.
import { ApiError } from "../../../api/errors.ts";
import { reply, replyObject, replyText, type Exchange } from "./exchange.ts";
import type { Discovery } from "./discovery.ts";
import { checksAt, isHealthPath, serveHealth, type HealthCheck } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import { isPretty, mediaRanges, outputOf } from "./negotiate.ts";
import { splitUrl, type Query } from "./target.ts";

/** A document served as it is, such as an OpenAPI description. */
export interface Document {
  readonly body: Uint8Array | string;
  readonly contentType: string;
  readonly etag?: string | undefined;
  /** `public` when left out. */
  readonly cacheControl?: string | undefined;
}

/** Serves a document for a path and the media types a client takes; undefined for a path it has nothing for. */
export type DocumentSource = (path: string, accept: string) => Document | undefined | Promise<Document | undefined>;

export interface DocumentDeps {
  readonly discovery: Discovery;
  readonly version: Readonly<Record<string, string>>;
  readonly checks: readonly HealthCheck[];
  readonly metrics: Metrics;
  /** OpenAPI v2 and v3. */
  readonly openapi?: DocumentSource | undefined;
  /** `/.well-known/openid-configuration` and `/openid/v1/jwks`. */
  readonly openid?: DocumentSource | undefined;
  /** Tables under `/debug/`. */
  readonly debug?: ((path: string, query: Query) => string | undefined) | undefined;
  /** Paths under `/minik8s/`: what this implementation has beside Kubernetes. */
  readonly own?: OwnPaths | undefined;
}

/** Serves paths of this implementation's own; undefined for one it does not have. */
export type OwnPaths = (method: string, path: string) => Promise<Document | undefined>;

const YEAR_MS = 365 * 24 * 3_600_000;
const AGGREGATED = new Set(["v2", "v2beta1"]);

/** Answers a path that names no resource. */
export async function serveDocument(exchange: Exchange, deps: DocumentDeps, { path, query }: { path: string; query: Query }): Promise<void> {
  const { discovery } = deps;
  const bare = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  if (isHealthPath(bare)) return serveHealth(exchange, { checks: deps.checks, figures: deps.metrics.health }, { path: bare, query });
  if (bare === "/version") return answer(exchange, deps.version, true);
  if (bare === "/api" || bare === "/apis") return serveRoot(exchange, discovery, bare === "/api" ? "api" : "apis");
  if (bare.startsWith("/api/") || bare.startsWith("/apis/")) return serveGroup(exchange, discovery, bare);
  if (bare === "/metrics/slis") return reply(exchange, 200, Buffer.from(deps.metrics.health.text()), { "content-type": deps.metrics.contentType });
  if (bare === "/metrics") return replyMetrics(exchange, deps.metrics);
  if (bare === "/" || bare === "" || bare === "/index.html") return answer(exchange, { paths: pathsOf(discovery, deps.checks) }, true);
  if (bare.startsWith("/minik8s/")) return serveOwn(exchange, deps.own, bare);
  const table = bare.startsWith("/debug/") ? deps.debug?.(bare, query) : undefined;
  if (table !== undefined) return replyText(exchange, 200, table);
  const source = bare.startsWith("/openapi/") ? deps.openapi : bare.startsWith("/openid/") || bare.startsWith("/.well-known/") ? deps.openid : undefined;
  const document = await source?.(bare, String(exchange.request.headers["accept"] ?? ""));
  if (!document) return replyText(exchange, 404, "404 page not found\n");
  const hash = bare.startsWith("/openapi/v3/") ? query.get("hash") : null;
  if (hash) replyHashed(exchange, document, { path: bare, hash });
  else replyDocument(exchange, document);
}

/** Documents asked for by their hash never change; another hash leads to the one there is. */
function replyHashed(exchange: Exchange, document: Document, { path, hash }: { path: string; hash: string }): void {
  const { response } = exchange;
  const current = document.etag?.replaceAll('"', "");
  if (current === undefined || hash === current) return replyDocument(exchange, document, current === undefined ? {} : { "cache-control": "public, immutable", expires: new Date(Date.now() + YEAR_MS).toUTCString() });
  response.writeHead(301, { location: `${path}?hash=${current}`, vary: "Accept", etag: document.etag as string });
  response.end();
}

async function serveOwn(exchange: Exchange, own: OwnPaths | undefined, path: string): Promise<void> {
  const document = await own?.(exchange.request.method ?? "GET", path);
  if (!document) return replyText(exchange, 404, "404 page not found\n");
  replyDocument(exchange, document);
}

function answer(exchange: Exchange, object: unknown, isAlwaysPretty = false): void {
  const { headers, method, url = "" } = exchange.request;
  if (object === undefined) throw new ApiError(404, "NotFound", "the server could not find the requested resource", {});
  if (method !== "GET") return replyText(exchange, 405, "405: Method Not Allowed");
  const output = outputOf(headers["accept"]?.includes("yaml") ? headers["accept"] : undefined);
  replyObject(exchange, 200, object, { ...output, pretty: isAlwaysPretty || isPretty(headers, splitUrl(url).query) });
}

function serveRoot(exchange: Exchange, discovery: Discovery, root: "api" | "apis"): void {
  const { request } = exchange;
  const wanted = mediaRanges(String(request.headers["accept"] ?? "")).find(({ type, parameters }) => type === "application/json" && (parameters["as"] === undefined || isAggregated(parameters)));
  const version = wanted?.parameters["v"];
  if (request.method !== "GET" || !wanted || !isAggregated(wanted.parameters) || !version) return answer(exchange, root === "api" ? discovery.coreVersions() : discovery.groupList());
  const { body, etag } = discovery.aggregated(root, version);
  replyDocument(exchange, { body, etag, contentType: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList` });
}

function isAggregated(parameters: Readonly<Record<string, string>>): boolean {
  return parameters["g"] === "apidiscovery.k8s.io" && parameters["as"] === "APIGroupDiscoveryList" && AGGREGATED.has(parameters["v"] ?? "");
}

function serveGroup(exchange: Exchange, discovery: Discovery, path: string): void {
  const [, root, first = "", second, extra] = path.split("/");
  if (extra !== undefined) return answer(exchange, undefined);
  if (root === "api") return answer(exchange, second === undefined ? discovery.resources("", first) : undefined);
  answer(exchange, second === undefined ? discovery.group(first) : discovery.resources(first, second));
}

function replyDocument(exchange: Exchange, { body, contentType, etag, cacheControl = "public" }: Document, more: Readonly<Record<string, string>> = {}): void {
  const { request, response } = exchange;
  const headers = { "content-type": contentType, vary: "Accept", "cache-control": cacheControl, ...(etag && { etag }), ...more };
  if (!etag || request.headers["if-none-match"] !== etag) return reply(exchange, 200, typeof body === "string" ? Buffer.from(body) : Buffer.from(body.buffer, body.byteOffset, body.byteLength), headers);
  response.writeHead(304, headers);
  response.end();
}

async function replyMetrics(exchange: Exchange, metrics: Metrics): Promise<void> {
  reply(exchange, 200, Buffer.from(await metrics.text()), { "content-type": metrics.contentType });
}

function pathsOf(discovery: Discovery, checks: readonly HealthCheck[]): string[] {
  const groups = discovery.groupNames().map((group) => `/apis/${group}`);
  const versions = discovery.groupVersions().filter(({ group }) => group !== "").map(({ group, version }) => `/apis/${group}/${version}`);
  const health = ["healthz", "livez", "readyz"].flatMap((endpoint) => [`/${endpoint}`, ...checksAt(endpoint, checks).map(({ name }) => `/${endpoint}/${name}`)]);
  const others = ["/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/apis/", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/version"];
  return [...new Set([...others, ...health, ...groups, ...versions])].sort();
}
