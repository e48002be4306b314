// For tests: a FUSE mount that nobody serves, as an NFS server that is gone looks to whoever touches it.
import { dlopen, FFIType } from "bun:ffi";
import { closeSync, mkdirSync, openSync } from "node:fs";

export interface DeadMount {
  /** Lets whoever waits go, with an error, and unmounts. */
  release(): void;
}

const MNT_DETACH = 2;
const text = (value: string): Buffer => Buffer.from(`${value}\0`);

/** Mounts it on a directory, which is made; needs root. */
export function deadMount(path: string): DeadMount {
  mkdirSync(path, { recursive: true });
  const { symbols } = dlopen("libc.so.6", {
    mount: { args: [FFIType.cstring, FFIType.cstring, FFIType.cstring, FFIType.u64, FFIType.cstring], returns: FFIType.i32 },
    umount2: { args: [FFIType.cstring, FFIType.i32], returns: FFIType.i32 },
  });
  const device = openSync("/dev/fuse", "r+");
  const code = symbols.mount(text("dead"), text(path), text("fuse"), 0n, text(`fd=${device},rootmode=40000,user_id=0,group_id=0,allow_other`));
  if (code !== 0) throw new Error(`could not mount a FUSE file system on ${path}; this needs root and /dev/fuse`);
  return {
    release() {
      // Closing the device aborts every request that waits.
      closeSync(device);
      symbols.umount2(text(path), MNT_DETACH);
    },
  };
}
