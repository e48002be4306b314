// local: a directory of this node's that a persistent volume names, bound into the pod's own directories.
import { mkdir, stat } from "node:fs/promises";
import type { Mounter } from "./mount.ts";
import { applyFsGroup } from "./ownership.ts";
import { requireAnswer } from "./responsive.ts";
import type { VolumeKind } from "./volume.ts";

export function local(mounter: Mounter): VolumeKind {
  return {
    plugin: "kubernetes.io~local-volume",
    handles: (volume) => volume.local !== undefined,
    async setup({ pod, volume, dir }) {
      const path = volume.local?.path ?? "";
      await requireAnswer(path);
      if (!(await stat(path).catch(() => undefined))) throw new Error(`path "${path}" does not exist`);
      await mkdir(dir, { recursive: true, mode: 0o750 });
      if (!(await mounter.isMountPoint(dir))) {
        await mounter.bind(path, dir);
        if (!volume.readOnly) await applyFsGroup(pod, dir, { readOnly: false });
      }
      return { hostPath: dir, readOnly: volume.readOnly ?? false };
    },
  };
}
