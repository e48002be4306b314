// The transport: TLS with HTTP/2 and HTTP/1.1 on one port, every request through the handler chain.
// Paths of the API are looked up in the table of kinds, which no generic router does better; hence none is used.
import type { IncomingMessage } from "node:http";
import { createSecureServer, type Http2SecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { logger } from "../../../lib/log.ts";
import type { KindRegistry } from "../../../api/registry.ts";
import type { ApiService } from "../extensions/aggregation/apiservice.ts";
import type { UserInfo } from "../request.ts";
import { admitConnection } from "../connect/admit.ts";
import { ApiError } from "../../../api/errors.ts";
import { Refused } from "../flowcontrol/refused.ts";
import type { Authenticator, Authorizer, Credentials } from "../auth/auth.ts";
import type { Engine } from "../engine.ts";
import { actingUser, authenticate, authorize, bearerTokenOf } from "./chain.ts";
import { serveDocument, type DocumentDeps } from "./documents.ts";
import { replyError, type Exchange, type Request, type Response } from "./exchange.ts";
import { serveResource } from "./resources.ts";
import { isLongRunning, releaseWatchSeat, replyRefused, takeSeat, type Held, type Limits } from "./seat.ts";
import { StreamRequest, StreamResponse } from "./stream.ts";
import { splitUrl, targetOf, type Query, type Target } from "./target.ts";

/** The server's own key pair, PEM. */
export interface ServingCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface HttpDeps {
  readonly engine: Engine;
  readonly authenticators: readonly Authenticator[];
  readonly authorizer: Authorizer;
  readonly documents: DocumentDeps;
  readonly certificate: ServingCertificate;
  /** Serves what is handed on to nodes: logs, exec, proxies; returns false when a target is none of its business. */
  readonly connect?: Connector | undefined;
  readonly aggregator?: AggregatedApis | undefined;
  readonly limits?: Limits | undefined;
}

/** Group-versions that other API servers serve. */
export interface AggregatedApis {
  /** What is available of them, for discovery. */
  readonly kinds: KindRegistry;
  find(path: string): ApiService | undefined;
  request(exchange: Exchange, call: { readonly service: ApiService; readonly user: UserInfo }): Promise<void>;
}

/** Hands requests and upgraded connections on to nodes. */
export interface Connector {
  handles(target: Target): boolean;
  request(exchange: Exchange, call: ConnectCall): Promise<void>;
  upgrade(request: Request, socket: Duplex, call: ConnectCall & { readonly head: Buffer }): Promise<void>;
}

export interface ConnectCall {
  readonly target: Extract<Target, { type: "resource" }>;
  readonly query: Query;
  readonly user: Awaited<ReturnType<typeof authenticate>>;
}

/** A request on its way, with what it holds. */
interface Passing extends Exchange {
  seat: Held | undefined;
}

const log = logger("apiserver");
const NO_LIMITS: Limits = {};
const REQUEST_TIMEOUT_MS = 60_000;
const CLOSE_GRACE_MS = 2_000;
/** The default of 10 resets streams in the middle of a reply when several large lists share a connection. */
const SESSION_MEMORY_MB = 1_000;

/** Listens and serves until stopped. */
export class HttpServer {
  readonly #deps: HttpDeps;
  readonly #server: Http2SecureServer;
  readonly #stopping = new AbortController();
  readonly #sockets = new Set<Duplex>();
  readonly #certificates = new WeakMap<object, Uint8Array | null>();
  #underWay = 0;
  #whenIdle: (() => void) | undefined;

  constructor(deps: HttpDeps) {
    this.#deps = deps;
    const { cert, key } = deps.certificate;
    this.#server = createSecureServer({ cert, key, allowHTTP1: true, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"], maxSessionMemory: SESSION_MEMORY_MB, settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 } });
    this.#server.on("request", (request, response) => void this.#serve(request, response as unknown as Response));
    // Listening for HTTP/1.1 requests also wraps every HTTP/2 stream in compatibility objects; those are taken as they are instead.
    this.#server.removeAllListeners("stream");
    this.#server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, rawHeaders: string[]) => void this.#serve(new StreamRequest(stream, headers, rawHeaders), new StreamResponse(stream)));
    this.#server.on("upgrade", (request: Request, socket: Duplex, head: Buffer) => void this.#upgrade(request, socket, head));
    this.#server.on("secureConnection", (socket: Duplex) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.#server.on("sessionError", (error) => log.debug({ err: error }, "an HTTP/2 session failed"));
    this.#server.on("tlsClientError", (error) => log.debug({ err: error }, "a TLS handshake failed"));
  }

  /** Starts listening; resolves with the port. Rejects when the port is taken. */
  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => log.error({ err: error }, "the listener failed"));
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Uses another key pair for connections that come from now on. */
  replaceCertificate({ cert, key }: ServingCertificate): void {
    (this.#server as unknown as { setSecureContext(options: ServingCertificate): void }).setSecureContext({ cert, key });
  }

  /** Ends watches, lets short requests finish, then closes every connection. */
  async stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#finished();
    // What is left are idle connections and streams to nodes, which have no end of their own.
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** Resolves when every request has been answered, or after a moment. */
  #finished(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
      setTimeout(resolve, CLOSE_GRACE_MS);
    });
  }

  #end(): void {
    if (--this.#underWay === 0) this.#whenIdle?.();
  }

  async #serve(request: Request, response: Response): Promise<void> {
    const { metrics } = this.#deps.documents;
    const startedMs = performance.now();
    const exchange: Passing = { request, response, warnings: [], seat: undefined };
    const method = request.method ?? "GET";
    const { path, query } = splitUrl(request.url ?? "/");
    const target = targetOf(method, path, query);
    metrics.begin();
    this.#underWay++;
    response.on("close", () => {
      exchange.seat?.release();
      this.#end();
      metrics.end(metricLabels(target, method, response.statusCode), (performance.now() - startedMs) / 1000);
    });
    response.on("error", (error: Error) => log.debug({ err: error }, "a reply could not be sent"));
    try {
      await this.#answer(exchange, { method, path, query, target });
    } catch (error) {
      if (error instanceof Refused) return replyRefused(exchange, error);
      if (!(error instanceof ApiError)) log.error({ err: error, method, path }, "a request failed");
      replyError(exchange, error);
    }
  }

  async #answer(exchange: Passing, { method, path, query, target }: { method: string; path: string; query: Query; target: Target }): Promise<void> {
    const { engine, authorizer, documents, connect, aggregator, limits = NO_LIMITS } = this.#deps;
    const user = await this.#userOf(exchange.request);
    const seat = takeSeat(limits, exchange, { engine, target, method, query, user, timeoutMs: REQUEST_TIMEOUT_MS });
    exchange.seat = seat instanceof Promise ? await seat : seat;
    // Whoever left before it was their turn has nobody to give the seat back.
    if (exchange.response.destroyed) return exchange.seat?.release();
    await authorize(authorizer, user, { target, method });
    const remote = aggregator?.find(path);
    if (aggregator && remote) return aggregator.request(exchange, { service: remote, user });
    if (target.type === "path") return serveDocument(exchange, documents, { path, query });
    if (connect?.handles(target)) {
      await admitConnection(engine, { target, query, user });
      return connect.request(exchange, { target, query, user });
    }
    const authorizeVerb = (verb: string): Promise<void> => authorize(authorizer, user, { target: { ...target, verb }, method });
    await serveResource(engine, exchange, { target, query, user, authorize: authorizeVerb, stopping: this.#stopping.signal });
    if (isLongRunning(target)) releaseWatchSeat(exchange, exchange.seat);
  }

  async #userOf(request: Request): ReturnType<typeof authenticate> {
    const { authenticators, authorizer } = this.#deps;
    return actingUser(authorizer, await authenticate(authenticators, this.#credentialsOf(request)), request);
  }

  #credentialsOf(request: Request): Credentials {
    const bearerToken = bearerTokenOf(request);
    const connection = connectionOf(request);
    let certificate = this.#certificates.get(connection);
    if (certificate === undefined) {
      const socket = ("socket" in connection ? connection.socket : connection) as TLSSocket;
      certificate = (socket.getPeerCertificate?.(false)?.raw as Uint8Array | undefined) ?? null;
      this.#certificates.set(connection, certificate);
    }
    return { peerCertificate: certificate ?? undefined, bearerToken };
  }

  async #upgrade(request: Request, socket: Duplex, head: Buffer): Promise<void> {
    const { authorizer, connect } = this.#deps;
    try {
      const { path, query } = splitUrl(request.url ?? "/");
      const method = request.method ?? "GET";
      const target = targetOf(method, path, query);
      const user = await this.#userOf(request);
      await authorize(authorizer, user, { target, method });
      if (target.type === "path" || !connect?.handles(target)) throw new ApiError(400, "BadRequest", "Upgrade request required");
      await admitConnection(this.#deps.engine, { target, query, user });
      await connect.upgrade(request, socket, { target, query, user, head });
    } catch (error) {
      refuseUpgrade(socket, error);
    }
  }
}

/** What all requests of one connection share. */
function connectionOf(request: Request): object {
  return request instanceof StreamRequest ? (request.stream.session ?? request.stream) : (request as IncomingMessage).socket;
}

function refuseUpgrade(socket: Duplex, error: unknown): void {
  const known = error instanceof ApiError ? error : new ApiError(500, "InternalError", `Internal error occurred: ${(error as Error).message}`);
  const body = JSON.stringify(known.toStatus());
  socket.end(`HTTP/1.1 ${known.code} ${known.reason || "Error"}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
}

const UPPER: Readonly<Record<string, string>> = { create: "POST", update: "PUT", deletecollection: "DELETE" };

function metricLabels(target: Target, method: string, code: number): string {
  if (target.type === "path") return `code="${code}",component="apiserver",dry_run="",group="",resource="",scope="",subresource="",verb="${method}",version=""`;
  const { verb, group, version, plural, subresource, namespace, name } = target;
  const scope = name !== "" ? "resource" : namespace !== "" ? "namespace" : "cluster";
  return `code="${code}",component="apiserver",dry_run="",group="${group}",resource="${plural}",scope="${scope}",subresource="${subresource}",verb="${UPPER[verb] ?? verb.toUpperCase()}",version="${version}"`;
}
