// Rewrites Docker's JSON log of one container as the CRI log file the kubelet rotates and readers read.
// Its position is kept in a file, so that a new agent goes on where the old one was; when to start and stop is `logs.ts`'s.
import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, mkdir, open, readFile, rename, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { LineBlocks } from "../log-lines.ts";
import { type JsonLogFile, openJsonLog } from "./json-files.ts";
import { JsonLogRewriter } from "./json-log.ts";

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

/** More than the engine puts into one line. */
const LAST_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** In case a file system tells nothing of changes. */
const RECHECK_MS = 10_000;

/** Follows one log. `drain` is what every change leads to; all of them run one after another. */
export class LogFollower {
  readonly #paths: LogPaths;
  readonly #lines = new LineBlocks();
  readonly #rewriter = new JsonLogRewriter();
  #source: JsonLogFile | undefined;
  #target: FileHandle | undefined;
  #writing: Promise<void> = Promise.resolve();
  #position: Position = { inode: 0, offset: 0 };
  /** The target's last line at start: an agent may have ended after writing it and before keeping the position. */
  #resumeAfter: Buffer | undefined;
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

  /** Opens the target anew, after rotation has renamed it; what is being written meanwhile goes to the old one. */
  async reopen(): Promise<void> {
    const old = this.#target;
    this.#target = await open(this.#paths.target, "a", 0o640);
    await this.#writing.catch(() => undefined);
    await old?.close();
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
    if (!this.#source) await this.#openSource();
    while (this.#source && this.#target) {
      await this.#copyToEnd(this.#source);
      const successor = await this.#source.successor();
      if (!successor) return;
      // What was written after the last look and before the rotation is in the old file still.
      await this.#copyToEnd(this.#source);
      await this.#source.close();
      this.#turnTo(successor);
    }
  }

  async #openSource(): Promise<void> {
    const source = await openJsonLog(this.#paths.source, this.#position);
    if (source) this.#turnTo(source);
  }

  #turnTo(source: JsonLogFile): void {
    this.#source = source;
    this.#lines.turnTo(source);
    this.#position = { inode: source.inode, offset: source.offset };
  }

  async #copyToEnd(source: JsonLogFile): Promise<void> {
    try {
      for (let lines = await this.#lines.next(); lines; lines = await this.#lines.next()) await this.#write(lines);
    } catch (error) {
      // Read again next time, for the line it broke off at.
      source.offset = this.#position.offset;
      this.#turnTo(source);
      throw error;
    }
  }

  async #write(lines: Buffer): Promise<void> {
    const output = unwritten(this.#rewriter.rewrite(lines), this.#resumeAfter);
    this.#resumeAfter = undefined;
    this.#writing = output.length > 0 && this.#target ? this.#target.appendFile(output) : Promise.resolve();
    await this.#writing;
    this.#position = { ...this.#position, offset: this.#position.offset + lines.length };
    await writePosition(this.#paths.position, this.#position);
  }
}

/** What of these lines comes behind the one that was written last before an agent's end. */
function unwritten(lines: Buffer, after: Buffer | undefined): Buffer {
  const at = after ? lines.lastIndexOf(after) : -1;
  return after && at >= 0 ? lines.subarray(at + after.length) : lines;
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
  const file = await open(path, "r").catch(() => undefined);
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - LAST_BYTES);
    const { bytesRead, buffer } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    const begin = bytesRead < 2 ? 0 : buffer.lastIndexOf(NEWLINE, bytesRead - 2) + 1;
    return bytesRead > 0 ? buffer.subarray(begin, bytesRead) : undefined;
  } finally {
    await file.close();
  }
}

/** Replaced, never torn: an agent may end between any two writes. */
async function writePosition(path: string, position: Position): Promise<void> {
  await writeFile(`${path}.new`, JSON.stringify(position));
  await rename(`${path}.new`, path);
}
