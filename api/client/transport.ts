// HTTP/2 over TLS to one server: one connection kept alive, checked by pings and replaced when it dies or credentials change.
// Knows bytes and status codes; what they mean is the client's business.
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type OutgoingHttpHeaders } from "node:http2";
import { readFileSync } from "node:fs";

export interface ClientCertificate {
  readonly certPem: string;
  readonly keyPem: string;
}

export interface TransportOptions {
  /** `https://host:port`, with an optional path prefix. */
  readonly server: string;
  /** Whom to trust; the system's authorities when left out. */
  readonly caPem?: string | undefined;
  readonly insecureSkipVerify?: boolean | undefined;
  /** The name the server's certificate must carry when it is not the host of `server`. */
  readonly tlsServerName?: string | undefined;
  /** Asked before every request; another answer than last time makes a new connection. */
  readonly clientCertificate?: (() => ClientCertificate | undefined) | undefined;
  /** Asked before every request, so that a rotated token is picked up. */
  readonly token?: (() => string | undefined) | undefined;
  readonly userAgent?: string | undefined;
  /** Acts as this user, which the own one must be allowed to. */
  readonly impersonateUser?: string | undefined;
  readonly connectTimeoutMs?: number | undefined;
}

export interface TransportRequest {
  readonly method: string;
  /** Path and query, below the server's own prefix. */
  readonly path: string;
  readonly body?: string | undefined;
  readonly contentType?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A reply whose body is still coming. */
export interface TransportReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: AsyncIterable<string>;
}

/** The server could not be reached, or the connection broke before it answered. */
export class TransportError extends Error {
  override readonly name = "TransportError";
}

const CONNECT_TIMEOUT_MS = 10_000;
const PING_EVERY_MS = 15_000;
const PING_TIMEOUT_MS = 15_000;

/** Sends requests; connects on the first one and again after every loss. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #url: URL;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  #isClosed = false;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#url = new URL(options.server);
  }

  /** Resolves when the reply's head is there; throws TransportError when none comes. */
  async send(request: TransportRequest): Promise<TransportReply> {
    const connection = await this.#connected();
    const stream = connection.session.request(this.#headers(request), { endStream: request.body === undefined });
    if (request.body !== undefined) stream.end(request.body);
    try {
      return await replyOf(stream, request.signal);
    } catch (error) {
      throw new TransportError(`${request.method} ${this.#url.origin}${request.path}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Ends the connection and everything on it; later requests fail. */
  close(): void {
    this.#isClosed = true;
    this.#connection?.session.destroy();
  }

  async #connected(): Promise<Connection> {
    if (this.#isClosed) throw new TransportError("the client is closed");
    const certificate = this.#options.clientCertificate?.();
    const current = this.#connection;
    if (current && isUsable(current) && current.certificate?.certPem === certificate?.certPem) return current;
    if (this.#connecting) return this.#connecting;
    // Streams of the old connection live on until they end by themselves.
    if (current && isUsable(current)) current.session.close();
    this.#connecting = this.#connect(certificate);
    try {
      this.#connection = await this.#connecting;
      return this.#connection;
    } finally {
      this.#connecting = undefined;
    }
  }

  #connect(certificate: ClientCertificate | undefined): Promise<Connection> {
    const { caPem, insecureSkipVerify, tlsServerName, connectTimeoutMs = CONNECT_TIMEOUT_MS } = this.#options;
    return new Promise((resolve, reject) => {
      const session = connect(this.#url.origin, {
        ...(caPem !== undefined && { ca: caPem }),
        ...(certificate && { cert: certificate.certPem, key: certificate.keyPem }),
        ...(tlsServerName !== undefined && { servername: tlsServerName }),
        rejectUnauthorized: !insecureSkipVerify,
      });
      const fail = (error: Error): void => {
        clearTimeout(timer);
        session.destroy();
        reject(new TransportError(`cannot reach ${this.#url.origin}: ${error.message}`, { cause: error }));
      };
      const timer = setTimeout(() => fail(new Error(`no connection within ${connectTimeoutMs} ms`)), connectTimeoutMs);
      session.once("connect", () => {
        clearTimeout(timer);
        if (this.#isClosed) session.destroy();
        resolve(watched({ session, certificate, isGoingAway: false }));
      });
      session.once("error", fail);
      session.once("close", () => fail(new Error("the connection was closed")));
    });
  }

  #headers({ method, path, body, contentType }: TransportRequest): OutgoingHttpHeaders {
    const { userAgent = "minik8s", token, impersonateUser } = this.#options;
    const bearer = token?.();
    return {
      ":method": method, ":path": `${this.#url.pathname.replace(/\/$/, "")}${path}`,
      accept: "application/json", "user-agent": userAgent,
      ...(body !== undefined && { "content-type": contentType ?? "application/json", "content-length": Buffer.byteLength(body) }),
      ...(bearer && { authorization: `Bearer ${bearer}` }),
      ...(impersonateUser !== undefined && { "impersonate-user": impersonateUser }),
    };
  }
}

/** A token read from a file, again whenever a minute has passed. */
export function tokenFromFile(path: string, now: () => number = Date.now): () => string {
  let cached: { token: string; at: number } | undefined;
  return () => {
    if (!cached || now() - cached.at > 60_000) cached = { token: readFileSync(path, "utf8").trim(), at: now() };
    return cached.token;
  };
}

interface Connection {
  readonly session: ClientHttp2Session;
  readonly certificate: ClientCertificate | undefined;
  isGoingAway: boolean;
}

function isUsable({ session, isGoingAway }: Connection): boolean {
  return !isGoingAway && !session.closed && !session.destroyed;
}

/** Notices a peer that vanished without a word: TCP alone would wait for a quarter of an hour. */
function watched(connection: Connection): Connection {
  const { session } = connection;
  session.on("goaway", () => {
    connection.isGoingAway = true;
  });
  session.on("error", () => undefined);
  let deadline: Timer | undefined;
  const pinger = setInterval(() => {
    deadline ??= setTimeout(() => session.destroy(new Error("the server does not answer pings")), PING_TIMEOUT_MS);
    session.ping(() => {
      clearTimeout(deadline);
      deadline = undefined;
    });
  }, PING_EVERY_MS);
  session.once("close", () => {
    clearInterval(pinger);
    clearTimeout(deadline);
  });
  return connection;
}

function replyOf(stream: ClientHttp2Stream, signal: AbortSignal | undefined): Promise<TransportReply> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      stream.close(constants.NGHTTP2_CANCEL);
      reject(new Error("aborted"));
    };
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { once: true });
    stream.once("close", () => {
      signal?.removeEventListener("abort", abort);
      reject(new Error("the connection broke before the server answered"));
    });
    stream.on("error", reject);
    stream.once("response", (headers) => {
      stream.setEncoding("utf8");
      resolve({ status: Number(headers[":status"]), headers: headers as Record<string, string | undefined>, body: stream as AsyncIterable<string> });
    });
  });
}
