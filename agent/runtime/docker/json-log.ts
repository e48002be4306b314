// Docker's JSON log lines as CRI log lines, on bytes: a container may print faster than every line can be an object.
// Where the lines come from and go to is `log-follower.ts`'s.
import { formatLogEntry } from "../cri-log.ts";

const HEAD = Buffer.from(`{"log":"`);
const BETWEEN = { stdout: Buffer.from(`","stream":"stdout","time":"`), stderr: Buffer.from(`","stream":"stderr","time":"`) };
const TAIL_BYTES = `"}`.length;
const BETWEEN_BYTES = BETWEEN.stdout.length;
/** Up to the seconds, and with nanoseconds and the zone. */
const [SECONDS_BYTES, TIME_BYTES] = [19, 30];
const [NEWLINE, QUOTE, BACKSLASH, ZERO, DOT, ZONE] = [...Buffer.from(`\n"\\0.Z`)] as [number, number, number, number, number, number];
const [LETTER_N, LETTER_U] = [...Buffer.from("nu")] as [number, number];
const ESCAPES = new Map(Object.entries({ n: "\n", r: "\r", t: "\t", b: "\b", f: "\f", '"': '"', "\\": "\\", "/": "/" }).map(([letter, meant]) => [letter.charCodeAt(0), meant.charCodeAt(0)]));

/** Rewrites blocks of lines one after another, each into the same memory. */
export class JsonLogRewriter {
  #out: Buffer = Buffer.alloc(0);
  #written = 0;

  /** Complete lines in, complete lines out, which are the caller's until the next call. Torn lines of a crashed engine are left out. */
  rewrite(lines: Buffer): Buffer {
    // A CRI line is never longer than the JSON it was.
    if (this.#out.length < lines.length) this.#out = Buffer.allocUnsafeSlow(lines.length);
    this.#written = 0;
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf(NEWLINE, start);
      this.#rewriteLine(lines, start, end);
      start = end + 1;
    }
    return this.#out.subarray(0, this.#written);
  }

  #rewriteLine(lines: Buffer, start: number, end: number): void {
    const begin = this.#written;
    // The time holds no quote, so what is before it is found from the end, whatever was logged.
    const time = lines.lastIndexOf(QUOTE, end - TAIL_BYTES - 1) + 1;
    const contentEnd = time - BETWEEN_BYTES;
    const stream = contentEnd >= start + HEAD.length && isAt(lines, start, HEAD) ? streamAt(lines, contentEnd) : undefined;
    if (stream !== undefined && this.#putTime(lines, time, end - TAIL_BYTES)) {
      const isWhole = lines[contentEnd - 1] === LETTER_N && endsEscaped(lines, contentEnd - 1);
      this.#putText(` ${stream} ${isWhole ? "F" : "P"} `);
      if (this.#putContent(lines, start + HEAD.length, isWhole ? contentEnd - 2 : contentEnd)) {
        this.#out[this.#written++] = NEWLINE;
        return;
      }
    }
    this.#written = begin;
    this.#putParsed(lines.toString("utf8", start, end));
  }

  /** Docker drops trailing zeros. False when it is no time in UTC. */
  #putTime(lines: Buffer, start: number, end: number): boolean {
    const out = this.#out;
    if (lines[end - 1] !== ZONE || end - start > TIME_BYTES || end - start <= SECONDS_BYTES) return false;
    const at = this.#written;
    const copied = lines.copy(out, at, start, end - 1);
    out.fill(ZERO, at + copied, at + TIME_BYTES);
    out[at + SECONDS_BYTES] = DOT;
    out[at + TIME_BYTES - 1] = ZONE;
    this.#written += TIME_BYTES;
    return true;
  }

  #putText(text: string): void {
    this.#written += this.#out.write(text, this.#written, "latin1");
  }

  /** False when it holds an escape that only a whole parser knows. */
  #putContent(lines: Buffer, start: number, end: number): boolean {
    for (let from = start; ; ) {
      const found = lines.indexOf(BACKSLASH, from);
      const to = found < 0 || found >= end ? end : found;
      this.#written += lines.copy(this.#out, this.#written, from, to);
      if (to === end) return true;
      const letter = lines[to + 1] as number;
      const meant = ESCAPES.get(letter);
      if (meant === undefined && letter !== LETTER_U) return false;
      if (meant !== undefined) this.#out[this.#written++] = meant;
      else if (!this.#putCharacter(Number.parseInt(lines.toString("latin1", to + 2, to + 6), 16))) return false;
      from = to + (meant === undefined ? 6 : 2);
    }
  }

  #putCharacter(code: number): boolean {
    // Half of a pair says nothing without the other.
    if (Number.isNaN(code) || (code >= 0xd800 && code < 0xe000)) return false;
    this.#written += this.#out.write(String.fromCharCode(code), this.#written);
    return true;
  }

  #putParsed(line: string): void {
    const entry = parse(line);
    if (entry) this.#written += formatLogEntry(entry).copy(this.#out, this.#written);
  }
}

function isAt(bytes: Buffer, at: number, wanted: Buffer): boolean {
  for (let index = 0; index < wanted.length; index++) if (bytes[at + index] !== wanted[index]) return false;
  return true;
}

function streamAt(bytes: Buffer, at: number): "stdout" | "stderr" | undefined {
  if (isAt(bytes, at, BETWEEN.stdout)) return "stdout";
  return isAt(bytes, at, BETWEEN.stderr) ? "stderr" : undefined;
}

/** Whether the byte at `at` is what an odd number of backslashes stands before. */
function endsEscaped(bytes: Buffer, at: number): boolean {
  let count = 0;
  while (bytes[at - 1 - count] === BACKSLASH) count++;
  return count % 2 === 1;
}

function parse(line: string): { timestamp: string; stream: "stdout" | "stderr"; partial: boolean; content: Buffer } | undefined {
  try {
    const { log, stream, time } = JSON.parse(line) as { log: string; stream: "stdout" | "stderr"; time: string };
    const isWhole = log.endsWith("\n");
    return { timestamp: fullTimestamp(time), stream, partial: !isWhole, content: Buffer.from(isWhole ? log.slice(0, -1) : log) };
  } catch {
    return undefined;
  }
}

function fullTimestamp(time: string): string {
  const [seconds = "", fraction = ""] = time.replace(/Z$/, "").split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}Z`;
}
