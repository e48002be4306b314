// Hands requests on to nodes, pods and services: whole replies for logs and proxies, bare bytes for upgraded connections.
// SPDY and WebSocket are not looked into: once the other end has agreed, both sides are joined.
import { request as httpRequest, type ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { ApiError, badRequest, internalError, notFound } from "../../../api/errors.ts";
import type { Engine } from "../engine.ts";
import { reply, type Exchange, type Request } from "../http/exchange.ts";
import type { ConnectCall, Connector } from "../http/serve.ts";
import type { Target } from "../http/target.ts";
import { isWebSocket } from "../http/websocket.ts";
import { cancelWith, copy } from "./copy.ts";
import { join } from "./join.ts";
import { locate, nodePage, type Location } from "./location.ts";

/** How this API server shows itself to nodes, PEM; nodes are not verified when `ca` is left out. */
export interface NodeCredentials {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string | undefined;
}

const CONNECTS: ReadonlySet<string> = new Set(["pods/log", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "nodes/proxy", "services/proxy"]);
const UPGRADES: ReadonlySet<string> = new Set(["exec", "attach", "portforward"]);
/** Headers that belong to one hop, or that must not leave this server. */
const HOP_HEADERS = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "trailer", "host", "authorization", "http2-settings", "expect"]);
const CONNECT_TIMEOUT_MS = 30_000;
const DIAL_WORDS: Readonly<Record<string, string>> = { ECONNREFUSED: "connect: connection refused", EHOSTUNREACH: "connect: no route to host", ENETUNREACH: "connect: network is unreachable", ETIMEDOUT: "i/o timeout" };

/** Serves what only nodes, pods and services can answer. `credentials` is read for every connection, so rotation needs no restart. */
export class NodeConnector implements Connector {
  constructor(private readonly engine: () => Engine, private readonly credentials: () => NodeCredentials) {}

  handles(target: Target): boolean {
    return target.type === "resource" && target.group === "" && target.version === "v1" && CONNECTS.has(`${target.plural}/${target.subresource}`);
  }

  async request(exchange: Exchange, { target, query }: ConnectCall): Promise<void> {
    const { request, response } = exchange;
    const { subresource, rest } = target;
    // What is wrong with the pod is told first.
    const location = locate(this.engine(), target, query);
    if (UPGRADES.has(subresource)) throw badRequest("Upgrade request required");
    if (!location) return reply(exchange, 200, Buffer.alloc(0), { "content-type": "text/plain" });
    if (subresource === "log") return this.#streamLog(exchange, location, target.name);
    if (rest === "" && (request.method === "GET" || request.method === "HEAD")) {
      const [path, search] = String(request.url).split("?");
      response.writeHead(301, { location: `${path}/${search === undefined ? "" : `?${search}`}` });
      return void response.end();
    }
    await this.#proxy(exchange, location);
  }

  async upgrade(request: Request, socket: Duplex, { target, query, head }: ConnectCall & { readonly head: Buffer }): Promise<void> {
    const location = locate(this.engine(), target, query);
    if (!location) throw badRequest(`pod ${target.name} does not have a host assigned`);
    const upstream = await this.#open(location);
    upstream.write(upgradeHead(request, location));
    if (head.length > 0) upstream.write(head);
    join(socket, upstream, { isWebSocket: isWebSocket(request.headers) });
  }

  /** The text of a page of a node's own API; throws what the node or the way to it says instead. */
  async page(nodeName: string, path: string): Promise<string> {
    const location = nodePage(this.engine(), nodeName, path);
    const answer = await this.#send(location, { method: "GET", headers: {} }, (outgoing) => outgoing.end());
    const text = await textOf(answer);
    if (answer.statusCode !== 200) throw unreachable(location, new Error(`${answer.statusCode}: ${text}`), `Get "${path}"`);
    return text;
  }

