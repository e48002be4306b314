// The node's own HTTPS API on port 10250: TLS, who may enter, and which handler serves a path.
// Handlers are in files of their own; figures and configuration come from the providers given in.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { HealthFigures } from "../../api/healthfigures.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { logger } from "../../lib/log.ts";
import type { Pod } from "../../api/types.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { isWebSocketRequest } from "../websocket/connection.ts";
import { AccessDenied, admit, type NodeAuthority } from "./access.ts";
import { type LogSink, responseSink, serveContainerLogs, webSocketSink } from "./container-logs.ts";
import { type NodePods, NodeRequestError, readySandbox, runningContainer } from "./containers.ts";
import { answerHealth, type HealthChecks } from "./health.ts";
import { serveNodeLogs } from "./node-logs.ts";
import { servePortForward } from "./port-forward.ts";
import { serveAttach, serveExec, wantedStreams } from "./remote-command.ts";
import { refuse, type Upgrade } from "./upgrade.ts";

/** A serving certificate, PEM. */
export interface ServingCertificate {
  readonly cert: string;
  readonly key: string;
}

/** A page whose content others know: JSON of a value, or Prometheus text. */
export type Page = { readonly type: "json"; readonly body: () => Promise<unknown> | unknown } | { readonly type: "text"; readonly body: () => Promise<string> | string };

export interface NodeServerOptions {
  readonly runtime: Runtime;
  readonly pods: NodePods;
  readonly authority: NodeAuthority;
  readonly certificate: ServingCertificate;
  readonly clock: Clock;
  readonly address: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** By path: `/configz`, `/stats/summary`, `/metrics`, `/metrics/resource`, `/metrics/cadvisor`, `/metrics/probes` and the like. */
  readonly pages: Readonly<Record<string, Page>>;
  /** Named checks behind `/healthz`; a string is what is wrong. */
  readonly health: HealthChecks;
  /** Told of every request that was answered, or whose streams have ended. */
  readonly onRequest?: (request: AnsweredRequest) => void;
}

/** One request, as metrics group it. */
export interface AnsweredRequest {
  readonly method: string;
  /** The first part of its path, where that is one this server knows; else `other`. */
  readonly path: string;
  readonly isLongRunning: boolean;
  readonly ms: number;
}

/** As upstream's streamingConnectionIdleTimeout. */
const IDLE_STREAM_MS = 4 * 60 * 60_000;
const EXEC_TIMEOUT_MS = 10 * 60_000;
const MAX_RUN_BYTES = 16 << 20;
const METHODS = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
const LONG_RUNNING: ReadonlySet<string> = new Set(["exec", "attach", "portForward", "debug"]);
const KNOWN_PATHS: ReadonlySet<string> = new Set([...LONG_RUNNING, "configz", "containerLogs", "healthz", "logs", "metrics", "metrics/cadvisor", "metrics/probes", "metrics/resource", "metrics/slis", "pods", "run", "runningpods", "stats"]);
const PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8";

/** Serves until stopped; the certificate can be changed while it does. */
export class NodeServer implements Component {
  readonly name = "node-server";
  readonly #options: NodeServerOptions;
  readonly #server: Http2SecureServer;
  readonly #sockets = new Set<Duplex>();
  readonly #log = logger("node-server");
  readonly #health = new HealthFigures();

