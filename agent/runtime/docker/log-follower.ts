// Rewrites Docker's JSON log of one container as the CRI log file the kubelet rotates and readers read.
// Its position is kept in a file, so that a new agent goes on where the old one was; when to start and stop is `logs.ts`'s.
import { type FileHandle, mkdir, open, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Changes } from "../log-changes.ts";
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
const RECHECK_MS = 60_000;
const UNWATCHED_MS = 10_000;

/** Follows one log from `start` to `stop`. */
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
  readonly #stop = new AbortController();
  #following: Promise<void> = Promise.resolve();

  constructor(paths: LogPaths) {
    this.#paths = paths;
  }

  /** Starts following; the target file exists when this resolves. */
  async start(): Promise<void> {
    this.#position = await readPosition(this.#paths.position);
    await mkdir(dirname(this.#paths.target), { recursive: true });
    this.#resumeAfter = await lastLine(this.#paths.target);
    await this.reopen();
    await this.#drain();
    this.#following = this.#follow();
  }

  /** Opens the target anew, after rotation has renamed it; what is being written meanwhile goes to the old one. */
  async reopen(): Promise<void> {
    const old = this.#target;
    this.#target = await open(this.#paths.target, "a", 0o640);
    await this.#writing.catch(() => undefined);
    await old?.close();
  }

  /** Writes what Docker has written by now, and lets go of all files. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#following;
    await this.#drain();
    await this.#source?.close();
    await this.#target?.close();
    this.#source = undefined;
    this.#target = undefined;
  }

  async #follow(): Promise<void> {
    const changes = new Changes(this.#paths.source, { recheckMs: RECHECK_MS, unwatchedMs: UNWATCHED_MS, signals: [this.#stop.signal] });
    while (!this.#stop.signal.aborted) await changes.next(await this.#drain());
    changes.close();
  }

  /** Resolves once all that Docker has written by now is in the target; true when there was anything new. */
  async #drain(): Promise<boolean> {
    const { inode, offset } = this.#position;
    // What failed (a disk that is full, a directory that went) is tried again with the next change.
    await this.#copy().catch(() => undefined);
    return this.#position.inode !== inode || this.#position.offset !== offset;
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
