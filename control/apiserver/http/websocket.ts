// A watch over a WebSocket: every event is a text message, as upstream sends them; what the client says is not listened to.
// It looks like any other response to those who write it, and is plain HTTP for as long as there is only an error to tell.
import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import type { Listener, Request, Response } from "./exchange.ts";
import type { Target } from "./target.ts";

export const TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io.";
const LINE_END = 10;
const MAX_RECEIVED_BYTES = 4096;

const handshakes = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_RECEIVED_BYTES, handleProtocols: (offered) => [...offered].find((protocol) => !protocol.startsWith(TOKEN_PROTOCOL)) ?? false });

/** Whether a request to speak another protocol is a watch that wants its events as messages. */
export function isWatchSocket(target: Target, { headers }: Request): boolean {
  return target.type === "resource" && target.verb === "watch" && isWebSocket(headers);
}

export function isWebSocket(headers: Request["headers"]): boolean {
  return String(headers["upgrade"] ?? "").toLowerCase() === "websocket";
}

/** The token a WebSocket client offers as a sub-protocol, because browsers let it set no header. An empty one for what is no token. */
export function tokenProtocolOf(headers: Request["headers"]): string | undefined {
  const offered = String(headers["sec-websocket-protocol"] ?? "").split(",").map((protocol) => protocol.trim());
  const tokens = offered.filter((protocol) => protocol.startsWith(TOKEN_PROTOCOL));
  if (tokens.length === 0 || !isWebSocket(headers)) return undefined;
  const text = (tokens[0] as string).slice(TOKEN_PROTOCOL.length);
  // Another protocol must be there to be agreed on.
  if (tokens.length > 1 || tokens.length === offered.length || !/^[\w-]+$/.test(text)) return "";
  return Buffer.from(text, "base64url").toString();
}

/** A reply that becomes a WebSocket once it succeeds. */
export class SocketResponse implements Response {
  statusCode = 0;
  writableEnded = false;
  readonly #headers: Record<string, string> = {};
  #messages: WebSocket | undefined;

  constructor(private readonly request: Request, private readonly socket: Duplex, private readonly head: Buffer) {
    socket.on("error", () => socket.destroy());
  }

  get headersSent(): boolean {
    return this.statusCode !== 0;
  }

  get destroyed(): boolean {
    return this.socket.destroyed;
  }

  get writableLength(): number {
    return this.#messages?.bufferedAmount ?? this.socket.writableLength;
  }

  setHeader(name: string, value: string): void {
    this.#headers[name] = value;
  }

  writeHead(status: number, headers: Readonly<Record<string, string | string[]>>): void {
    this.statusCode = status;
    if (status === 200) return this.#shakeHands();
    const lines = Object.entries({ ...this.#headers, ...headers, connection: "close" }).flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}\r\n`));
    this.socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Error"}\r\n${lines.join("")}\r\n`);
  }

  write(chunk: Buffer): boolean {
    if (!this.#messages) return this.socket.write(chunk);
    let from = 0;
    for (let end = chunk.indexOf(LINE_END); end >= 0; end = chunk.indexOf(LINE_END, from)) {
      this.#messages.send(chunk.toString("utf8", from, end + 1));
      from = end + 1;
    }
    return this.writableLength === 0;
  }

  end(chunk?: Buffer | string): void {
    if (this.writableEnded) return;
    this.writableEnded = true;
    if (this.#messages) this.#messages.close(1000);
    else this.socket.end(chunk);
  }

  on(event: string, listener: Listener): this {
    this.socket.on(event, listener);
    return this;
  }

  once(event: string, listener: Listener): this {
    this.socket.once(event, listener);
    return this;
  }

  destroy(): void {
    this.socket.destroy();
  }

  #shakeHands(): void {
    handshakes.handleUpgrade(this.request as unknown as IncomingMessage, this.socket, this.head, (messages) => {
      this.#messages = messages;
      messages.on("error", () => this.socket.destroy());
    });
  }
}
