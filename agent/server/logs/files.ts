// The files one container's log is in, in the order they were written: those put aside by rotation, then the one being written.
// A reader that is slower than rotation goes from one to the next, compressed ones included, and skips none that still exists.
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import type { ByteSource } from "../../runtime/log-lines.ts";

const COMPRESSED = ".gz";
const UNFINISHED = ".tmp";
const READ_BYTES = 64 * 1024;

/** One of the files, open; it stays readable when it is put aside, compressed or removed. */
export interface LogFile extends ByteSource {
  /** The name it was put aside under, without `.gz`; else that of the one before it. Names sort by time. */
  readonly place: string;
  /** The one that was written next; undefined while there is none with anything in it. */
  readonly successor: () => Promise<LogFile | undefined>;
  readonly close: () => Promise<void>;
}

/** The file being written now. Rejects when there is none. */
export async function openLog(path: string): Promise<PlainLog> {
  const handle = await open(path, "r").catch((error: unknown) => openNewest(path, error));
  try {
    const { ino } = await handle.stat();
    // Listed after opening: what was put aside by then is older, or this very file.
    const newest = (await putAside(path)).at(-1);
    const isItself = newest !== undefined && (await inodeOf(join(dirname(path), newest))) === ino;
    return new PlainLog(path, handle, { ino, place: bare(newest ?? ""), isPutAside: isItself });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** For the moment between putting the log aside and beginning a new one. */
async function openNewest(path: string, error: unknown): Promise<FileHandle> {
  const newest = (await putAside(path)).at(-1);
  if (newest === undefined || newest.endsWith(COMPRESSED)) throw error;
  return open(join(dirname(path), newest), "r");
}

interface Identity {
  readonly ino: number;
  readonly place: string;
  readonly isPutAside: boolean;
}

/** A file as the runtime wrote it. */
export class PlainLog implements LogFile {
  #position = 0;
  #identity: Identity;

  constructor(readonly path: string, readonly handle: FileHandle, identity: Identity) {
    this.#identity = identity;
  }

  get place(): string {
    return this.#identity.place;
  }

  get ino(): number {
    return this.#identity.ino;
  }

  startAt(position: number): void {
    this.#position = position;
  }

  async read(into: Buffer, at: number): Promise<number> {
    const { bytesRead } = await this.handle.read(into, at, into.length - at, this.#position);
    this.#position += bytesRead;
    return bytesRead;
  }

  async successor(): Promise<LogFile | undefined> {
    if (!this.#identity.isPutAside && (await inodeOf(this.path)) === this.ino) return undefined;
    await this.#findPlace();
    return openAfter(this.path, this);
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  /** Notes under which name it was put aside. */
  async #findPlace(): Promise<void> {
    if (this.#identity.isPutAside) return;
    const first = (await putAside(this.path)).find((name) => bare(name) > this.place);
    if (first === undefined) return;
    const { ino, nlink, size } = await this.handle.stat();
    const file = join(dirname(this.path), first);
    const isIt = nlink > 0 ? (await inodeOf(file)) === ino : first.endsWith(COMPRESSED) && (await sizeBefore(file)) === size % 2 ** 32;
    if (isIt) this.#identity = { ino, place: bare(first), isPutAside: true };
  }
}

/** A file that was compressed after it was put aside. */
class CompressedLog implements LogFile {
  readonly place: string;
  readonly #pieces: AsyncIterator<Buffer, undefined>;
  readonly #stop: () => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(readonly path: string, readonly handle: FileHandle, name: string) {
    const file = Readable.from(bytesOf(handle));
    const pieces = file.pipe(createGunzip());
    file.on("error", (error) => pieces.destroy(error));
    this.place = bare(name);
    this.#pieces = pieces[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
    this.#stop = () => (file.destroy(), pieces.destroy());
  }

  async read(into: Buffer, at: number): Promise<number> {
    while (this.#rest.length === 0) {
      const { value } = await this.#pieces.next();
      if (value === undefined) return 0;
      this.#rest = value;
    }
    const count = this.#rest.copy(into, at);
    this.#rest = this.#rest.subarray(count);
    return count;
  }

  successor(): Promise<LogFile | undefined> {
    return openAfter(this.path, this);
  }

  async close(): Promise<void> {
    this.#stop();
    await this.handle.close();
  }
}

async function* bytesOf(handle: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** The first file written after the one at `place`. */
async function openAfter(path: string, { place, ino }: { readonly place: string; readonly ino?: number }): Promise<LogFile | undefined> {
  for (;;) {
    const next = (await putAside(path)).find((name) => bare(name) > place);
    const file = next === undefined ? await orAbsent(openLog(path)) : await orAbsent(openPutAside(path, next));
    if (next === undefined && file === undefined) return undefined;
    // Compressed or removed since it was listed.
    if (file === undefined) continue;
    if (next !== undefined) return file;
    const { ino: current, handle } = file as PlainLog;
    // An empty one may be there before the runtime has let go of the one before it.
    const isUseful = current !== ino && (await handle.stat()).size > 0;
    if (isUseful && file.place <= place) return file;
    await file.close();
    if (file.place <= place) return undefined;
  }
}

async function openPutAside(path: string, name: string): Promise<LogFile> {
  const handle = await open(join(dirname(path), name), "r");
  if (name.endsWith(COMPRESSED)) return new CompressedLog(path, handle, name);
  return new PlainLog(path, handle, { ino: (await handle.stat()).ino, place: bare(name), isPutAside: true });
}

/** Names of the files put aside, oldest first; one being compressed is listed once. */
async function putAside(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  const all = await readdir(dirname(path)).catch(() => []);
  const names = all.filter((name) => name.startsWith(prefix) && !name.endsWith(UNFINISHED)).sort();
  return names.filter((name, index) => index === 0 || bare(name) !== names[index - 1]);
}

function bare(name: string): string {
  return name.endsWith(COMPRESSED) ? name.slice(0, -COMPRESSED.length) : name;
}

/** What a compressed file was long, modulo 2^32: its last four bytes (RFC 1952). */
async function sizeBefore(path: string): Promise<number | undefined> {
  const handle = await orAbsent(open(path, "r"));
  if (!handle) return undefined;
  try {
    const { size } = await handle.stat();
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(4), 0, 4, Math.max(0, size - 4));
    return bytesRead === 4 ? buffer.readUInt32LE() : undefined;
  } finally {
    await handle.close();
  }
}

function inodeOf(path: string): Promise<number | undefined> {
  return stat(path).then(({ ino }) => ino, () => undefined);
}

async function orAbsent<T>(opening: Promise<T>): Promise<T | undefined> {
  try {
    return await opening;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
