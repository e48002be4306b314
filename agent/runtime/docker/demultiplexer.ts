// Docker's two outputs in one connection: each piece comes behind eight bytes that say which it is of and how long it is.
import { Writable } from "node:stream";

const HEADER_BYTES = 8;
const STDERR = 2;

/** Parts what is written to it, no faster than the streams take it; what nobody wants is dropped. Neither stream is ended. */
export class Demultiplexer extends Writable {
  #pending: Buffer = Buffer.alloc(0);
  #remaining = 0;
  #target: Writable | undefined;

  constructor(private readonly stdout: Writable | undefined, private readonly stderr: Writable | undefined) {
    super();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#next(done);
  }

  #next(done: () => void): void {
    while (this.#pending.length > 0) {
      if (this.#remaining === 0 && !this.#begin()) break;
      const piece = this.#pending.subarray(0, this.#remaining);
      this.#pending = this.#pending.subarray(piece.length);
      this.#remaining -= piece.length;
      // Who has gone is not written to, and takes nothing away from the other.
      if (piece.length > 0 && this.#target?.writable) return void this.#target.write(piece, () => this.#next(done));
    }
    done();
  }

  #begin(): boolean {
    if (this.#pending.length < HEADER_BYTES) return false;
    this.#target = this.#pending[0] === STDERR ? this.stderr : this.stdout;
    this.#remaining = this.#pending.readUInt32BE(4);
    this.#pending = this.#pending.subarray(HEADER_BYTES);
    return true;
  }
}
