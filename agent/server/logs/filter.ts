// Turns CRI log lines into what `kubectl logs` shows of them: without their prefix, chosen by stream and time, up to a limit.
// Works within the block it is given: what is left of a line is never longer than the line was.

export interface LogFilterOptions {
  readonly timestamps: boolean;
  readonly stream: "All" | "Stdout" | "Stderr";
  readonly limitBytes?: number;
  /** Only entries at or after this time, in milliseconds since the epoch. */
  readonly sinceMs?: number;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const COLON = 0x3a;
const PARTIAL = "P".charCodeAt(0);
const FULL = "F".charCodeAt(0);
const STREAMS = ["stdout", "stderr"].map((name) => Buffer.from(` ${name} `));
const STREAM_BYTES = " stdout ".length;
const TELLING_BYTE = 4;

/** Lines that are no log lines (a torn write, another format) are left out. */
export class LogFilter {
  readonly #options: LogFilterOptions;
  #remaining: number;
  #startsLine = true;
  #written = 0;

  constructor(options: LogFilterOptions) {
    this.#options = options;
    this.#remaining = options.limitBytes ?? Infinity;
  }

  /** Nothing more will come out. */
  get isFull(): boolean {
    return this.#remaining <= 0;
  }

  /** What is shown of these complete lines, in their own place. */
  keep(lines: Buffer): Buffer {
    this.#written = 0;
    for (let start = 0; start < lines.length && this.#written < this.#remaining; ) {
      const end = lines.indexOf(NEWLINE, start);
      this.#keepLine(lines, start, end);
      start = end + 1;
    }
    const kept = lines.subarray(0, Math.min(this.#written, this.#remaining));
    this.#remaining -= kept.length;
    return kept;
  }

  /** The line from `start` to its newline at `end`. */
  #keepLine(lines: Buffer, start: number, end: number): void {
    let first = start;
    while (first < end && lines[first] !== SPACE) first++;
    const tag = first + STREAM_BYTES;
    const isPartial = lines[tag] === PARTIAL;
    if (tag >= end || !(isPartial || lines[tag] === FULL)) return;
    const stream = streamAt(lines, first);
    // Further tags follow a colon; an empty line is written by some runtimes without the space after its tag.
    let content = tag + 1;
    if (stream === undefined || (content < end && lines[content] !== SPACE && lines[content] !== COLON)) return;
    while (content < end && lines[content] !== SPACE) content++;
    const startsLine = this.#startsLine;
    this.#startsLine = !isPartial;
    if (!this.#isWanted(stream) || !this.#isRecent(lines, start, first)) return;
    if (this.#options.timestamps && startsLine) this.#copy(lines, start, first + 1);
    // The newline comes along, or the space before the content goes.
    this.#copy(lines, Math.min(content + 1, end), isPartial ? end : end + 1);
  }

  #isWanted(stream: string): boolean {
    const { stream: wanted } = this.#options;
    return wanted === "All" || wanted === stream;
  }

  #isRecent(lines: Buffer, start: number, end: number): boolean {
    const { sinceMs } = this.#options;
    return sinceMs === undefined || !(Date.parse(lines.toString("latin1", start, end)) < sinceMs);
  }

  #copy(lines: Buffer, start: number, end: number): void {
    lines.copyWithin(this.#written, start, end);
    this.#written += end - start;
  }
}

/** The stream named between the spaces at `at`. */
function streamAt(lines: Buffer, at: number): "Stdout" | "Stderr" | undefined {
  const index = lines[at + TELLING_BYTE] === STREAMS[0]?.[TELLING_BYTE] ? 0 : 1;
  const name = STREAMS[index] as Buffer;
  for (let offset = 0; offset < STREAM_BYTES; offset++) if (lines[at + offset] !== name[offset]) return undefined;
  return index === 0 ? "Stdout" : "Stderr";
}
