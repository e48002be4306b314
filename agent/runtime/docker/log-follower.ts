// Rewrites Docker's JSON log of one container as the CRI log file the kubelet rotates and readers read.
// Its position is kept in a file, so that a new agent goes on where the old one was; when to start and stop is `logs.ts`'s.
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { formatLogEntry } from "../cri-log.ts";

/** Where the rewriting is: `inode` of Docker's file and the offset in it up to which lines are in the target. */
interface Position {
  readonly inode: number;
  readonly offset: number;
}

export interface LogPaths {
  /** Docker's own file. */
  readonly source: string;
  readonly target: string;
  readonly position: string;
}

const BLOCK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** In case a file system tells nothing of changes. */
const RECHECK_MS = 2_000;

/** Follows one log. `drain` is what every change leads to; all of them run one after another. */
export class LogFollower {
  readonly #paths: LogPaths;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #source: FileHandle | undefined;
  #target: FileHandle | undefined;
  #position: Position = { inode: 0, offset: 0 };
  /** The target's last line at start: an agent may have ended after writing it and before keeping the position. */
  #resumeAfter: Buffer | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #watcher: FSWatcher | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #running: Promise<void> = Promise.resolve();
  #isQueued = false;

  constructor(paths: LogPaths) {
    this.#paths = paths;
  }

  /** Starts following; the target file exists when this resolves. */
  async start(): Promise<void> {
    this.#position = await readPosition(this.#paths.position);
    await mkdir(dirname(this.#paths.target), { recursive: true });
    this.#resumeAfter = await lastLine(this.#paths.target);
    await this.reopen();
    const name = basename(this.#paths.source);
    this.#watcher = watch(dirname(this.#paths.source), (_event, file) => (file === null || file === name ? void this.drain() : undefined));
    this.#watcher.on("error", () => {});
    this.#timer = setInterval(() => void this.drain(), RECHECK_MS);
    this.#timer.unref();
    await this.drain();
  }

  /** Opens the target anew, after rotation has renamed it. */
  reopen(): Promise<void> {
    return this.#enqueue(async () => {
      await this.#target?.close();
      this.#target = await open(this.#paths.target, "a", 0o640);
    });
  }

  /** Resolves once all that Docker has written by now is in the target. */
  drain(): Promise<void> {
    if (this.#isQueued) return this.#running;
    this.#isQueued = true;
    return this.#enqueue(async () => {
      this.#isQueued = false;
      await this.#copy();
    });
  }

  /** Drains a last time and lets go of all files. */
  async stop(): Promise<void> {
    this.#watcher?.close();
    clearInterval(this.#timer);
    await this.drain();
    await this.#enqueue(async () => {
      await this.#source?.close();
      await this.#target?.close();
      this.#source = undefined;
      this.#target = undefined;
    });
  }

  #enqueue(step: () => Promise<void>): Promise<void> {
    // A failed step (a disk that is full, a directory that went) must not stop later ones.
    this.#running = this.#running.then(step).catch(() => undefined);
    return this.#running;
  }

  async #copy(): Promise<void> {
    if (!this.#target) return;
    this.#source ??= await this.#openSource();
    if (!this.#source) return;
    for (;;) {
      await this.#copyToEnd(this.#source);
      const successor = await this.#successor(this.#source);
      if (!successor) return;
      await this.#source.close();
      this.#source = successor;
      this.#rest = Buffer.alloc(0);
      this.#position = { inode: (await successor.stat()).ino, offset: 0 };
    }
  }

  async #openSource(): Promise<FileHandle | undefined> {
    // After a rotation while nobody followed, the kept position is in the file that was renamed.
    for (const path of [`${this.#paths.source}.1`, this.#paths.source]) {
      const file = await open(path, "r").catch(() => undefined);
      if (!file) continue;
      const { ino } = await file.stat();
      if (ino === this.#position.inode) return file;
      if (path === this.#paths.source) {
        this.#position = { inode: ino, offset: 0 };
        return file;
      }
      await file.close();
    }
    return undefined;
  }

  async #successor(file: FileHandle): Promise<FileHandle | undefined> {
    const [current, ours] = await Promise.all([stat(this.#paths.source).catch(() => undefined), file.stat()]);
    return current && current.ino !== ours.ino ? open(this.#paths.source, "r").catch(() => undefined) : undefined;
  }

  async #copyToEnd(source: FileHandle): Promise<void> {
    for (;;) {
      const start = this.#position.offset + this.#rest.length;
      const { bytesRead } = await source.read(this.#block, 0, BLOCK_BYTES, start);
      if (bytesRead === 0) return;
      const bytes = Buffer.concat([this.#rest, this.#block.subarray(0, bytesRead)]);
      const end = bytes.lastIndexOf(NEWLINE) + 1;
      const output = Buffer.concat(rewrite(bytes.subarray(0, end), this.#resumeAfter));
      this.#resumeAfter = undefined;
      if (output.length > 0) await this.#target?.appendFile(output);
      this.#rest = Buffer.from(bytes.subarray(end));
      this.#position = { ...this.#position, offset: this.#position.offset + end };
      await writePosition(this.#paths.position, this.#position);
    }
  }
}

/** CRI lines from Docker's; those up to and with `after` were written before and are left out. */
export function rewrite(lines: Buffer, after?: Buffer): Buffer[] {
  const entries = lines.toString().split("\n").filter(Boolean).map(parse).filter((entry) => entry !== undefined).map(formatLogEntry);
  return after ? entries.slice(entries.findLastIndex((entry) => entry.equals(after)) + 1) : entries;
}

function parse(line: string): { timestamp: string; stream: "stdout" | "stderr"; partial: boolean; content: Buffer } | undefined {
  try {
    const { log, stream, time } = JSON.parse(line) as { log: string; stream: "stdout" | "stderr"; time: string };
    const isWhole = log.endsWith("\n");
    return { timestamp: fullTimestamp(time), stream, partial: !isWhole, content: Buffer.from(isWhole ? log.slice(0, -1) : log) };
  } catch {
    // A torn line of a crashed engine.
    return undefined;
  }
}

/** Docker drops trailing zeros. */
function fullTimestamp(time: string): string {
  const [seconds = "", fraction = ""] = time.replace(/Z$/, "").split(".");
  return `${seconds}.${fraction.padEnd(9, "0")}Z`;
}

async function readPosition(path: string): Promise<Position> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Position;
  } catch {
    return { inode: 0, offset: 0 };
  }
}

/** With its newline; undefined when there is none. */
async function lastLine(path: string): Promise<Buffer | undefined> {
  const bytes = await readFile(path).catch(() => Buffer.alloc(0));
  const start = bytes.lastIndexOf(NEWLINE, bytes.length - 2) + 1;
  return bytes.length > 0 ? bytes.subarray(start) : undefined;
}

/** Replaced, never torn: an agent may end between any two writes. */
async function writePosition(path: string, position: Position): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(position));
  await rename(`${path}.new`, path);
}
