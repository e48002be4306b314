// Complete lines of one file after another in large blocks, through one buffer that is used over and over.
// What the lines mean is left to those who read them.

/** Bytes of a file, one piece after another. */
export interface ByteSource {
  /** Fills `into` from `at` on; 0 at the end of what is there now. */
  readonly read: (into: Buffer, at: number) => Promise<number>;
}

/** Enough for a quiet log; one that fills it gets more. */
const FIRST_BYTES = 16 * 1024;
const BLOCK_BYTES = 256 * 1024;
/** Longer than any runtime writes; what is longer is no log line. */
const MAX_LINE_BYTES = 1 << 20;
const NEWLINE = 0x0a;

/** Memory stays that of one block, however much is read. */
export class LineBlocks {
  #source: ByteSource | undefined;
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  /** Where the unfinished line behind the last block begins and ends. */
  #start = 0;
  #end = 0;

  /** Reads from this file from now on; a line the one before left unfinished is dropped. */
  turnTo(source: ByteSource): void {
    this.#source = source;
    this.#start = this.#end = 0;
  }

  /** Complete lines, the caller's until the next call; undefined at the end of what is there now. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      this.#makeRoom();
      const before = this.#end;
      const count = (await this.#source?.read(this.#bytes, before)) ?? 0;
      if (count === 0) return undefined;
      this.#end += count;
      const last = this.#bytes.subarray(before, this.#end).lastIndexOf(NEWLINE);
      if (last < 0) continue;
      const block = this.#bytes.subarray(this.#start, before + last + 1);
      this.#start = before + last + 1;
      return block;
    }
  }

  #makeRoom(): void {
    const unfinished = this.#bytes.subarray(this.#start, this.#end);
    const kept = unfinished.length < MAX_LINE_BYTES ? unfinished : unfinished.subarray(0, 0);
    const size = this.#bytes.length;
    const isFilled = this.#end === size;
    if (isFilled && (size < BLOCK_BYTES || kept.length === size)) this.#bytes = Buffer.allocUnsafeSlow(2 * size);
    kept.copy(this.#bytes);
    this.#start = 0;
    this.#end = kept.length;
  }
}
