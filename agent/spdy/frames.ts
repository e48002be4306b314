// SPDY/3.1 frames as bytes: pure encoding, and a parser fed with whatever arrives.
// What frames mean to streams is `session.ts`.

export const FrameType = { SynStream: 1, SynReply: 2, RstStream: 3, Settings: 4, Ping: 6, GoAway: 7, Headers: 8, WindowUpdate: 9 } as const;
export const FLAG_FIN = 0x01;

export interface ControlFrame {
  readonly kind: "control";
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/** Part of a data frame; `fin` is set on the last part only. */
export interface DataFrame {
  readonly kind: "data";
  readonly streamId: number;
  readonly fin: boolean;
  readonly payload: Buffer;
}

const HEADER_BYTES = 8;
const MAX_CONTROL_BYTES = 64 * 1024;
const VERSION = 3;

/** One control frame. */
export function controlFrame(type: number, flags: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(0x8000 | VERSION, 0);
  header.writeUInt16BE(type, 2);
  header.writeUInt32BE(((flags << 24) | payload.length) >>> 0, 4);
  return Buffer.concat([header, payload]);
}

/** One data frame; the payload must be shorter than 16 MiB. */
export function dataFrame(streamId: number, payload: Uint8Array, fin: boolean): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(streamId & 0x7fffffff, 0);
  header.writeUInt32BE((((fin ? FLAG_FIN : 0) << 24) | payload.length) >>> 0, 4);
  return Buffer.concat([header, payload]);
}

/** Turns bytes into frames. Control frames come whole, data as it arrives. */
export class FrameParser {
  #pending: Buffer = Buffer.alloc(0);
  #data: { streamId: number; fin: boolean; remaining: number } | undefined;

  /** Throws on a frame that is not SPDY/3 or too large. */
  *feed(chunk: Buffer): Generator<ControlFrame | DataFrame> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (;;) {
      const frame = this.#data ? this.#dataPart(this.#data) : this.#next();
      if (frame === "incomplete") return;
      if (frame) yield frame;
    }
  }

  #next(): ControlFrame | DataFrame | undefined | "incomplete" {
    if (this.#pending.length < HEADER_BYTES) return "incomplete";
    const first = this.#pending.readUInt32BE(0);
    const flags = this.#pending.readUInt8(4);
    const length = this.#pending.readUIntBE(5, 3);
    if (first >>> 31 === 0) {
      this.#take(HEADER_BYTES);
      const streamId = first;
      const fin = (flags & FLAG_FIN) !== 0;
      if (length === 0) return { kind: "data", streamId, fin, payload: Buffer.alloc(0) };
      this.#data = { streamId, fin, remaining: length };
      return undefined;
    }
    const version = (first >>> 16) & 0x7fff;
    if (version !== VERSION) throw new RangeError(`SPDY version ${version} is not spoken here`);
    if (length > MAX_CONTROL_BYTES) throw new RangeError(`a SPDY control frame of ${length} bytes is too large`);
    if (this.#pending.length < HEADER_BYTES + length) return "incomplete";
    this.#take(HEADER_BYTES);
    return { kind: "control", type: first & 0xffff, flags, payload: this.#take(length) };
  }

  #dataPart(data: { streamId: number; fin: boolean; remaining: number }): DataFrame | "incomplete" {
    if (this.#pending.length === 0) return "incomplete";
    const payload = this.#take(Math.min(data.remaining, this.#pending.length));
    data.remaining -= payload.length;
    const isLast = data.remaining === 0;
    if (isLast) this.#data = undefined;
    return { kind: "data", streamId: data.streamId, fin: isLast && data.fin, payload };
  }

  #take(length: number): Buffer {
    const taken = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return taken;
  }
}
