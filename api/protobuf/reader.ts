// The protobuf wire format: tags, varints and length-delimited fields, read one after the other.
// Format: protobuf.dev/programming-guides/encoding.

/** The message is cut short or not protobuf at all. */
export class ProtobufError extends Error {
  override readonly name = "ProtobufError";
}

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** Reads one message; never past its end. */
export class Reader {
  #at: number;

  constructor(private readonly buffer: Buffer, start = 0, private readonly end = buffer.length) {
    this.#at = start;
  }

  get isDone(): boolean {
    return this.#at >= this.end;
  }

  /** The next field's number and wire type. */
  tag(): { number: number; wire: number } {
    const tag = Number(this.varint());
    return { number: Math.floor(tag / 8), wire: tag & 7 };
  }

  /** A varint as a signed 64-bit number; exact up to 2^53. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return this.#longVarint(value);
  }

  double(): number {
    this.#need(8);
    this.#at += 8;
    return this.buffer.readDoubleLE(this.#at - 8);
  }

  float(): number {
    this.#need(4);
    this.#at += 4;
    return this.buffer.readFloatLE(this.#at - 4);
  }

  bytes(): Buffer {
    const length = this.varint();
    this.#need(length);
    this.#at += length;
    return this.buffer.subarray(this.#at - length, this.#at);
  }

  string(): string {
    return this.bytes().toString("utf8");
  }

  /** The next length-delimited field as a message of its own. */
  message(): Reader {
    const length = this.varint();
    this.#need(length);
    this.#at += length;
    return new Reader(this.buffer, this.#at - length, this.#at);
  }

  skip(wire: number): void {
    if (wire === VARINT) this.varint();
    else if (wire === FIXED64) this.double();
    else if (wire === BYTES) this.bytes();
    else if (wire === FIXED32) this.float();
    else throw new ProtobufError(`proto: illegal wireType ${wire}`);
  }

  #byte(): number {
    this.#need(1);
    return this.buffer[this.#at++] as number;
  }

  #longVarint(low: number): number {
    let value = BigInt(low);
    for (let shift = 35n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw new ProtobufError("proto: integer overflow");
  }

  #need(count: number): void {
    if (count < 0 || this.#at + count > this.end) throw new ProtobufError("unexpected EOF");
  }
}
