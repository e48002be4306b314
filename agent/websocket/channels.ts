// Kubernetes' channel protocols on a WebSocket: the first byte of a message, or digit of a base64 one, names the stream.
// Which channel means what is the caller's.
import { Duplex } from "node:stream";
import type { WebSocketConnection } from "./connection.ts";

/** v5's channel whose one byte names a channel that the client has closed. */
const CLOSE_CHANNEL = 255;

/** Streams by channel number over one connection. */
export class Channels {
  readonly #connection: WebSocketConnection;
  readonly #isBase64: boolean;
  readonly #streams = new Map<number, ChannelStream>();

  /** `protocol` is the negotiated one; its name says whether messages are base64. */
  constructor(connection: WebSocketConnection, protocol: string) {
    this.#connection = connection;
    this.#isBase64 = protocol.includes("base64.");
    connection.onMessage = (message) => this.#onMessage(message);
    void connection.closed.then(() => this.#streams.forEach((stream) => stream.endReading()));
  }

  /** The stream of a channel; messages for channels nobody opened are dropped. */
  open(channel: number): Duplex {
    const stream = new ChannelStream(channel, this.#connection, (payload, done) => this.#send(channel, payload, done));
    this.#streams.set(channel, stream);
    return stream;
  }

  /** An empty message on a channel. */
  greet(channel: number): void {
    this.#send(channel, Buffer.alloc(0), () => {});
  }

  #send(channel: number, payload: Buffer, done: () => void): void {
    if (this.#isBase64) this.#connection.send(Buffer.from(`${channel}${payload.toString("base64")}`), { text: true, done });
    else this.#connection.send(Buffer.concat([Buffer.from([channel]), payload]), { done });
  }

  #onMessage(message: Buffer): void {
    const first = message[0];
    if (first === undefined) return;
    const channel = this.#isBase64 ? first - 0x30 : first;
    const payload = this.#isBase64 ? Buffer.from(message.toString("latin1", 1), "base64") : message.subarray(1);
    if (channel === CLOSE_CHANNEL) this.#streams.get(payload[0] ?? CLOSE_CHANNEL)?.endReading();
    else this.#streams.get(channel)?.receive(payload);
  }
}

class ChannelStream extends Duplex {
  #ended = false;

  constructor(readonly channel: number, readonly connection: WebSocketConnection, readonly transmit: (payload: Buffer, done: () => void) => void) {
    super({ allowHalfOpen: true });
    this.on("error", () => {});
    // Nothing is asked for after the last byte, so that reading it is all that says there is room again.
    this.on("end", () => connection.release(this));
  }

  receive(payload: Buffer): void {
    if (this.#ended || this.destroyed) return;
    if (payload.length > 0 && !this.push(payload)) this.connection.hold(this);
  }

  endReading(): void {
    if (this.#ended || this.destroyed) return;
    this.#ended = true;
    this.push(null);
  }

  override _read(): void {
    this.connection.release(this);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.transmit(chunk, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.connection.release(this);
    done(error);
  }
}

/** The connection as one byte stream, each message a piece of it; how SPDY is tunnelled. */
export function messageStream(connection: WebSocketConnection): Duplex {
  const stream: Duplex = new Duplex({
    allowHalfOpen: true,
    read: () => connection.release(stream),
    write: (chunk: Buffer, _encoding, done) => connection.send(chunk, { done: () => done() }),
    final: (done) => {
      connection.close();
      done();
    },
    destroy: (error, done) => {
      connection.close();
      done(error);
    },
  });
  connection.onMessage = (message) => {
    if (!stream.destroyed && !stream.push(message)) connection.hold(stream);
  };
  void connection.closed.then(() => stream.destroyed || stream.push(null));
  return stream;
}
