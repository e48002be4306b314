// The server's end of a WebSocket on an upgraded socket: messages in order, with the socket's own back-pressure.
// What messages carry is the caller's.
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { encodeFrame, type Frame, FrameParser, Opcode } from "./frames.ts";

const HANDSHAKE_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MAX_MESSAGE_BYTES = 32 << 20;
/** How long the peer is given to close its end after ours. */
const LINGER_MS = 5_000;
const PROTOCOL_ERROR = 1002;

/** Whether the request asks for a WebSocket. */
export function isWebSocketRequest(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

/** The sub-protocols the client offers, in its order. */
export function offeredProtocols(request: IncomingMessage): string[] {
  return (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim()).filter(Boolean);
}

/** One open WebSocket. `closed` resolves when the socket is gone, however that came about. */
export class WebSocketConnection {
  readonly closed: Promise<void>;
  /** Set by the user of the connection; called for each complete message. */
  onMessage: (message: Buffer) => void = () => {};
  readonly #socket: Duplex;
  readonly #parser = new FrameParser();
  readonly #holds = new Set<unknown>();
  #parts: Buffer[] = [];
  #isClosing = false;

  /** Answers the handshake on the socket; `head` is what the client sent behind it. */
  static accept(request: IncomingMessage, socket: Duplex, options: { readonly protocol: string | undefined; readonly head: Buffer }): WebSocketConnection {
    const key = new Bun.CryptoHasher("sha1").update(`${String(request.headers["sec-websocket-key"])}${HANDSHAKE_GUID}`).digest("base64");
    const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", `Sec-WebSocket-Accept: ${key}`, ...(options.protocol ? [`Sec-WebSocket-Protocol: ${options.protocol}`] : []), "", ""];
    socket.write(lines.join("\r\n"));
    return new WebSocketConnection(socket, options.head);
  }

  private constructor(socket: Duplex, head: Buffer) {
    this.#socket = socket;
    // It may have gone while it was asked who the client is.
    this.closed = new Promise((resolve) => (socket.destroyed ? resolve() : socket.once("close", resolve)));
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.destroy());
    // Messages that came with the handshake wait until the caller has set `onMessage`.
    queueMicrotask(() => {
      if (head.length > 0) this.#feed(head);
      socket.on("data", (chunk: Buffer) => this.#feed(chunk));
      socket.resume();
    });
  }

  /** Sends one message; `done` is called once the socket has taken it, or is gone. */
  send(message: Uint8Array, options: { readonly text?: boolean; readonly done?: () => void } = {}): void {
    if (this.#isClosing || this.#socket.destroyed) {
      options.done?.();
      return;
    }
    this.#socket.write(encodeFrame(options.text ? Opcode.Text : Opcode.Binary, message), () => options.done?.());
  }

  /** Stops reading while anybody holds. */
  hold(holder: unknown): void {
    this.#holds.add(holder);
    this.#socket.pause();
  }

  release(holder: unknown): void {
    if (this.#holds.delete(holder) && this.#holds.size === 0) this.#socket.resume();
  }

  /** Sends what is queued, says goodbye and closes the socket. */
  close(code = 1000): void {
    if (this.#isClosing || this.#socket.destroyed) return;
    this.#isClosing = true;
    this.#socket.end(encodeFrame(Opcode.Close, Buffer.from([code >> 8, code & 0xff])));
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once("close", () => clearTimeout(timer));
  }

  #feed(chunk: Buffer): void {
    try {
      for (const frame of this.#parser.feed(chunk)) this.#onFrame(frame);
    } catch {
      this.close(PROTOCOL_ERROR);
    }
  }

  #onFrame({ fin, opcode, payload }: Frame): void {
    switch (opcode) {
      case Opcode.Ping: return void this.#socket.write(encodeFrame(Opcode.Pong, payload));
      case Opcode.Pong: return;
      case Opcode.Close: return this.close(payload.length >= 2 ? payload.readUInt16BE(0) : 1000);
    }
    this.#parts.push(payload);
    if (this.#parts.reduce((sum, part) => sum + part.length, 0) > MAX_MESSAGE_BYTES) throw new RangeError("a WebSocket message is too large");
    if (!fin) return;
    const message = this.#parts.length === 1 ? payload : Buffer.concat(this.#parts);
    this.#parts = [];
    this.onMessage(message);
  }
}