  constructor(options: NodeServerOptions) {
    this.#options = options;
    const server = createSecureServer({ ...options.certificate, allowHTTP1: true, requestCert: true, rejectUnauthorized: false });
    this.#server = server;
    // HTTP/1.1 requests are node:http's own; those of HTTP/2 are made to look alike.
    server.on("request", (request, response) => {
      this.#observe(request as unknown as IncomingMessage, response as unknown as ServerResponse);
      void this.#onRequest(request as unknown as IncomingMessage, response as unknown as ServerResponse);
    });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#observe(request, socket);
      void this.#onUpgrade({ request, socket, head });
    });
    server.on("connection", (socket: Duplex) => this.#track(socket));
    server.on("secureConnection", (socket: Duplex) => this.#track(socket));
    server.on("tlsClientError", () => {});
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#options.port, this.#options.address, () => resolve());
    });
  }

  /** Cuts open connections too. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
      resolve();
    });
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  /** New connections get this certificate; open ones keep theirs. */
  setCertificate(certificate: ServingCertificate): void {
    this.#server.setSecureContext({ ...certificate });
  }

  #track(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
  }

  #observe(request: IncomingMessage, end: ServerResponse | Duplex): void {
    const { onRequest, clock } = this.#options;
    if (!onRequest) return;
    const [begin, path] = [clock.monotonic(), metricPath(urlOf(request).pathname)];
    end.once("close", () => onRequest({ method: METHODS.includes(request.method ?? "") ? (request.method as string) : "other", path, isLongRunning: LONG_RUNNING.has(path), ms: clock.monotonic() - begin }));
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#admit(request);
      await this.#serve(request, response);
    } catch (error) {
      const { code, message } = this.#answerTo(error);
      if (response.headersSent) return void response.end();
      response.writeHead(code, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
      response.end(message);
    }
  }

  async #onUpgrade(upgrade: Upgrade): Promise<void> {
    const { request, socket } = upgrade;
    (socket as TLSSocket).setTimeout?.(IDLE_STREAM_MS, () => socket.destroy());
    try {
      await this.#admit(request);
      await this.#serveUpgrade(upgrade);
    } catch (error) {
      const { code, message } = this.#answerTo(error);
      refuse(upgrade, code, message);
    }
  }

  #admit(request: IncomingMessage): Promise<unknown> {
    const peer = (request.socket as TLSSocket).getPeerCertificate?.();
    const bearerToken = /^Bearer (.+)$/i.exec(request.headers.authorization ?? "")?.[1];
    const credentials = { peerCertificate: peer?.raw, bearerToken };
    return admit(this.#options.authority, { credentials, method: request.method ?? "GET", path: urlOf(request).pathname });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = urlOf(request);
    const [, root = "", ...rest] = pathname.split("/").map(decodeURIComponent);
    if (root === "containerLogs") return this.#serveLogs(rest, searchParams, responseSink(response));
    if (root === "run" && request.method === "POST") return this.#serveRun(rest, searchParams, response);
    if (["exec", "attach", "portForward"].includes(root)) throw new NodeRequestError(400, "Upgrade request required");
    if (root === "logs") return serveNodeLogs(rest.join("/"), response);
    if (root === "healthz") return answerHealth(this.#options.health, rest[0], response, this.#health);
    if (root === "pods" || root === "runningpods") return sendJson(response, { kind: "PodList", apiVersion: "v1", metadata: {}, items: this.#options.pods.list() });
    if (pathname === "/metrics/slis") return sendText(response, this.#health.text());
    const page = this.#options.pages[pathname.replace(/(.)\/$/, "$1")];
    if (!page) throw new NodeRequestError(404, "404 page not found\n");
    if (page.type === "json") return sendJson(response, await page.body());
    sendText(response, await page.body());
  }

  async #serveUpgrade(upgrade: Upgrade): Promise<void> {
    const { runtime } = this.#options;
    const { pathname, searchParams } = urlOf(upgrade.request);
    const [, root = "", ...rest] = pathname.split("/").map(decodeURIComponent);
    if (root === "portForward") {
      const pod = this.#pod(rest[0], rest[1], rest[2]);
      const sandbox = await readySandbox(runtime, pod);
      return servePortForward(upgrade, { dial: (port) => runtime.streaming.portForward(sandbox, port), podName: pod.metadata.name ?? "", podUid: pod.metadata.uid ?? "" });
    }
    if (root === "containerLogs" && isWebSocketRequest(upgrade.request)) return this.#serveLogs(rest, searchParams, webSocketSink(upgrade));
    if (root !== "exec" && root !== "attach") throw new NodeRequestError(404, "404 page not found\n");
    const wanted = wantedStreams(searchParams);
    if (!wanted) throw new NodeRequestError(400, "you must specify at least 1 of stdin, stdout, stderr");
    const pod = this.#pod(rest[0], rest[1], rest.length > 3 ? rest[2] : undefined);
    const containerId = await runningContainer(runtime, pod, rest.at(-1) ?? "");
    const target = { streaming: runtime.streaming, containerId };
    if (root === "attach") return serveAttach(upgrade, wanted, target);
    return serveExec(upgrade, wanted, { ...target, command: searchParams.getAll("command") });
  }

  async #serveLogs([namespace, name, container = ""]: string[], query: URLSearchParams, sink: LogSink): Promise<void> {
    const pod = this.#options.pods.get(namespace ?? "", name ?? "");
    if (!pod) throw new NodeRequestError(404, `pod "${name}" does not exist`);
    await serveContainerLogs(this.#options, { pod, container, query }, sink);
  }

  async #serveRun(path: string[], query: URLSearchParams, response: ServerResponse): Promise<void> {
    const pod = this.#pod(path[0], path[1], path.length > 3 ? path[2] : undefined);
    const id = await runningContainer(this.#options.runtime, pod, path.at(-1) ?? "");
    const { output } = await this.#options.runtime.streaming.execSync(id, (query.get("cmd") ?? "").split(" "), { timeoutMs: EXEC_TIMEOUT_MS, maxBytes: MAX_RUN_BYTES });
    response.writeHead(200, { "content-type": "application/json" });
    response.end(output);
  }

  #pod(namespace = "", name = "", uid?: string): Pod {
    const pod = this.#options.pods.get(namespace, name);
    if (!pod) throw new NodeRequestError(404, "pod does not exist");
    if (uid && pod.metadata.uid !== uid) throw new NodeRequestError(404, "pod not found");
    return pod;
  }

  #answerTo(error: unknown): { code: number; message: string } {
    if (error instanceof AccessDenied || error instanceof NodeRequestError) return error;
    this.#log.error({ err: error }, "a request failed");
    return { code: 500, message: error instanceof Error ? error.message : String(error) };
  }
}

function urlOf(request: IncomingMessage): URL {
  return new URL(request.url ?? "/", "https://node");
}

function metricPath(pathname: string): string {
  const [, root = "", page] = pathname.split("/");
  const path = root === "metrics" && page ? `${root}/${page}` : root;
  return KNOWN_PATHS.has(path) ? path : "other";
}

function sendText(response: ServerResponse, text: string): void {
  response.writeHead(200, { "content-type": PROMETHEUS_TEXT });
  response.end(text);
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
