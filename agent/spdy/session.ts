// A SPDY/3.1 session over any byte stream, from either end: streams are Duplex, half-closes and resets included.
// Flow control is the transport's, as in the peers this talks to; what streams carry is the caller's.
import { Duplex } from "node:stream";
import { FLAG_FIN, type ControlFrame, controlFrame, dataFrame, type DataFrame, FrameParser, FrameType } from "./frames.ts";
import { HeaderReader, type SpdyHeaders, HeaderWriter } from "./headers.ts";

const RST_PROTOCOL_ERROR = 1;
const RST_REFUSED = 3;
const RST_CANCEL = 5;
/** Open streams of one session; more are refused. */
const MAX_STREAMS = 4096;
/** How long the peer is given to close its end after ours. */
const LINGER_MS = 5_000;
const MAX_FRAME_BYTES = 1 << 20;

/** One stream. `end` closes this direction only; `destroy` before both ended resets it. */
export class SpdyStream extends Duplex {
  readonly #session: SpdySession;
  #localEnded = false;
  #isCut = false;
  remoteEnded = false;

  /** Made by a session, never by others. */
  constructor(session: SpdySession, readonly id: number, readonly headers: SpdyHeaders) {
    super({ allowHalfOpen: true });
    this.#session = session;
    // A lost connection is no reason to end the process when nobody listens.
    this.on("error", () => {});
    // Nothing is asked for after the last byte, so that reading it is all that says there is room again.
    this.on("end", () => session.readable(this));
  }

  /** The peer is gone: what it sent can still be read, what is written goes nowhere. */
  cut(): void {
    this.#isCut = true;
    this.#localEnded = true;
    // Not ended: whoever still writes would be told off for it.
    if (this.readableEnded) return void this.destroy();
    this.once("end", () => this.destroy());
    this.#session.endReading(this);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#isCut) return done();
    for (let offset = 0; offset < chunk.length; offset += MAX_FRAME_BYTES) {
      const isLast = offset + MAX_FRAME_BYTES >= chunk.length;
      this.#session.send(dataFrame(this.id, chunk.subarray(offset, offset + MAX_FRAME_BYTES), false), isLast ? done : undefined);
    }
    if (chunk.length === 0) done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#localEnded = true;
    if (this.#isCut) return done();
    this.#session.send(dataFrame(this.id, Buffer.alloc(0), true), () => done());
  }

  override _read(): void {
    this.#session.readable(this);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#session.forget(this, this.#localEnded && this.remoteEnded ? undefined : RST_CANCEL);
    done(error);
  }
}

export interface SpdySessionOptions {
  readonly isServer: boolean;
  /** Called for each stream the peer opens; it is accepted when this returns. */
  readonly onStream?: (stream: SpdyStream) => void;
}

/** Both ends of a session. `closed` resolves when the transport is gone. */
export class SpdySession {
  readonly closed: Promise<void>;
  readonly #transport: Duplex;
  readonly #options: SpdySessionOptions;
  readonly #parser = new FrameParser();
  readonly #reader = new HeaderReader();
  readonly #writer = new HeaderWriter();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #full = new Set<SpdyStream>();
  #nextId: number;
  #lastPeerId = 0;
  #isClosing = false;

