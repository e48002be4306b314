// A log that is written behind the server's back: lines are gathered, written together, and files are rotated.
// Whatever happens to the disk, whoever adds a line never waits and never fails; what cannot be kept is counted.
import { mkdir, open, readdir, rename, unlink, type FileHandle } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { logger } from "../../../lib/log.ts";

export interface LogFileOptions {
  /** `-` for standard output. */
  readonly path: string;
  /** A file this large is put aside; in bytes. */
  readonly maxBytes: number;
  /** Files put aside are kept this long, in milliseconds; 0 for ever. */
  readonly maxAgeMs: number;
  /** How many files put aside are kept; 0 for all. */
  readonly maxBackups: number;
  /** The most that waits to be written, in bytes. */
  readonly maxWaitingBytes?: number;
}

const log = logger("audit");
const WRITE_EVERY_MS = 100;
const RETRY_MS = 1_000;
const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 10;
const MAX_WAITING_BYTES = 32 * 1024 * 1024;

/** Appends lines to a file. */
export class LogFile {
  readonly plugin = "log";
  /** Lines that were lost. */
  lost = 0;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #file: FileHandle | undefined;
  #size = 0;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #isFailing = false;
  /** What is written next begins in the middle of a line. */
  #isMidLine = false;

  constructor(private readonly options: LogFileOptions) {}

  /** Adds a line; never waits, never throws. */
  add(line: string): void {
    const bytes = Buffer.from(`${line}\n`);
    if (this.#waitingBytes + bytes.length > (this.options.maxWaitingBytes ?? MAX_WAITING_BYTES)) return void this.lost++;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#writeSoon(WRITE_EVERY_MS);
  }

  /** Writes what waits, as far as that is possible now, and closes the file. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#writing;
    await this.#write();
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  #writeSoon(ms: number): void {
    if (this.#timer || this.#writing) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#writing = this.#write().finally(() => {
        this.#writing = undefined;
        if (this.#waiting.length > 0) this.#writeSoon(this.#isFailing ? RETRY_MS : WRITE_EVERY_MS);
      });
    }, ms);
    this.#timer.unref();
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#writeChunk();
      if (this.#isFailing) log.info({ path: this.options.path, lost: this.lost }, "the audit log can be written again");
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) log.error({ err: error, path: this.options.path }, "the audit log cannot be written; events are kept while there is room, and tried again every second");
      this.#isFailing = true;
    }
  }

  async #writeChunk(): Promise<void> {
    const chunk = this.#takeChunk();
    let written = 0;
    try {
      if (this.options.path === "-") return void process.stdout.write(chunk);
      if (this.#file && this.#size + chunk.length > this.options.maxBytes) await this.#rotate();
      const file = (this.#file ??= await this.#open());
      if (this.#isMidLine && this.#size === 0) {
        written = chunk.indexOf(NEWLINE) + 1;
        this.lost++;
      }
      this.#isMidLine = false;
      while (written < chunk.length) written += (await file.write(chunk, written)).bytesWritten;
      this.#size += chunk.length;
      written = chunk.length;
    } catch (error) {
      // A full disk takes part of a line; the rest follows when there is room, so that lines stay whole.
      const rest = chunk.subarray(written);
      this.#size += written;
      this.#waiting.unshift(rest);
      this.#waitingBytes += rest.length;
      if (written > 0) this.#isMidLine = chunk[written - 1] !== NEWLINE;
      // Whoever makes room by taking the file away expects another in its place.
      await this.#file?.close().catch(() => {});
      this.#file = undefined;
      throw error;
    }
  }

  /** Whole lines up to a size worth writing at once. */
  #takeChunk(): Buffer {
    let bytes = 0;
    let count = 0;
    while (count < this.#waiting.length && bytes < CHUNK_BYTES) bytes += (this.#waiting[count++] as Buffer).length;
    this.#waitingBytes -= bytes;
    return Buffer.concat(this.#waiting.splice(0, count), bytes);
  }

  async #open(): Promise<FileHandle> {
    const { path, maxBytes } = this.options;
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, "a", 0o600);
    this.#size = (await file.stat()).size;
    if (this.#size < maxBytes) return file;
    this.#file = file;
    await this.#rotate();
    return this.#open();
  }

  async #rotate(): Promise<void> {
    const { path } = this.options;
    await this.#file?.close();
    this.#file = undefined;
    await rename(path, join(dirname(path), backupName(path, Date.now())));
    await this.#forget().catch((error: unknown) => log.warn({ err: error, path }, "old audit logs could not be removed"));
  }

  /** Removes files put aside that are too old or too many. */
  async #forget(): Promise<void> {
    const { path, maxAgeMs, maxBackups } = this.options;
    const extension = extname(path);
    const prefix = `${basename(path, extension)}-`;
    const newestFirst = (await readdir(dirname(path))).flatMap((name) => {
      const time = name.startsWith(prefix) && name.endsWith(extension) ? backupTime(name.slice(prefix.length, name.length - extension.length)) : undefined;
      return time === undefined ? [] : [{ name, time }];
    }).sort((a, b) => b.time - a.time);
    const doomed = newestFirst.filter(({ time }, index) => (maxBackups > 0 && index >= maxBackups) || (maxAgeMs > 0 && Date.now() - time > maxAgeMs));
    for (const { name } of doomed) await unlink(join(dirname(path), name));
  }
}

/** `audit-2026-01-31T12-00-00.000.log` for `audit.log`. */
export function backupName(path: string, nowMs: number): string {
  const extension = extname(path);
  return `${basename(path, extension)}-${new Date(nowMs).toISOString().slice(0, 23).replaceAll(":", "-")}${extension}`;
}

function backupTime(text: string): number | undefined {
  const [, day, hour, minute, second] = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})$/.exec(text) ?? [];
  return day === undefined ? undefined : Date.parse(`${day}T${hour}:${minute}:${second}Z`);
}
