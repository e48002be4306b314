// How much is below directories, in bytes and in files, as `du` counts it: on their own file system only.
import { statfs } from "node:fs/promises";
import type { Exec } from "../../lib/exec.ts";

export interface DiskUsage {
  readonly bytes: number;
  readonly inodes: number;
}

/** A file system's room, in bytes and inodes. */
export interface FsFigures {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly usedBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

const TIMEOUT_MS = 30_000;
const LOOK_MS = 1_000;
/** One command line has room for so many paths. */
const BATCH = 500;

/** Usage by path, all counted in one go; a path that is not there is left out. */
export async function diskUsages(exec: Exec, paths: readonly string[], { countsInodes = true }: { readonly countsInodes?: boolean } = {}): Promise<Map<string, DiskUsage>> {
  const result = new Map<string, DiskUsage>();
  for (let i = 0; i < paths.length; i += BATCH) {
    const batch = paths.slice(i, i + BATCH);
    const [bytes, inodes] = await Promise.all([du(exec, "-B1", batch), countsInodes ? du(exec, "--inodes", batch) : new Map<string, number>()]);
    for (const [path, count] of bytes) result.set(path, { bytes: count, inodes: inodes.get(path) ?? 0 });
  }
  return result;
}

/** Bytes below one path; 0 for one that is not there. */
export async function bytesBelow(exec: Exec, path: string): Promise<number> {
  return (await diskUsages(exec, [path], { countsInodes: false })).get(path)?.bytes ?? 0;
}

/** The file system a path is on; undefined for one that does not answer: a dead server must not hold up the others' figures. */
export async function fsFigures(path: string): Promise<FsFigures | undefined> {
  const answer = await Promise.race([statfs(path).catch(() => undefined), Bun.sleep(LOOK_MS).then(() => undefined)]);
  return answer && { capacityBytes: answer.blocks * answer.bsize, availableBytes: answer.bavail * answer.bsize, usedBytes: (answer.blocks - answer.bfree) * answer.bsize, inodes: answer.files, inodesFree: answer.ffree };
}

async function du(exec: Exec, what: "-B1" | "--inodes", paths: readonly string[]): Promise<Map<string, number>> {
  if (paths.length === 0) return new Map();
  // `-l`: what is linked from two of the directories counts for both.
  const { stdout } = await exec(["du", "-s", "-x", "-l", what, "--", ...paths], { timeoutMs: TIMEOUT_MS });
  return new Map(stdout.split("\n").flatMap((line) => {
    const [count, path] = line.split("\t");
    return count && path !== undefined ? [[path, Number(count)] as const] : [];
  }));
}
