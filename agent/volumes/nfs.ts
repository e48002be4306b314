// nfs: an export of another machine, mounted with the host's own tools, because its options and helpers are theirs.
import { mkdir } from "node:fs/promises";
import { run, type Exec } from "../../lib/exec.ts";
import type { Mounter } from "./mount.ts";
import { requireAnswer } from "./responsive.ts";
import type { VolumeKind } from "./volume.ts";

const MOUNT_TIMEOUT_MS = 120_000;

export function nfs(mounter: Mounter, exec: Exec): VolumeKind {
  return {
    plugin: "kubernetes.io~nfs",
    handles: (volume) => volume.nfs !== undefined,
    async setup({ volume, dir, signal }) {
      const { server = "", path = "", readOnly = false } = volume.nfs ?? {};
      const isReadOnly = readOnly || volume.readOnly === true;
      if (!(await mounter.isMountPoint(dir))) {
        await mkdir(dir, { recursive: true, mode: 0o750 });
        const options = [...(volume.mountOptions ?? []), ...(isReadOnly ? ["ro"] : [])];
        await run(exec, ["mount", "-t", "nfs", ...(options.length > 0 ? ["-o", options.join(",")] : []), `${server}:${path}`, dir], { timeoutMs: MOUNT_TIMEOUT_MS, signal });
      }
      await requireAnswer(dir);
      return { hostPath: dir, readOnly: isReadOnly };
    },
  };
}
