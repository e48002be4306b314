// Bytes of the protobuf wire format, as encoders of messages ask for them.

const UTF8 = new TextEncoder();

/** A growing buffer that writes lengths after the fact. */
export class Writer {
  #buffer = new Uint8Array(1 << 16);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  /** Whole numbers from 0 to 2^53. */
  varint(value: number): void {
    this.#reserve(8);
    while (value > 127) {
      this.#buffer[this.#length++] = (value % 128) | 128;
      value = Math.floor(value / 128);
    }
    this.#buffer[this.#length++] = value;
  }

  /** Eight bytes, the lowest first. */
  double(value: number): void {
    this.#reserve(8);
    new DataView(this.#buffer.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  text(text: string): void {
    const bytes = UTF8.encode(text);
    this.varint(bytes.length);
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Writes what `body` writes, with its length before it. */
  nested(body: () => void): void {
    const start = this.#length;
    body();
    const length = this.#length - start;
    const size = length < 1 << 7 ? 1 : length < 1 << 14 ? 2 : length < 1 << 21 ? 3 : 4;
    this.#reserve(size);
    this.#buffer.copyWithin(start + size, start, start + length);
    this.#length = start;
    this.varint(length);
    this.#length = start + size + length;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + count));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}
