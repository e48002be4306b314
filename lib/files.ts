// Files that are there whole or not at all, also after a power cut; and those that may not be there.
import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Replaces a file by rename after a sync, so that a crash leaves the old or the new one; it has `mode` from its first byte. */
export function writeFileAtomic(path: string, text: string, mode: number): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const temporary = `${path}.${process.pid}.tmp`;
  const file = openSync(temporary, "w", mode);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  chmodSync(temporary, mode);
  renameSync(temporary, path);
  syncDirectory(directory);
}

/** The new name of a file is durable only once its directory is. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, "r");
  fsyncSync(handle);
  closeSync(handle);
}

/** A file's text; empty when it is not there or not to be read. */
export function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
