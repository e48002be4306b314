// The files Docker's JSON log of one container is in: `x-json.log`, and `.1`, `.2` and on, the higher the older.
// The engine renames them all with every rotation and tells nobody; what they are read for is `log-follower.ts`'s.
import { type FileHandle, open, stat } from "node:fs/promises";
import type { ByteSource } from "../log-lines.ts";

/** How many files the engine keeps of a log, the one being written included. */
export const JSON_LOG_FILES = 5;

/** One of the files, open; it stays readable when it is renamed or removed. */
export class JsonLogFile implements ByteSource {
  constructor(readonly path: string, readonly handle: FileHandle, readonly inode: number, public offset = 0) {}

  async read(into: Buffer, at: number): Promise<number> {
    const { bytesRead } = await this.handle.read(into, at, into.length - at, this.offset);
    this.offset += bytesRead;
    return bytesRead;
  }

  /** The file that was begun when this one was put aside; undefined while this one is being written. */
  async successor(): Promise<JsonLogFile | undefined> {
    for (;;) {
      const own = await this.#index();
      if (own === 0) return undefined;
      const next = own === undefined ? await openOldest(this.path) : await openAt(this.path, own - 1);
      // Renamed between the two looks: what was opened may be a later one.
      if (own === (await this.#index())) return next;
      await next?.close();
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }

  async #index(): Promise<number | undefined> {
    for (let index = 0; index < JSON_LOG_FILES; index++) if ((await inodeOf(nameOf(this.path, index))) === this.inode) return index;
    return undefined;
  }
}

/** The file in which reading stopped, at the place it stopped at; else the oldest there is. */
export async function openJsonLog(path: string, stopped: { readonly inode: number; readonly offset: number }): Promise<JsonLogFile | undefined> {
  for (let index = 0; index < JSON_LOG_FILES; index++) {
    const file = await openAt(path, index);
    // Another file may have its number by now.
    if (file?.inode === stopped.inode && (await file.handle.stat()).size >= stopped.offset) return new JsonLogFile(path, file.handle, file.inode, stopped.offset);
    await file?.close();
  }
  return openOldest(path);
}

async function openOldest(path: string): Promise<JsonLogFile | undefined> {
  for (let index = JSON_LOG_FILES - 1; index >= 0; index--) {
    const file = await openAt(path, index);
    if (file) return file;
  }
  return undefined;
}

async function openAt(path: string, index: number): Promise<JsonLogFile | undefined> {
  const handle = await open(nameOf(path, index), "r").catch(() => undefined);
  return handle && new JsonLogFile(path, handle, (await handle.stat()).ino);
}

function nameOf(path: string, index: number): string {
  return index === 0 ? path : `${path}.${index}`;
}

function inodeOf(path: string): Promise<number | undefined> {
  return stat(path).then(({ ino }) => ino, () => undefined);
}
