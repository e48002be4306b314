// One request on its way: who asks, may they, is there room, and then the resource or document they asked for.
// Order as upstream: authentication, impersonation, priority and fairness, authorization.
import type { Duplex } from "node:stream";
import { ApiError, internalError } from "../../../api/errors.ts";
import type { KindRegistry } from "../../../api/registry.ts";
import { logger } from "../../../lib/log.ts";
import type { Auditor, Trail } from "../audit/auditor.ts";
import { auditIdOf } from "../audit/id.ts";
import type { Authenticator, Authorizer } from "../auth/auth.ts";
import { admitConnection } from "../connect/admit.ts";
import type { Engine } from "../engine.ts";
import type { ApiService } from "../extensions/aggregation/apiservice.ts";
import { Pace } from "../flowcontrol/pace.ts";
import { Refused } from "../flowcontrol/refused.ts";
import type { UserInfo } from "../request.ts";
import { actingUser, authenticate, authorize, bearerTokenOf } from "./chain.ts";
import { certificateOf, type Connection, type Connections } from "./connections.ts";
import { Deadlines, type Expiring } from "./deadlines.ts";
import { serveDocument, type DocumentDeps, type DocumentSource } from "./documents.ts";
import { replyError, type Exchange, type Request, type Response } from "./exchange.ts";
import { metricLabels } from "./metrics.ts";
import { serveResource } from "./resources.ts";
import { isLongRunning, releaseWatchSeat, replyRefused, takeSeat, type Held, type Limits } from "./seat.ts";
import { splitUrl, targetOf, type Query, type Target } from "./target.ts";
import { expire, timeoutOf } from "./timeout.ts";
import { isWatchSocket, SocketResponse } from "./websocket.ts";

/** What requests are served with. */
export interface ServeDeps {
  readonly engine: Engine;
  readonly authenticators: readonly Authenticator[];
  readonly authorizer: Authorizer;
  readonly documents: DocumentDeps;
  /** Serves what is handed on to nodes: logs, exec, proxies; returns false when a target is none of its business. */
  readonly connect?: Connector | undefined;
  readonly aggregator?: AggregatedApis | undefined;
  readonly limits?: Limits | undefined;
  readonly timeouts?: Timeouts | undefined;
  /** Records what is asked and answered. */
  readonly audit?: Auditor | undefined;
}

/** How long requests may take. */
export interface Timeouts {
  readonly requestMs: number;
  /** Watches that do not say so last this long to twice this long. */
  readonly minRequestSeconds: number;
}

/** Group-versions that other API servers serve. */
export interface AggregatedApis {
  /** What is available of them, for discovery. */
  readonly kinds: KindRegistry;
  find(path: string): ApiService | undefined;
  request(exchange: Exchange, call: { readonly service: ApiService; readonly user: UserInfo }): Promise<void>;
  upgrade(request: Request, socket: Duplex, call: { readonly service: ApiService; readonly user: UserInfo; readonly head: Buffer }): Promise<void>;
  /** Adds what is published elsewhere. */
  openapi(own: DocumentSource): DocumentSource;
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
  readonly user: UserInfo;
}

/** What is known of a request before it is known who asks. */
interface Asking {
  readonly request: Request;
  readonly connection: Connection;
  readonly method: string;
  readonly target: Target;
  readonly startedMs: number;
  readonly auditId: string;
  audit: Trail | undefined;
}

/** A request on its way, with what it holds. */
interface Passing extends Exchange, Expiring {
  readonly startedMs: number;
  readonly auditId: string;
  readonly method: string;
  readonly path: string;
  readonly query: Query;
  readonly target: Target;
  readonly connection: Connection;
  audit: Trail | undefined;
  seat: Held | undefined;
  /** The client has its answer or has gone. */
  isOver: boolean;
  /** Takes it off the list of what ends by itself. */
  onTime: (() => void) | undefined;
}

const log = logger("apiserver");
const NO_LIMITS: Limits = {};
const SWITCHING_PROTOCOLS = 101;
export const DEFAULT_TIMEOUTS: Timeouts = { requestMs: 60_000, minRequestSeconds: 1800 };

