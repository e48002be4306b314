// The transport: TLS with HTTP/2 and HTTP/1.1 on one port, and an orderly end.
// Paths of the API are looked up in the table of kinds, which no generic router does better; hence none is used.
import { createSecureServer, type Http2SecureServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { logger } from "../../../lib/log.ts";
import { Connections } from "./connections.ts";
import type { Request, Response } from "./exchange.ts";
import { RequestHandler, type ServeDeps } from "./serve.ts";
import { StreamRequest, StreamResponse } from "./stream.ts";

/** The server's own key pair, PEM. */
export interface ServingCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface HttpDeps extends ServeDeps {
  readonly certificate: ServingCertificate;
  /** PEM of the authorities that clients are asked for certificates of; certificates of others are taken too, and judged later. */
  readonly clientAuthorities?: readonly string[] | undefined;
  readonly shutdown?: ShutdownOptions | undefined;
}

/** How an orderly end goes about it. */
export interface ShutdownOptions {
  /** How long everything is still served while `/readyz` fails already, so that load balancers notice. */
  readonly delayMs: number;
  /** How long requests under way may take. */
  readonly graceMs: number;
}

const log = logger("apiserver");
export const DEFAULT_SHUTDOWN: ShutdownOptions = { delayMs: 0, graceMs: 2_000 };
/** The default of 10 resets streams in the middle of a reply when several large lists share a connection. */
const SESSION_MEMORY_MB = 1_000;
const HANDSHAKE_MS = 32_000;

/** Listens and serves until stopped. */
export class HttpServer {
  readonly #server: Http2SecureServer;
  readonly #handler: RequestHandler;
  readonly #connections: Connections;
  readonly #shutdown: ShutdownOptions;
  readonly #clientAuthorities: { readonly ca?: string[] };
  #stopped: Promise<void> | undefined;

  constructor(deps: HttpDeps) {
    const { cert, key } = deps.certificate;
    this.#shutdown = deps.shutdown ?? DEFAULT_SHUTDOWN;
    this.#clientAuthorities = deps.clientAuthorities?.length ? { ca: [...deps.clientAuthorities] } : {};
    this.#server = createSecureServer({ cert, key, ...this.#clientAuthorities, allowHTTP1: true, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"], handshakeTimeout: HANDSHAKE_MS, maxSessionMemory: SESSION_MEMORY_MB, settings: { maxConcurrentStreams: 1000, initialWindowSize: 1024 * 1024 } });
    this.#connections = new Connections(this.#server);
    const readiness = { name: "shutdown", readinessOnly: true, check: () => this.#requireRunning() };
    const handler = new RequestHandler({ ...deps, documents: { ...deps.documents, checks: [...deps.documents.checks, readiness] } }, this.#connections);
    this.#handler = handler;
    this.#server.on("request", (request, response) => {
      if (this.#stopped) response.setHeader("connection", "close");
      void handler.serve(request, response as unknown as Response);
    });
    // Listening for HTTP/1.1 requests also wraps every HTTP/2 stream in compatibility objects; those are taken as they are instead.
    this.#server.removeAllListeners("stream");
    this.#server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, rawHeaders: string[]) => void handler.serve(new StreamRequest(stream, headers, rawHeaders), new StreamResponse(stream)));
    this.#server.on("upgrade", (request: Request, socket: Duplex, head: Buffer) => void handler.upgrade(request, socket, head));
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
    (this.#server as unknown as { setSecureContext(options: ServingCertificate & { ca?: string[] }): void }).setSecureContext({ cert, key, ...this.#clientAuthorities });
  }

  /** Says that it is not ready any more, then takes no new connections, ends watches, lets requests finish and closes what is left. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    const { delayMs, graceMs } = this.#shutdown;
    if (delayMs > 0) await Bun.sleep(delayMs);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#connections.leave();
    this.#handler.stop();
    await this.#handler.finished(graceMs);
    // What is left are idle connections and streams to nodes, which have no end of their own.
    this.#connections.destroy();
    await closed;
  }

  #requireRunning(): void {
    if (this.#stopped) throw new Error("process is shutting down");
  }
}
