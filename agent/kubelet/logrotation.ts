// Keeps container logs small: a log over its size is put aside and a new one begun; old ones are compressed, then removed.
// Names are upstream's, so that log collectors know them: `0.log.20260131-120000`, then `.gz`.
import { createReadStream, createWriteStream } from "node:fs";
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/clock.ts";
import type { ContainerRecord, PodRuntime } from "../runtime/runtime.ts";

const log = logger("log-rotation");
const CHECK_MS = 10_000;

export interface LogRotationOptions {
  readonly runtime: Pick<PodRuntime, "reopenLog">;
  readonly clock: Clock;
  readonly running: () => readonly ContainerRecord[];
  readonly maxBytes?: number;
  /** Files per container, the one being written included. */
  readonly maxFiles?: number;
  readonly checkMs?: number;
}

/** Looks at every running container's log at intervals until the signal aborts. */
export async function rotateLogs(options: LogRotationOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await options.clock.sleep(options.checkMs ?? CHECK_MS, signal);
    if (signal.aborted) return;
    for (const record of options.running()) {
      await rotateIfLarge(options, record).catch((error: unknown) => log.warn({ err: error, log: record.logPath }, "rotating a log failed"));
    }
  }
}

/** Rotates one log when it is over its size; true when it did. */
export async function rotateIfLarge({ runtime, clock, maxBytes = 10 << 20, maxFiles = 5 }: LogRotationOptions, { id, logPath }: ContainerRecord): Promise<boolean> {
  const size = await stat(logPath).then((info) => info.size, () => undefined);
  if (size === undefined) {
    // An agent ended between putting the log aside and having a new one begun.
    await runtime.reopenLog(id);
    return false;
  }
  if (size < maxBytes) return false;
  const old = await rotatedOf(logPath);
  const aside = `${logPath}.${stamp(clock.now())}`;
  // Two of one second would have one name; the next look is soon enough.
  if (old.some((file) => file.startsWith(aside))) return false;
  // One is about to be added and one is being written.
  for (const file of old.splice(0, Math.max(0, old.length - (maxFiles - 2)))) await rm(file, { force: true });
  for (const file of old) if (!file.endsWith(".gz")) await compressFile(file);
  await rename(logPath, aside);
  try {
    await runtime.reopenLog(id);
  } catch (error) {
    // The runtime writes to the old file still; it must be found under its name.
    await rename(aside, logPath);
    throw error;
  }
  return true;
}

/** Rotated files of a log, oldest first; leftovers of a broken compression are removed. */
async function rotatedOf(logPath: string): Promise<string[]> {
  const dir = dirname(logPath);
  const prefix = `${basename(logPath)}.`;
  const names = (await readdir(dir)).filter((name) => name.startsWith(prefix));
  for (const name of names) if (name.endsWith(".tmp")) await rm(join(dir, name), { force: true });
  return names.filter((name) => !name.endsWith(".tmp")).sort().map((name) => join(dir, name));
}

async function compressFile(path: string): Promise<void> {
  // Piece by piece: what a container wrote between two looks may be more than the node has memory.
  await pipeline(createReadStream(path), createGzip(), createWriteStream(`${path}.tmp`));
  await rename(`${path}.tmp`, `${path}.gz`);
  await rm(path, { force: true });
}

function stamp(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
}