/** Serves requests until told to stop. */
export class RequestHandler {
  readonly #deps: ServeDeps;
  readonly #timeouts: Timeouts;
  readonly #deadlines = new Deadlines();
  readonly #pace = new Pace();
  readonly #stopping = new AbortController();
  #underWay = 0;
  #whenIdle: (() => void) | undefined;

  constructor(deps: ServeDeps, private readonly connections: Connections) {
    this.#deps = deps;
    this.#timeouts = deps.timeouts ?? DEFAULT_TIMEOUTS;
  }

  /** Ends watches. */
  stop(): void {
    this.#stopping.abort();
  }

  /** Resolves when every request that has an end of its own has been answered, or after `graceMs`. */
  finished(graceMs: number): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
      setTimeout(resolve, graceMs).unref();
    });
  }

  /** Answers one request, whatever becomes of it. */
  async serve(request: Request, response: Response): Promise<void> {
    const { metrics } = this.#deps.documents;
    const startedMs = performance.now();
    const method = request.method ?? "GET";
    const { path, query } = splitUrl(request.url ?? "/");
    const target = targetOf(method, path, query);
    const connection = this.connections.of(request);
    const auditId = auditIdOf(request);
    const passing: Passing = { request, response, warnings: [], startedMs, auditId, method, path, query, target, connection, audit: undefined, seat: undefined, isOver: false, onTime: undefined, expire: () => expire(passing) };
    const isBounded = !isLongRunning(target);
    const kind = method === "GET" || method === "HEAD" ? "readOnly" : "mutating";
    response.setHeader("audit-id", auditId);
    connection.begin();
    if (isBounded) {
      this.#underWay++;
      metrics.begin(kind);
    }
    response.on("close", () => {
      const now = performance.now();
      passing.isOver = true;
      passing.seat?.release();
      passing.onTime?.();
      passing.audit?.complete(response.statusCode);
      connection.finish(now);
      if (response.isReset) connection.reset(now);
      if (isBounded) {
        metrics.finish(kind);
        if (--this.#underWay === 0) this.#whenIdle?.();
      }
      metrics.end(metricLabels(target, method, response.statusCode), (now - startedMs) / 1000);
    });
    response.on("error", (error: Error) => log.debug({ err: error }, "a reply could not be sent"));
    try {
      const timeoutMs = isBounded ? timeoutOf(query, this.#timeouts.requestMs) : this.#timeouts.requestMs;
      if (isBounded) passing.onTime = this.#deadlines.add(startedMs + timeoutMs, passing);
      await this.#answer(passing, timeoutMs);
    } catch (error) {
      if (error instanceof Refused) return this.#refuse(passing, error);
      if (!(error instanceof ApiError)) log.error({ err: error, method, path }, "a request failed");
      replyError(passing, error);
    }
  }

  async #answer(passing: Passing, timeoutMs: number): Promise<void> {
    const { engine, authorizer, documents, connect, aggregator, limits = NO_LIMITS } = this.#deps;
    const { method, path, query, target } = passing;
    const user = await this.#userOf(passing);
    if (passing.isOver || passing.response.headersSent) return;
    const seat = takeSeat(limits, passing, { engine, target, method, query, user, timeoutMs });
    passing.seat = seat instanceof Promise ? await seat : seat;
    // Whoever left before it was their turn has nobody to give the seat back.
    if (passing.isOver) return passing.seat?.release();
    const { audit } = passing;
    await authorize(authorizer, user, { target, method, ...(audit && { note: (decision) => audit.decided(decision) }) });
    const remote = aggregator?.find(path);
    if (aggregator && remote) {
      // When another server has sent its first events is not seen here.
      if (isLongRunning(target)) passing.seat?.release();
      // One id for both ends.
      passing.request.headers["audit-id"] = passing.auditId;
      return aggregator.request(passing, { service: remote, user });
    }
    if (target.type === "path") return serveDocument(passing, documents, { path, query });
    if (connect?.handles(target)) {
      await admitConnection(engine, { target, query, user });
      return connect.request(passing, { target, query, user });
    }
    const authorizeVerb = (verb: string): Promise<void> => authorize(authorizer, user, { target: { ...target, verb }, method });
    await serveResource(engine, passing, { target, query, user, authorize: authorizeVerb, stopping: this.#stopping.signal, minRequestSeconds: this.#timeouts.minRequestSeconds });
    if (target.verb === "watch") releaseWatchSeat(passing, passing.seat);
  }

  #refuse(passing: Passing, refused: Refused): void {
    if (passing.isOver) return;
    const delayMs = this.#pace.delayMs(performance.now());
    if (delayMs === 0) replyRefused(passing, refused);
    else setTimeout(() => replyRefused(passing, refused), delayMs);
  }

  /** Who asks, and as whom; from here on the request is recorded. */
  async #userOf(asked: Asking): Promise<UserInfo> {
    const { authenticators, authorizer, audit } = this.#deps;
    const { request, connection } = asked;
    if (!audit) return actingUser(authorizer, await authenticate(authenticators, { peerCertificate: certificateOf(connection, request), bearerToken: bearerTokenOf(request) }), asked);
    const user = await this.#auditedUser(audit, asked);
    const acting = await actingUser(authorizer, user, asked);
    if (acting !== user) asked.audit?.impersonated(acting);
    return acting;
  }

  async #auditedUser(audit: Auditor, asked: Asking): Promise<UserInfo> {
    const { request, connection, method, target, startedMs, auditId } = asked;
    const arrived = { exchange: { request }, method, target, remoteAddress: connection.remoteAddress, receivedMs: startedMs };
    const credentials = { peerCertificate: certificateOf(connection, request), bearerToken: bearerTokenOf(request) };
    try {
      const user = await authenticate(this.#deps.authenticators, credentials);
      asked.audit = audit.begin(auditId, { ...arrived, user });
      return user;
    } catch (error) {
      const attempted = [credentials.peerCertificate && "x509", credentials.bearerToken !== undefined && "bearer"].filter(Boolean).join(", ");
      audit.begin(auditId, { ...arrived, user: undefined })?.unauthenticated(401, `Authentication failed, attempted: ${attempted}`);
      throw error;
    }
  }

  /** Answers a request to speak another protocol from here on. */
  async upgrade(request: Request, socket: Duplex, head: Buffer): Promise<void> {
    const { authorizer, connect, aggregator } = this.#deps;
    const connection = this.connections.of(request);
    const { path, query } = splitUrl(request.url ?? "/");
    const method = request.method ?? "GET";
    const target = targetOf(method, path, query);
    const remote = aggregator?.find(path);
    if (!remote && isWatchSocket(target, request)) return this.serve(request, new SocketResponse(request, socket, head));
    const asking: Asking = { request, connection, method, target, startedMs: performance.now(), auditId: auditIdOf(request), audit: undefined };
    connection.begin();
    socket.on("close", () => {
      connection.finish(performance.now());
      asking.audit?.complete(SWITCHING_PROTOCOLS);
    });
    try {
      const user = await this.#userOf(asking);
      await authorize(authorizer, user, { target, method, note: (decision) => asking.audit?.decided(decision) });
      if (aggregator && remote) {
        asking.audit?.responded(SWITCHING_PROTOCOLS);
        return await aggregator.upgrade(request, socket, { service: remote, user, head });
      }
      if (target.type === "path" || !connect?.handles(target)) throw new ApiError(400, "BadRequest", "Upgrade request required");
      await admitConnection(this.#deps.engine, { target, query, user });
      await connect.upgrade(request, socket, { target, query, user, head });
      asking.audit?.responded(SWITCHING_PROTOCOLS);
    } catch (error) {
      const known = error instanceof ApiError ? error : internalError(error);
      asking.audit?.responded(known.code, Buffer.from(JSON.stringify(known.toStatus())));
      refuseUpgrade(socket, known, asking.auditId);
    }
  }
}

function refuseUpgrade(socket: Duplex, known: ApiError, auditId: string): void {
  const body = JSON.stringify(known.toStatus());
  socket.end(`HTTP/1.1 ${known.code} ${known.reason || "Error"}\r\nAudit-Id: ${auditId}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
}