  constructor(transport: Duplex, options: SpdySessionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#nextId = options.isServer ? 2 : 1;
    // It may have gone before anybody listened.
    this.closed = new Promise((resolve) => (transport.destroyed ? resolve() : transport.once("close", () => (this.#end(), resolve()))));
    transport.on("data", (chunk: Buffer) => this.#feed(chunk));
    transport.on("end", () => this.#end());
    transport.on("error", () => transport.destroy());
    transport.resume();
  }

  /** Opens a stream to the peer; writing need not wait for its reply. */
  open(headers: SpdyHeaders): SpdyStream {
    const stream = new SpdyStream(this, this.#nextId, headers);
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    this.send(controlFrame(FrameType.SynStream, 0, Buffer.concat([uint32(stream.id), uint32(0), Buffer.alloc(2), this.#writer.encode(headers)])));
    return stream;
  }

  /** Says goodbye, lets what was written go out, and closes the transport. */
  close(): void {
    if (this.#isClosing || this.#transport.destroyed) return;
    this.send(controlFrame(FrameType.GoAway, 0, Buffer.concat([uint32(this.#lastPeerId), uint32(0)])));
    this.#isClosing = true;
    this.#transport.end();
    const timer = setTimeout(() => this.#transport.destroy(), LINGER_MS);
    this.#transport.once("close", () => clearTimeout(timer));
  }

  /** For streams of this session only. */
  send(frame: Buffer, done?: (error?: Error | null) => void): void {
    if (this.#isClosing || this.#transport.destroyed || this.#transport.writableEnded) {
      done?.(new Error("the SPDY session is closed"));
      return;
    }
    this.#transport.write(frame, done && ((error) => done(error)));
  }

  /** For streams of this session only. */
  readable(stream: SpdyStream): void {
    if (this.#full.delete(stream) && this.#full.size === 0) this.#transport.resume();
  }

  /** For streams of this session only. */
  forget(stream: SpdyStream, resetStatus: number | undefined): void {
    const isKnown = this.#streams.delete(stream.id);
    if (isKnown && resetStatus !== undefined) this.#reset(stream.id, resetStatus);
    this.readable(stream);
  }

  #feed(chunk: Buffer): void {
    try {
      for (const frame of this.#parser.feed(chunk)) {
        if (frame.kind === "data") this.#onData(frame);
        else this.#onControl(frame);
      }
    } catch (error) {
      this.#transport.destroy(error as Error);
    }
  }

  #onData({ streamId, payload, fin }: DataFrame): void {
    const stream = this.#streams.get(streamId);
    if (!stream) return;
    if (payload.length > 0 && !stream.push(payload)) {
      this.#full.add(stream);
      this.#transport.pause();
    }
    if (fin) this.endReading(stream);
  }

  #onControl({ type, flags, payload }: ControlFrame): void {
    switch (type) {
      case FrameType.SynStream: return this.#onSynStream(flags, payload);
      case FrameType.SynReply:
      case FrameType.Headers: {
        // Every header block must be read, because all share one compression window.
        this.#reader.decode(payload.subarray(4));
        const stream = this.#streams.get(payload.readUInt32BE(0));
        if (stream && (flags & FLAG_FIN) !== 0) this.endReading(stream);
        return;
      }
      case FrameType.RstStream: return this.#onReset(payload.readUInt32BE(0));
      case FrameType.Ping: return this.#onPing(payload);
    }
  }

  #onSynStream(flags: number, payload: Buffer): void {
    const id = payload.readUInt32BE(0);
    const headers = this.#reader.decode(payload.subarray(10));
    if ((id & 1) !== (this.#options.isServer ? 1 : 0) || this.#streams.has(id)) return this.#reset(id, RST_PROTOCOL_ERROR);
    if (this.#streams.size >= MAX_STREAMS) return this.#reset(id, RST_REFUSED);
    this.#lastPeerId = id;
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    this.#options.onStream?.(stream);
    this.send(controlFrame(FrameType.SynReply, 0, Buffer.concat([uint32(id), this.#writer.encode({})])));
    if ((flags & FLAG_FIN) !== 0) this.endReading(stream);
  }

  #onReset(id: number): void {
    const stream = this.#streams.get(id);
    if (!stream) return;
    // Peers reset streams to end them, right after their last data.
    this.#streams.delete(id);
    stream.cut();
  }

  #onPing(payload: Buffer): void {
    const isPeers = (payload.readUInt32BE(0) & 1) === (this.#options.isServer ? 1 : 0);
    if (isPeers) this.send(controlFrame(FrameType.Ping, 0, payload));
  }

  /** For this session and its streams only. */
  endReading(stream: SpdyStream): void {
    if (stream.remoteEnded) return;
    stream.remoteEnded = true;
    stream.push(null);
  }

  #reset(id: number, status: number): void {
    this.send(controlFrame(FrameType.RstStream, 0, Buffer.concat([uint32(id), uint32(status)])));
  }

  #end(): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    for (const stream of streams) stream.cut();
    if (!this.#transport.destroyed) this.#transport.destroy();
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
