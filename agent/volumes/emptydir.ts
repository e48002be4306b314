// emptyDir: a directory of the pod's own, on disk or in memory.
import { chmod, mkdir } from "node:fs/promises";
import { parseQuantity, wholeValue } from "../../api/quantity.ts";
import type { Mounter } from "./mount.ts";
import { applyFsGroup } from "./ownership.ts";
import type { VolumeKind } from "./volume.ts";

export const EMPTY_DIR_PLUGIN = "kubernetes.io~empty-dir";

/** `memoryLimit` is what a memory-backed volume may use at most, in bytes, beside its own sizeLimit. */
export function emptyDir(mounter: Mounter, memoryLimit: () => number): VolumeKind {
  return {
    plugin: EMPTY_DIR_PLUGIN,
    handles: (volume) => volume.emptyDir !== undefined,
    async setup({ pod, volume, dir }) {
      const isNew = (await mkdir(dir, { recursive: true })) !== undefined;
      let isMounted = false;
      if (volume.emptyDir?.medium === "Memory" && !(await mounter.isMountPoint(dir))) {
        const limit = volume.emptyDir.sizeLimit === undefined ? 0 : wholeValue(parseQuantity(volume.emptyDir.sizeLimit));
        const size = limit > 0 ? Math.min(limit, memoryLimit()) : memoryLimit();
        await mounter.tmpfs(dir, `size=${size}`);
        isMounted = true;
      }
      // Afterwards it is the pod's own: what containers did to it stays.
      if (isNew || isMounted) {
        await chmod(dir, 0o777);
        await applyFsGroup(pod, dir, { readOnly: false });
      }
      return { hostPath: dir, readOnly: false };
    },
  };
}
