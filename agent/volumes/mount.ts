// The mounts a node's volumes need, as system calls: no process is started for one.
// Injected as `Mounter`, so that volumes can be tested without root.
import { dlopen, FFIType, read } from "bun:ffi";
import type { ImageFiles } from "../runtime/runtime.ts";
import { isMounted, isRemote, mountTable } from "./mounttable.ts";
import { endsWithin } from "./responsive.ts";

/** Mounting on this machine. Unmounting succeeds on absence. */
export interface Mounter {
  tmpfs(target: string, options: string): Promise<void>;
  /** Memory in pages of a size such as `2M`. */
  hugetlbfs(target: string, pageSize: string): Promise<void>;
  bind(source: string, target: string): Promise<void>;
  /** The files of an image; nobody can write there. */
  image(files: ImageFiles, target: string): Promise<void>;
  unmount(target: string): Promise<void>;
  isMountPoint(path: string): Promise<boolean>;
  /** Mount points at or below a directory, deepest first. */
  below(directory: string): Promise<string[]>;
}

/** The kernel refused a mount. */
export class MountError extends Error {
  override readonly name = "MountError";
  constructor(message: string, readonly errno: number) {
    super(`${message}: errno ${errno}`);
  }
}

const MS_RDONLY = 1n;
const MS_REMOUNT = 32n;
const MS_BIND = 4096n;
const MS_REC = 16384n;
/** The kernel reads one page of options. */
const PAGE_BYTES = 4096;
const MNT_DETACH = 2;
const REMOTE_UNMOUNT_MS = 10_000;
const EINVAL = 22;
const ENOENT = 2;
const EBUSY = 16;

type Libc = ReturnType<typeof openLibc>;
let libc: Libc | undefined;

function openLibc() {
  return dlopen("libc.so.6", {
    mount: { args: [FFIType.cstring, FFIType.cstring, FFIType.cstring, FFIType.u64, FFIType.cstring], returns: FFIType.i32 },
    umount2: { args: [FFIType.cstring, FFIType.i32], returns: FFIType.i32 },
    __errno_location: { args: [], returns: FFIType.ptr },
  }).symbols;
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`);

function errno(symbols: Libc): number {
  // libc's own name for it.
  // oxlint-disable-next-line no-underscore-dangle
  const location = symbols.__errno_location();
  return location === null ? 0 : read.i32(location, 0);
}

interface MountCall {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly flags: bigint;
  readonly data: string;
}

function mount(call: MountCall): void {
  libc ??= openLibc();
  if (libc.mount(text(call.source), text(call.target), text(call.type), call.flags, text(call.data)) === 0) return;
  throw new MountError(`mounting ${call.source} on ${call.target} failed`, errno(libc));
}

/** Mounts on this machine; needs root. */
export const hostMounter: Mounter = {
  async tmpfs(target, options) {
    mount({ source: "tmpfs", target, type: "tmpfs", flags: 0n, data: options });
  },

  async hugetlbfs(target, pageSize) {
    mount({ source: "nodev", target, type: "hugetlbfs", flags: 0n, data: `pagesize=${pageSize}` });
  },

  async bind(source, target) {
    mount({ source, target, type: "", flags: MS_BIND | MS_REC, data: "" });
  },

  async image({ type, source, options }, target) {
    if (type === "bind") {
      mount({ source, target, type: "", flags: MS_BIND, data: "" });
      mount({ source: "", target, type: "", flags: MS_BIND | MS_REMOUNT | MS_RDONLY, data: "" });
    } else {
      const data = options.filter((option) => option !== "ro").join(",");
      if (Buffer.byteLength(data) >= PAGE_BYTES) throw new Error(`an image of so many layers cannot be mounted: the kernel takes ${PAGE_BYTES} bytes of options, and this would be ${Buffer.byteLength(data)}`);
      mount({ source, target, type, flags: MS_RDONLY, data });
    }
  },

  async unmount(target) {
    libc ??= openLibc();
    // In a process of its own, which alone waits for a server that is gone.
    if (await isRemoteMount(target)) await endsWithin(Bun.spawn(["umount", target], { stdin: "ignore", stdout: "ignore", stderr: "ignore" }), REMOTE_UNMOUNT_MS);
    const code = (await isRemoteMount(target)) ? EBUSY : libc.umount2(text(target), 0) === 0 ? 0 : errno(libc);
    if (code === 0 || code === EINVAL || code === ENOENT) return;
    // Busy: out of sight now, released when the last user lets go.
    if (libc.umount2(text(target), MNT_DETACH) !== 0) throw new MountError(`unmounting ${target} failed`, errno(libc));
  },

  // By the kernel's table alone: looking at the path itself would wait for a server that is gone.
  isMountPoint: (path) => isMounted(path),

  async below(directory) {
    const points = (await mountTable()).map(({ point }) => point);
    return points.filter((point) => point === directory || point.startsWith(`${directory}/`)).reverse();
  },
};

async function isRemoteMount(target: string): Promise<boolean> {
  return isRemote((await mountTable()).findLast(({ point }) => point === target)?.type ?? "");
}
