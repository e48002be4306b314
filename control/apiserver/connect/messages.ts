// Where the messages of a WebSocket begin and end in a node's bytes, so that what came in one piece can be sent on one by one.
// What messages say is not looked at.

type Phase = "answer" | "messages" | "bytes";

const SWITCHED = "HTTP/1.1 101 ";
const BLANK_LINE = "\r\n\r\n";
const MAX_ANSWER_BYTES = 64 * 1024;

/** Cuts what a server says, from its answer to the handshake on. */
export class MessageSplitter {
  #phase: Phase = "answer";
  #pending: Buffer = Buffer.alloc(0);
  /** How much of what has begun is still to come. */
  #remaining = 0;

  /** What of the bytes so far can go out: no piece has bytes of two messages. An answer that does not switch protocols stays whole. */
  *feed(chunk: Buffer): Generator<Buffer> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (this.#pending.length > 0) {
      if (this.#remaining === 0) {
        const length = this.#begin();
        if (length === undefined) return;
        this.#remaining = length;
      }
      const piece = this.#pending.subarray(0, this.#remaining);
      this.#pending = this.#pending.subarray(piece.length);
      this.#remaining -= piece.length;
      yield piece;
    }
  }

  /** What nothing came after. */
  rest(): Buffer {
    return this.#pending;
  }

  /** The length of what begins here; undefined until enough of it is there to tell. */
  #begin(): number | undefined {
    if (this.#phase === "messages") return frameLength(this.#pending);
    if (this.#phase === "bytes") return this.#pending.length;
    const end = this.#pending.indexOf(BLANK_LINE);
    if (end < 0 && this.#pending.length <= MAX_ANSWER_BYTES) return undefined;
    const isSwitched = end >= 0 && this.#pending.toString("latin1", 0, SWITCHED.length) === SWITCHED;
    this.#phase = isSwitched ? "messages" : "bytes";
    return isSwitched ? end + BLANK_LINE.length : this.#pending.length;
  }
}

/** Header and payload of a frame (RFC 6455, section 5.2); undefined when the header is not whole. */
function frameLength(bytes: Buffer): number | undefined {
  const second = bytes[1];
  if (second === undefined) return undefined;
  const short = second & 0x7f;
  const header = 2 + (short === 127 ? 8 : short === 126 ? 2 : 0);
  if (bytes.length < header) return undefined;
  const payload = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  return header + (second & 0x80 ? 4 : 0) + payload;
}
