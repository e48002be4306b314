// An advisory file lock that dies with its holder, shared with any other program that flocks the same file.
// Held only across a few synchronous file operations, so waiting for it may block.
import { dlopen, FFIType } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

const LOCK_EX = 2;
let flock: ((fd: number, operation: number) => number) | undefined;

/** Runs `body` while holding the file's exclusive lock; the kernel releases it even on kill -9. */
export function withFileLock<T>(path: string, body: () => T): T {
  flock ??= loadFlock();
  const fd = openSync(path, "a", 0o644);
  try {
    if (flock(fd, LOCK_EX) !== 0) throw new Error(`cannot lock ${path}`);
    return body();
  } finally {
    closeSync(fd);
  }
}

function loadFlock(): (fd: number, operation: number) => number {
  return dlopen("libc.so.6", { flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } }).symbols.flock;
}
