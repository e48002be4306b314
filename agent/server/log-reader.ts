// Reads one container's log file as `kubectl logs` wants it: a pure reader of CRI log files, following across rotation.
// Which file, and whether its container still runs, is the caller's to know.
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { parseLogEntry } from "../runtime/cri-log.ts";

export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly stream: "All" | "Stdout" | "Stderr";
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Only entries at or after this time, in milliseconds since the epoch. */
  readonly sinceMs?: number;
}

export interface LogReaderDeps {
  /** Takes output; resolves when more is welcome. */
  readonly write: (chunk: Buffer) => Promise<void>;
  /** Aborts when the container has ended, so that following stops at the end of the file. */
  readonly ended: AbortSignal;
  /** Aborts when the reader has gone. */
  readonly signal: AbortSignal;
}

const BLOCK_BYTES = 64 * 1024;
/** In case a file system tells nothing of changes. */
const RECHECK_MS = 1_000;
const NEWLINE = 0x0a;
/** Longer than any runtime writes; what is longer is no log line. */
const MAX_LINE_BYTES = 1 << 20;

/** Writes the log from where the options say to its end, or on and on when following. Rejects when the file cannot be read. */
export async function readLog(path: string, options: LogOptions, deps: LogReaderDeps): Promise<void> {
  const formatter = new LogFormatter(options);
  let file = await open(path, "r");
  const changes = options.follow ? new Changes(path, deps) : undefined;
  try {
    let lines = new LineReader(file, await tailStart(file, options.tailLines));
    for (;;) {
      // Told before reading: what was written until the end must still be read.
      const isLast = !options.follow || deps.ended.aborted;
      await copy(lines, formatter, deps);
      if (deps.signal.aborted || formatter.isFull) return;
      const successor = changes && (await openSuccessor(path, file));
      if (successor) {
        // What was written after the last look and before the rotation is in the old file still.
        await copy(lines, formatter, deps);
        await file.close();
        file = successor;
        lines = new LineReader(file, 0);
        continue;
      }
      if (isLast) return;
      await changes?.next();
    }
  } finally {
    changes?.close();
    await file.close();
  }
}

async function copy(lines: LineReader, formatter: LogFormatter, deps: LogReaderDeps): Promise<void> {
  for (let batch = await lines.next(); batch && !deps.signal.aborted; batch = await lines.next()) {
    const output = formatter.format(batch);
    if (output.length > 0) await deps.write(output);
    if (formatter.isFull) return;
  }
}

/** The file that rotation put in this one's place, if it did. */
async function openSuccessor(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const [current, ours] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  return current && current.ino !== ours.ino ? open(path, "r").catch(() => undefined) : undefined;
}

/** Where the last `tailLines` lines start; lines as they are in the file, partial ones counted as upstream does. */
async function tailStart(file: FileHandle, tailLines: number | undefined): Promise<number> {
  if (tailLines === undefined) return 0;
  const { size } = await file.stat();
  if (tailLines === 0) return size;
  const block = Buffer.alloc(BLOCK_BYTES);
  let wanted = tailLines;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    for (let index = bytesRead - 1; index >= 0; index--) {
      const isLastByte = start + index === size - 1;
      if (block[index] === NEWLINE && !isLastByte && --wanted === 0) return start + index + 1;
    }
    end = start;
  }
  return 0;
}

/** Complete lines of a growing file, in batches; an unfinished last line waits for its end. */
class LineReader {
  readonly #file: FileHandle;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #position: number;
  #rest = Buffer.alloc(0);

  constructor(file: FileHandle, position: number) {
    this.#file = file;
    this.#position = position;
  }

  /** undefined at the end of what is there now. */
  async next(): Promise<Buffer[] | undefined> {
    const { bytesRead } = await this.#file.read(this.#block, 0, BLOCK_BYTES, this.#position);
    if (bytesRead === 0) return undefined;
    this.#position += bytesRead;
    const bytes = Buffer.concat([this.#rest, this.#block.subarray(0, bytesRead)]);
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      lines.push(bytes.subarray(start, end));
      start = end + 1;
    }
    this.#rest = bytes.length - start > MAX_LINE_BYTES ? Buffer.alloc(0) : bytes.subarray(start);
    return lines;
  }
}

/** Turns log lines into output, up to a limit. */
class LogFormatter {
  readonly #options: LogOptions;
  #remaining: number;
  #startsLine = true;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#remaining = options.limitBytes ?? Infinity;
  }

  get isFull(): boolean {
    return this.#remaining <= 0;
  }

  format(lines: readonly Buffer[]): Buffer {
    const output = Buffer.concat(lines.flatMap((line) => this.#pieces(line)));
    const kept = output.length > this.#remaining ? output.subarray(0, this.#remaining) : output;
    this.#remaining -= kept.length;
    return kept;
  }

  #pieces(line: Buffer): Buffer[] {
    const entry = parseLogEntry(line);
    if (!entry) return [];
    const { stream, sinceMs, timestamps } = this.#options;
    const startsLine = this.#startsLine;
    this.#startsLine = !entry.partial;
    if (stream !== "All" && stream.toLowerCase() !== entry.stream) return [];
    if (sinceMs !== undefined && Date.parse(entry.timestamp) < sinceMs) return [];
    return [...(timestamps && startsLine ? [Buffer.from(`${entry.timestamp} `)] : []), entry.content, ...(entry.partial ? [] : [LINE_END])];
  }
}

const LINE_END = Buffer.from("\n");

/** Tells when looking at the file again is worth while; a change between two calls of `next` is not lost. */
class Changes {
  readonly #watcher: FSWatcher | undefined;
  readonly #deps: LogReaderDeps;
  readonly #wakeUp = (): void => this.#changed();
  #hasChanged = true;
  #wake: (() => void) | undefined;

  constructor(path: string, deps: LogReaderDeps) {
    this.#deps = deps;
    const name = basename(path);
    try {
      this.#watcher = watch(dirname(path), (_event, file) => (file === null || file === name ? this.#changed() : undefined));
      this.#watcher.on("error", () => {});
    } catch {
      // Without a watcher the recheck does the work.
    }
    deps.ended.addEventListener("abort", this.#wakeUp);
    deps.signal.addEventListener("abort", this.#wakeUp);
  }

  async next(): Promise<void> {
    if (!this.#hasChanged) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, RECHECK_MS);
        this.#wake = () => (clearTimeout(timer), resolve());
      });
    }
    this.#hasChanged = false;
    this.#wake = undefined;
  }

  close(): void {
    this.#watcher?.close();
    this.#deps.ended.removeEventListener("abort", this.#wakeUp);
    this.#deps.signal.removeEventListener("abort", this.#wakeUp);
    this.#wake?.();
  }

  #changed(): void {
    this.#hasChanged = true;
    this.#wake?.();
  }
}
