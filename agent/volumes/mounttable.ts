// What is mounted where, from the kernel's own table: reading it never waits for any file system.
import { readFile } from "node:fs/promises";

export interface MountEntry {
  readonly point: string;
  /** As the kernel names it: `ext4`, `nfs4`, `fuse.sshfs`. */
  readonly type: string;
}

/** File systems whose server may be gone: the kernel waits for it, and with it whoever asked. */
const REMOTE = /^(nfs|fuse|cifs|smb|ceph|9p|glusterfs)/;

/** Counted from 0. */
const POINT_FIELD = 4;

/** In the order of mounting. */
export async function mountTable(): Promise<MountEntry[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n").filter(Boolean);
  return lines.map((line) => ({ point: unescape(line.split(" ")[POINT_FIELD] ?? ""), type: line.split(" - ")[1]?.split(" ")[0] ?? "" }));
}

/** Whether something is mounted right there. A node of many pods has a table of thousands of lines, and this is asked for each volume: it is not taken apart. */
export async function isMounted(point: string, table = "/proc/self/mountinfo"): Promise<boolean> {
  const text = await readFile(table, "latin1");
  const wanted = ` ${escape(point)} `;
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
    const line = text.slice(text.lastIndexOf("\n", at) + 1, at);
    // Behind the mount's id, its parent's, the device and the root, which may read the same.
    if (line.split(" ").length === POINT_FIELD) return true;
  }
  return false;
}

/** Whether somebody else than the kernel has to answer for a file system of this type. */
export function isRemote(type: string): boolean {
  return REMOTE.test(type);
}

function escape(path: string): string {
  return Buffer.from(path).toString("latin1").replace(/[ \t\n\\]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

/** The kernel writes blanks in paths as octal escapes. */
function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
