// Sends requests as they are, over HTTP/2, HTTP/1.1 or a raw connection, and reports whatever comes back.
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import { connect as connectTls } from "node:tls";
import type { ClientCertificate } from "../../api/client/transport.ts";
import type { Shot } from "./shots.ts";

export type Protocol = "h2" | "h1";

export interface Reply {
  /** 0 when there was none. */
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  readonly ms: number;
  /** Why there is no reply. */
  readonly error?: string;
}

export interface Server {
  readonly url: URL;
  readonly certificate: ClientCertificate | undefined;
  readonly token: string | undefined;
}

/** Longer than any honest reply takes: a webhook may be waited for for half a minute, a request lasts a minute at most. */
export const PATIENCE_MS = 65_000;
const WATCH_MS = 1500;
const MAX_READ_BYTES = 64 * 1024 * 1024;

/** Connections to one server. */
export class Sender {
  #session: ClientHttp2Session | undefined;
  readonly #agent: Agent;

  constructor(private readonly server: Server) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: 8, ...this.#tls() });
  }

  /** Sends one request; never throws. */
  async send(shot: Shot, protocol: Protocol): Promise<Reply> {
    const begin = performance.now();
    try {
      const reply = await (shot.upgrade ? this.#upgrade(shot) : protocol === "h2" ? this.#http2(shot) : this.#http1(shot));
      return { ...reply, ms: performance.now() - begin };
    } catch (error) {
      return { status: 0, contentType: "", body: Buffer.alloc(0), ms: performance.now() - begin, error: (error as Error).message };
    }
  }

  close(): void {
    this.#session?.destroy();
    this.#agent.destroy();
  }

  #tls(): Record<string, unknown> {
    const { certificate } = this.server;
    return { rejectUnauthorized: false, ...(certificate && { cert: certificate.certPem, key: certificate.keyPem }) };
  }

  #headers(shot: Shot): Record<string, string> {
    const { token } = this.server;
    return { ...(token && { authorization: `Bearer ${token}` }), ...shot.headers };
  }

  #http2(shot: Shot): Promise<Omit<Reply, "ms">> {
    if (!this.#session || this.#session.destroyed || this.#session.closed) {
      this.#session = connectHttp2(this.server.url.origin, this.#tls());
      this.#session.on("error", () => {});
    }
    const session = this.#session;
    return new Promise((resolve, reject) => {
      const { "content-length": _, expect: __, ...headers } = this.#headers(shot);
      const stream = session.request({ ":method": shot.method, ":path": shot.path, ...headers }, { endStream: shot.body === undefined });
      let head: Record<string, unknown> = {};
      const reading = collect(isWatch(shot), (body) => {
        const status = Number(head[":status"] ?? 0);
        stream.close();
        if (status === 0) reject(new Error("the stream ended without a reply"));
        else resolve({ status, contentType: String(head["content-type"] ?? ""), body });
      }, reject);
      stream.on("response", (found) => {
        head = found;
        reading.begin();
      });
      stream.on("data", reading.data);
      stream.on("end", reading.end);
      stream.on("error", (error: Error) => reading.fail(error));
      stream.on("close", reading.end);
      if (shot.body !== undefined) stream.end(shot.body);
    });
  }

  #http1(shot: Shot): Promise<Omit<Reply, "ms">> {
    const { hostname, port } = this.server.url;
    return new Promise((resolve, reject) => {
      const { "content-length": _, expect: __, ...headers } = this.#headers(shot);
      // A DELETE's body is sent without a length unless one is named: the server would take it for another request.
      const length = shot.body && { "content-length": shot.body.length };
      const request = httpsRequest({ hostname, port, method: shot.method, path: shot.path, headers: { ...headers, ...length }, agent: this.#agent, ...this.#tls() });
      request.on("error", reject);
      request.on("response", (response) => {
        const reading = collect(isWatch(shot), (body) => {
          resolve({ status: response.statusCode ?? 0, contentType: String(response.headers["content-type"] ?? ""), body });
          if (!response.complete) request.destroy();
        }, reject);
        reading.begin();
        response.on("data", reading.data);
        response.on("end", reading.end);
        response.on("error", reading.fail);
        response.on("close", reading.end);
      });
      request.setTimeout(PATIENCE_MS, () => request.destroy(new Error("no reply in time")));
      request.end(shot.body);
    });
  }

  /** Asks for an upgrade in raw bytes and reads for a moment. */
  #upgrade(shot: Shot): Promise<Omit<Reply, "ms">> {
    const { hostname, port } = this.server.url;
    const headers = { host: `${hostname}:${port}`, connection: "Upgrade", upgrade: shot.upgrade as string, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13", "sec-websocket-protocol": "v5.channel.k8s.io, v4.channel.k8s.io", "x-stream-protocol-version": "v4.channel.k8s.io", ...this.#headers(shot) };
    const text = `${shot.method} ${shot.path} HTTP/1.1\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
    return new Promise((resolve, reject) => {
      const socket = connectTls({ host: hostname, port: Number(port), ALPNProtocols: ["http/1.1"], ...this.#tls() });
      const reading = collect(true, (bytes) => {
        socket.destroy();
        const reply = parsed(bytes);
        if (reply) resolve(reply);
        else reject(new Error(`no reply to an upgrade: ${JSON.stringify(bytes.toString("latin1", 0, 80))}`));
      }, reject);
      socket.on("secureConnect", () => {
        socket.write(text);
        socket.write(Buffer.from([0x81, 0x85, 1, 2, 3, 4, 0, 0, 0, 0, 0]));
      });
      // The other end may be a node that takes its time not to answer.
      socket.once("data", reading.begin);
      socket.on("data", reading.data);
      socket.on("close", reading.end);
      socket.on("error", reading.fail);
    });
  }
}

/** Gathers a body until its end; what streams without end is read for a moment only. */
function collect(isEndless: boolean, done: (body: Buffer) => void, failed: (error: Error) => void): { begin(): void; data(chunk: Buffer): void; end(): void; fail(error: Error): void } {
  const chunks: Buffer[] = [];
  let size = 0;
  let timer = setTimeout(() => failed(new Error("no reply in time")), PATIENCE_MS);
  const end = (): void => {
    clearTimeout(timer);
    done(Buffer.concat(chunks));
  };
  return {
    begin: () => {
      if (!isEndless) return;
      clearTimeout(timer);
      timer = setTimeout(end, WATCH_MS);
    },
    data: (chunk) => {
      if ((size += chunk.length) < MAX_READ_BYTES) chunks.push(chunk);
    },
    end,
    fail: (error) => {
      clearTimeout(timer);
      failed(error);
    },
  };
}

function isWatch({ path, method }: Shot): boolean {
  return method === "GET" && path.startsWith("/api") && /[?&](watch|follow)=|\/watch\//.test(path);
}

/** A reply in raw bytes, if it is one; switching protocols has no body of interest. */
function parsed(bytes: Buffer): Omit<Reply, "ms"> | undefined {
  const text = bytes.toString("latin1");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
  if (status === 0) return undefined;
  const at = text.indexOf("\r\n\r\n");
  const isChunked = /transfer-encoding: *chunked/i.test(text.slice(0, at));
  return { status, contentType: isChunked ? "" : (/content-type: *([^\r]*)/i.exec(text)?.[1] ?? ""), body: status === 101 ? Buffer.alloc(0) : bytes.subarray(at + 4) };
}
