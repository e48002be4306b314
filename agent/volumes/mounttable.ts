// What is mounted where, from the kernel's own table: reading it never waits for any file system.
import { readFile } from "node:fs/promises";

export interface MountEntry {
  readonly point: string;
  /** As the kernel names it: `ext4`, `nfs4`, `fuse.sshfs`. */
  readonly type: string;
}

/** File systems whose server may be gone: the kernel waits for it, and with it whoever asked. */
const REMOTE = /^(nfs|fuse|cifs|smb|ceph|9p|glusterfs)/;

/** In the order of mounting. */
export async function mountTable(): Promise<MountEntry[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter(Boolean);
  return lines.map((line) => ({ point: unescape(line.split(" ")[4] ?? ""), type: line.split(" - ")[1]?.split(" ")[0] ?? "" }));
}

/** Whether somebody else than the kernel has to answer for a file system of this type. */
export function isRemote(type: string): boolean {
  return REMOTE.test(type);
}

/** The kernel writes blanks in paths as octal escapes. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
