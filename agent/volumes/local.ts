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
      const info = await stat(path).catch(() => undefined);
      if (!info) throw new Error(`path "${path}" does not exist`);
      if (volume.isBlock && !info.isBlockDevice()) throw new Error(`path "${path}" is no block device, and the volume's volumeMode is Block`);
      if (volume.isBlock) return { hostPath: path, readOnly: volume.readOnly ?? false, isDevice: true };
      if (info.isBlockDevice()) throw new Error(`path "${path}" is a block device without volumeMode Block; mount its file system on the node and name that directory`);
      await mkdir(dir, { recursive: true, mode: 0o750 });
      if (!(await mounter.isMountPoint(dir))) {
        await mounter.bind(path, dir);
        if (!volume.readOnly) await applyFsGroup(pod, dir, { readOnly: false });
      }
      return { hostPath: dir, readOnly: volume.readOnly ?? false };
    },
  };
}
