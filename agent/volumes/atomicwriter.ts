// Replaces the files of a volume all at once, so that a reader sees the old set or the new and never a mixture.
// Layout as upstream: files live in a dated directory, `..data` points to it, and visible names point through `..data`.
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

export interface PayloadFile {
  readonly data: Uint8Array;
  readonly mode: number;
  /** Owner, where the file is for one user only. */
  readonly uid?: number | undefined;
}

/** Files by their path inside the volume. */
export type Payload = ReadonlyMap<string, PayloadFile>;

/** A path that would leave the volume or hide its machinery; the message is upstream's. */
export class PayloadError extends Error {
  override readonly name = "PayloadError";
}

const DATA = "..data";
const NEW_DATA = "..data_tmp";

/** Brings `dir` to hold exactly the payload. `prepare` is called on the finished new directory before it shows. True when anything changed. */
export async function writeAtomically(dir: string, payload: Payload, prepare: (directory: string) => Promise<void>): Promise<boolean> {
  for (const path of payload.keys()) check(path);
  const old = await readlink(join(dir, DATA)).catch(() => undefined);
  if (old !== undefined && (await holds(join(dir, old), payload))) return false;

  const fresh = await mkdtemp(join(dir, `..${stamp(new Date())}.`));
  await chmod(fresh, 0o755);
  await writeFiles(fresh, payload);
  await prepare(fresh);
  await rm(join(dir, NEW_DATA), { force: true });
  await symlink(fresh.slice(dir.length + 1), join(dir, NEW_DATA));
  await rename(join(dir, NEW_DATA), join(dir, DATA));

  const visible = new Set([...payload.keys()].map((path) => path.split("/")[0] as string));
  await showNames(dir, visible);
  if (old !== undefined) await rm(join(dir, old), { recursive: true, force: true });
  return true;
}

/** Whether `dir` has held a payload since it was made. */
export async function hasPayload(dir: string): Promise<boolean> {
  return (await readlink(join(dir, DATA)).catch(() => undefined)) !== undefined;
}

function check(path: string): void {
  if (path === "") throw new PayloadError("invalid path: must not be empty: ");
  if (path.startsWith("/")) throw new PayloadError(`invalid path: must be relative path: ${path}`);
  if (path.split("/").includes("..")) throw new PayloadError(`invalid path: must not contain '..': ${path}`);
  if (path.startsWith("..")) throw new PayloadError(`invalid path: must not start with '..': ${path}`);
}

/** The time without anything a file name could stumble over. */
function stamp(now: Date): string {
  return now.toISOString().slice(0, 19).replace(/[-T:]/g, "_");
}

async function writeFiles(root: string, payload: Payload): Promise<void> {
  for (const [path, file] of payload) {
    const target = join(root, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, file.data, { mode: file.mode });
    // Not left to the umask.
    await chmod(target, file.mode);
    if (file.uid !== undefined) await chown(target, file.uid, -1);
  }
}

async function holds(root: string, payload: Payload): Promise<boolean> {
  const present = await filesBelow(root).catch(() => undefined);
  if (!present || present.length !== payload.size) return false;
  for (const [path, file] of payload) {
    const info = await lstat(join(root, path)).catch(() => undefined);
    if (!info?.isFile() || info.size !== file.data.length) return false;
    if (!Buffer.from(file.data).equals(await readFile(join(root, path)))) return false;
  }
  return true;
}

async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
}

/** Makes a link for each name and takes away those nothing is behind any more. */
async function showNames(dir: string, visible: ReadonlySet<string>): Promise<void> {
  const present = await readdir(dir);
  for (const name of visible) if (!present.includes(name)) await symlink(join(DATA, name), join(dir, name));
  for (const name of present) if (!name.startsWith("..") && !visible.has(name)) await unlink(join(dir, name));
}
