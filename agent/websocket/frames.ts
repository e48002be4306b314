// WebSocket frames (RFC 6455) as bytes: pure encoding, and a parser fed with whatever arrives.
// The handshake and what messages mean are `connection.ts` and its users.

export const Opcode = { Continuation: 0, Text: 1, Binary: 2, Close: 8, Ping: 9, Pong: 10 } as const;

export interface Frame {
  readonly fin: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
}

const MAX_FRAME_BYTES = 32 << 20;
const MAX_CONTROL_BYTES = 125;

/** One unfragmented, unmasked frame, as servers send. */
export function encodeFrame(opcode: number, payload: Uint8Array): Buffer {
  const length = payload.length;
  const header = length < 126 ? Buffer.from([0x80 | opcode, length]) : Buffer.alloc(length < 65536 ? 4 : 10);
  if (length >= 126) {
    header[0] = 0x80 | opcode;
    header[1] = length < 65536 ? 126 : 127;
    if (length < 65536) header.writeUInt16BE(length, 2);
    else header.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([header, payload]);
}

/** Turns the bytes of a client into frames. */
export class FrameParser {
  #pending: Buffer = Buffer.alloc(0);

  /** Throws on frames no client may send. */
  *feed(chunk: Buffer): Generator<Frame> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (let frame = this.#next(); frame; frame = this.#next()) yield frame;
  }

  #next(): Frame | undefined {
    const bytes = this.#pending;
    if (bytes.length < 2) return undefined;
    const [first, second] = [bytes.readUInt8(0), bytes.readUInt8(1)];
    const short = second & 0x7f;
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    const start = 2 + lengthBytes + 4;
    if ((first & 0x70) !== 0) throw new RangeError("a WebSocket frame with reserved bits");
    if ((second & 0x80) === 0) throw new RangeError("a WebSocket frame from a client that is not masked");
    if (bytes.length < start) return undefined;
    const length = lengthBytes === 0 ? short : lengthBytes === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
    const opcode = first & 0x0f;
    if (length > (opcode >= Opcode.Close ? MAX_CONTROL_BYTES : MAX_FRAME_BYTES)) throw new RangeError(`a WebSocket frame of ${length} bytes is too large`);
    if (bytes.length < start + length) return undefined;
    const payload = unmask(bytes.subarray(start, start + length), bytes.subarray(start - 4, start));
    this.#pending = bytes.subarray(start + length);
    return { fin: (first & 0x80) !== 0, opcode, payload };
  }
}

function unmask(masked: Buffer, key: Buffer): Buffer {
  const plain = Buffer.allocUnsafe(masked.length);
  for (let index = 0; index < masked.length; index++) plain[index] = (masked[index] as number) ^ (key[index & 3] as number);
  return plain;
}
