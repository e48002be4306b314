// The connections of the listener: who they are, how long they may be idle, and how they are asked to leave.
// Limits as kube-apiserver's: 32 seconds to the first request, 90 idle; a client that only opens and resets streams is cut off.
import type { IncomingMessage } from "node:http";
import type { Http2SecureServer, ServerHttp2Session } from "node:http2";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { logger } from "../../../lib/log.ts";
import type { Request } from "./exchange.ts";
import { StreamRequest } from "./stream.ts";

const log = logger("apiserver");
const SWEEP_EVERY_MS = 5_000;
const FIRST_REQUEST_MS = 32_000;
const IDLE_MS = 90_000;
const RESET_WINDOW_MS = 10_000;
const MOST_RESETS = 5_000;
/** HTTP/2's ENHANCE_YOUR_CALM and NO_ERROR. */
const CALM_DOWN = 11;
const NO_ERROR = 0;

/** One connection, with whatever its requests share. */
export class Connection {
  /** DER of what the client showed; null when it showed nothing. */
  certificate: Uint8Array | null | undefined;
  #open = 0;
  #hasServed = false;
  #activeMs: number;
  #resets = 0;
  #windowMs: number;

  /** `end` is the session or, for HTTP/1.1, the socket. */
  constructor(private readonly end: ServerHttp2Session | Duplex, nowMs: number) {
    this.#activeMs = this.#windowMs = nowMs;
  }

  /** Where it comes from; empty when that is not known any more. */
  get remoteAddress(): string {
    const socket = ("socket" in this.end ? this.end.socket : this.end) as { remoteAddress?: string } | undefined;
    return socket?.remoteAddress ?? "";
  }

  begin(): void {
    this.#open++;
    this.#hasServed = true;
  }

  finish(nowMs: number): void {
    this.#open--;
    this.#activeMs = nowMs;
  }

  /** Notes that the client took a request back. */
  reset(nowMs: number): void {
    if (nowMs - this.#windowMs > RESET_WINDOW_MS) [this.#resets, this.#windowMs] = [0, nowMs];
    if (++this.#resets !== MOST_RESETS) return;
    log.warn({ resets: this.#resets }, "a client opens requests only to take them back; its connection is closed");
    if ("goaway" in this.end) this.end.goaway(CALM_DOWN);
    this.destroy();
  }

  isStale(nowMs: number): boolean {
    return this.#open === 0 && nowMs - this.#activeMs > (this.#hasServed ? IDLE_MS : FIRST_REQUEST_MS);
  }

  /** Takes no further requests; those under way are finished. */
  leave(): void {
    const { end } = this;
    if (end.destroyed) return;
    if ("goaway" in end) {
      end.goaway(NO_ERROR);
      if (this.#open === 0) end.close();
    } else if (this.#open === 0) end.end();
  }

  destroy(): void {
    this.end.destroy();
  }
}

/** Keeps account of a server's connections. */
export class Connections {
  readonly #known = new WeakMap<object, Connection>();
  readonly #all = new Set<Connection>();
  /** Also those that have not said a word. */
  readonly #sockets = new Set<Duplex>();
  readonly #sweeper: Timer;

  constructor(server: Http2SecureServer) {
    server.on("session", (session: ServerHttp2Session) => this.#add(session));
    server.on("secureConnection", (socket: TLSSocket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
      if (socket.alpnProtocol !== "h2") this.#add(socket);
    });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_EVERY_MS);
    this.#sweeper.unref();
  }

  /** The connection a request came over. */
  of(request: Request): Connection {
    if (request instanceof StreamRequest) {
      const session = request.stream.session as ServerHttp2Session | undefined;
      return session ? (this.#known.get(session) ?? this.#add(session)) : new Connection(request.stream, performance.now());
    }
    const { socket } = request as unknown as IncomingMessage;
    return this.#known.get(socket) ?? this.#add(socket);
  }

  /** Asks everybody to leave. */
  leave(): void {
    for (const connection of this.#all) connection.leave();
  }

  /** Closes what is left. */
  destroy(): void {
    clearInterval(this.#sweeper);
    for (const connection of this.#all) connection.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  #add(end: ServerHttp2Session | Duplex): Connection {
    const connection = new Connection(end, performance.now());
    this.#known.set(end, connection);
    this.#all.add(connection);
    end.on("close", () => this.#all.delete(connection));
    return connection;
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#all) if (connection.isStale(now)) connection.leave();
  }
}

/** The certificate of a request's connection, asked for once. */
export function certificateOf(connection: Connection, request: Request): Uint8Array | undefined {
  if (connection.certificate === undefined) {
    const socket = (request instanceof StreamRequest ? request.stream.session?.socket : (request as unknown as IncomingMessage).socket) as TLSSocket | undefined;
    connection.certificate = (socket?.getPeerCertificate?.(false)?.raw as Uint8Array | undefined) ?? null;
  }
  return connection.certificate ?? undefined;
}
