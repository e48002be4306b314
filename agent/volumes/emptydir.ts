// emptyDir: a directory of the pod's own, on disk or in memory.
import { chmod, mkdir } from "node:fs/promises";
import { parseQuantity, wholeValue } from "../../api/quantity.ts";
import type { Mounter } from "./mount.ts";
import { applyFsGroup } from "./ownership.ts";
import type { VolumeKind } from "./volume.ts";
import type { Pod } from "../../api/types.ts";

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
      if (volume.emptyDir?.medium?.startsWith("HugePages") && !(await mounter.isMountPoint(dir))) {
        await mounter.hugetlbfs(dir, pageSize(pod, volume.name, volume.emptyDir.medium));
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

/** The size a medium names, else the one the pod's containers ask for, as the kernel writes it: `2M`. */
function pageSize(pod: Pod, volume: string, medium: string): string {
  const named = /^HugePages-(\d+[KMG])i$/.exec(medium)?.[1];
  if (named) return named;
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const sizes = new Set(containers.flatMap(({ resources }) => Object.keys(resources?.requests ?? resources?.limits ?? {})).flatMap((name) => /^hugepages-(\d+[KMG])i$/.exec(name)?.[1] ?? []));
  const [size] = sizes;
  if (size === undefined) throw new Error(`no medium requests specified for volume ${volume}: a container must ask for hugepages-<size>`);
  if (sizes.size > 1) throw new Error(`medium HugePages of volume ${volume} is ambiguous: the pod asks for several page sizes; use HugePages-<size>`);
  return size;
}
