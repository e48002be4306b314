// Hands a volume to a pod's fsGroup: group ownership, group bits, and setgid on directories.
// Symbolic links are changed themselves, never what they point to.
import { chmod, lchown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "../../api/types.ts";

const SETGID = 0o2000;

/** Gives everything below `root` to the pod's fsGroup, if it has one. */
export async function applyFsGroup(pod: Pod, root: string, options: { readonly readOnly: boolean }): Promise<void> {
  const group = pod.spec?.securityContext?.fsGroup;
  if (group === undefined) return;
  if (pod.spec?.securityContext?.fsGroupChangePolicy === "OnRootMismatch" && (await isRightAlready(root, group, options.readOnly))) return;
  await own(root, group, options.readOnly);
}

/** Bits an entry must have for the group to use it. */
function groupBits(isDirectory: boolean, readOnly: boolean): number {
  const file = readOnly ? 0o440 : 0o660;
  return isDirectory ? file | 0o110 | SETGID : file;
}

async function isRightAlready(root: string, group: number, readOnly: boolean): Promise<boolean> {
  const { gid, mode } = await lstat(root);
  const wanted = groupBits(true, readOnly);
  return gid === group && (mode & wanted) === wanted;
}

async function own(path: string, group: number, readOnly: boolean): Promise<void> {
  const info = await lstat(path);
  await lchown(path, info.uid, group);
  if (info.isSymbolicLink()) return;
  // After lchown, because the kernel drops setgid when the owner changes.
  await chmod(path, (info.mode & 0o7777) | groupBits(info.isDirectory(), readOnly));
  if (info.isDirectory()) for (const name of await readdir(path)) await own(join(path, name), group, readOnly);
}