  async #streamLog(exchange: Exchange, location: Location, name: string): Promise<void> {
    const { response } = exchange;
    const answer = await this.#send(location, { method: "GET", headers: {} }, (outgoing) => {
      cancelWith(response, outgoing);
      outgoing.end();
    });
    if ((answer.statusCode ?? 500) >= 300) throw logError(answer.statusCode ?? 500, await textOf(answer), name);
    response.writeHead(200, { "content-type": "text/plain", "cache-control": "no-cache, private" });
    exchange.audit?.responded(200);
    copy(answer, response);
  }

  async #proxy(exchange: Exchange, location: Location): Promise<void> {
    const { request, response, audit } = exchange;
    const answer = await this.#send(location, { method: request.method ?? "GET", headers: forwardedHeaders(request) }, (outgoing) => {
      cancelWith(response, outgoing);
      request.pipe(outgoing);
    });
    const headers = Object.fromEntries(Object.entries(answer.headers).filter(([name, value]) => !HOP_HEADERS.has(name) && value !== undefined)) as Record<string, string | string[]>;
    audit?.responded(answer.statusCode ?? 502);
    const prefix = proxyPrefix(String(request.url), location.path);
    if (!String(answer.headers["content-type"] ?? "").startsWith("text/html") || answer.headers["content-encoding"]) {
      if (typeof headers["location"] === "string") headers["location"] = withPrefix(headers["location"], prefix);
      response.writeHead(answer.statusCode ?? 502, headers);
      return copy(answer, response);
    }
    // A page that links to its own root must lead back here, not to the API server's root.
    delete headers["content-length"];
    response.writeHead(answer.statusCode ?? 502, headers);
    response.end(rewriteLinks(await textOf(answer), prefix));
  }

  #send(location: Location, { method, headers }: { method: string; headers: Record<string, string | string[]> }, write: (outgoing: ClientRequest) => void): Promise<IncomingMessage> {
    const { host, port, path, scheme } = location;
    const options: RequestOptions = { host, port, path, method, headers: { ...headers, host: `${host}:${port}` }, ...(scheme === "https" && this.#tlsOptions(location)) };
    return new Promise((resolve, reject) => {
      const outgoing = (scheme === "https" ? httpsRequest : httpRequest)(options, resolve);
      outgoing.on("error", (error) => reject(unreachable(location, error, location.isNode ? `Get "${scheme}://${host}:${port}${path}"` : "error trying to reach service")));
      write(outgoing);
    });
  }

  #open(location: Location): Promise<Socket> {
    const { host, port, scheme } = location;
    return new Promise((resolve, reject) => {
      const socket: Socket = scheme === "https" ? connectTls({ host, port, ALPNProtocols: ["http/1.1"], ...this.#tlsOptions(location) }) : connectTcp({ host, port });
      const timer = setTimeout(() => socket.destroy(new Error("connection timed out")), CONNECT_TIMEOUT_MS);
      socket.once(scheme === "https" ? "secureConnect" : "connect", () => {
        clearTimeout(timer);
        resolve(socket);
      });
      socket.once("error", (error) => {
        clearTimeout(timer);
        reject(unreachable(location, error, "error dialing backend"));
      });
    });
  }

  /** Pods and services show certificates nobody here can check; nodes show ones of our own authority. */
  #tlsOptions({ isNode }: Location): { cert?: string; key?: string; ca?: string; rejectUnauthorized: boolean; checkServerIdentity?: () => undefined } {
    if (!isNode) return { rejectUnauthorized: false };
    const { cert, key, ca } = this.credentials();
    // Nodes are reached by address; what vouches for them is the authority, not the name.
    return ca === undefined ? { cert, key, rejectUnauthorized: false } : { cert, key, ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
  }
}

const LINK = /(\s(?:href|src|action|background|cite|longdesc|data|poster|formaction|manifest|icon)\s*=\s*)(["'])(\/(?!\/)[^"']*)\2/gi;

/** What of the requested path comes before the part that was handed on. */
function proxyPrefix(url: string, handedOn: string): string {
  const path = url.split("?")[0] as string;
  const rest = handedOn.split("?")[0] as string;
  return path.endsWith(rest) ? path.slice(0, path.length - rest.length) : path.replace(/\/$/, "");
}

/** Absolute paths in a page's links, led through the proxy; links to elsewhere stay. */
export function rewriteLinks(html: string, prefix: string): string {
  return html.replaceAll(LINK, (_all, attribute: string, quote: string, path: string) => `${attribute}${quote}${withPrefix(path, prefix)}${quote}`);
}

function withPrefix(path: string, prefix: string): string {
  return path.startsWith("/") && !path.startsWith("//") && !path.startsWith(`${prefix}/`) ? `${prefix}${path}` : path;
}

function upgradeHead(request: Request, { host, port, path }: Location): string {
  const lines = [`${request.method} ${path} HTTP/1.1`, `Host: ${host}:${port}`, "Connection: Upgrade", `Upgrade: ${String(request.headers["upgrade"])}`];
  for (const [name, value] of Object.entries(forwardedHeaders(request))) {
    for (const one of Array.isArray(value) ? value : [value]) lines.push(`${name}: ${one}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

function forwardedHeaders(request: Request): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || name.startsWith(":") || name.startsWith("impersonate-") || HOP_HEADERS.has(name)) continue;
    // A token offered as a WebSocket sub-protocol is for us alone.
    kept[name] = name === "sec-websocket-protocol" ? withoutToken(String(value)) : value;
  }
  return kept;
}

function withoutToken(protocols: string): string {
  return protocols.split(",").map((protocol) => protocol.trim()).filter((protocol) => !protocol.startsWith("base64url.bearer.authorization.k8s.io.")).join(", ");
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function logError(code: number, text: string, name: string): ApiError {
  if (code === 500) return internalError(new Error(text));
  if (code === 400) return badRequest(text);
  if (code === 404) return new ApiError(404, "NotFound", text.trim() || notFound({ group: "", plural: "pods" }, name).message, { name, kind: "pods" });
  return new ApiError(code, "", text);
}

/** Nobody answers at the other end: told as a dialer of upstream's tells it, after what was attempted. */
function unreachable({ host, port }: Location, error: Error, attempt: string): ApiError {
  const words = DIAL_WORDS[(error as NodeJS.ErrnoException).code ?? ""];
  return new ApiError(503, "ServiceUnavailable", `${attempt}: ${words ? `dial tcp ${host}:${port}: ${words}` : error.message}`, { causes: [{ message: error.message }] }, { cause: error });
}
