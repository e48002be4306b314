// A path inside a volume, bound to a place of its own so that a symbolic link the pod makes later cannot lead out.
// Every component is opened without following links, and what was opened is what gets mounted.
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, realpath, stat, writeFile, type FileHandle } from "node:fs/promises";
import { join, normalize, relative } from "node:path";
import type { Mounter } from "./mount.ts";

export interface SafeSubPath {
  readonly mounter: Mounter;
  readonly root: string;
  readonly subPath: string;
  /** Where the sub-path is bound; containers mount this. */
  readonly target: string;
  readonly fsGroup?: number | undefined;
}

/** Binds `root/subPath` to `target` and returns that; makes missing directories. Throws when the path leads out of the volume. */
export async function safeSubPath({ mounter, root, subPath, target }: SafeSubPath): Promise<string> {
  const clean = normalize(subPath);
  if (subPath.startsWith("/")) throw new Error(`error SubPath \`${subPath}\` must not be an absolute path`);
  if (subPath.split("/").includes("..")) throw new Error(`unable to provision SubPath \`${subPath}\`: must not contain '..'`);
  const base = await realpath(root);
  await makeMissing(base, clean);
  const handle = await openInside(base, clean, subPath);
  try {
    // The descriptor names exactly what was checked, however the path is changed meanwhile.
    const source = `/proc/self/fd/${handle.fd}`;
    const isDirectory = (await handle.stat()).isDirectory();
    if (await mounter.isMountPoint(target)) await mounter.unmount(target);
    if (isDirectory) await mkdir(target, { recursive: true });
    else if (!(await stat(target).catch(() => undefined))) await writeFile(target, "");
    await mounter.bind(source, target);
    return target;
  } finally {
    await handle.close();
  }
}

/** Makes the directories that do not exist, with the mode of the last one that does. */
async function makeMissing(base: string, path: string): Promise<void> {
  let current = base;
  for (const part of path.split("/").filter((p) => p !== "" && p !== ".")) {
    const parentMode = (await stat(current)).mode & 0o7777;
    const next = join(current, part);
    if (!(await lstat(next).catch(() => undefined))) {
      await mkdir(next, { mode: parentMode }).catch((error: NodeJS.ErrnoException) => {
        throw error.code === "EROFS" ? new Error(`subPath "${path}" does not exist in the volume, which is read only`, { cause: error }) : error;
      });
      await chmod(next, parentMode);
    }
    current = await realpath(next);
    if (isOutside(relative(base, current))) return;
  }
}

/** Names may begin with two dots, as those of atomically written volumes do. */
function isOutside(path: string): boolean {
  return path === ".." || path.startsWith("../") || path.startsWith("/");
}

async function openInside(base: string, path: string, shown: string): Promise<FileHandle> {
  const resolved = await realpath(join(base, path));
  const inside = relative(base, resolved);
  if (isOutside(inside)) throw new Error(`subPath "${shown}" evaluates to a path outside of the volume`);
  let handle = await open(base, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  for (const part of inside.split("/").filter(Boolean)) {
    const parent = handle;
    try {
      handle = await open(`/proc/self/fd/${parent.fd}/${part}`, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } finally {
      await parent.close();
    }
  }
  return handle;
}
