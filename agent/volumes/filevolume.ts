// Volumes whose files come from the API: config maps, secrets, the downward API and projections of them.
// They are written atomically and brought up to date while containers run.
import { chmod, mkdir } from "node:fs/promises";
import type { Volume } from "../../api/types.ts";
import { hasPayload, writeAtomically } from "./atomicwriter.ts";
import type { Mounter } from "./mount.ts";
import { applyFsGroup } from "./ownership.ts";
import { volumePayload, type PayloadSources } from "./payload.ts";
import type { VolumeKind } from "./volume.ts";

interface FileKind {
  readonly plugin: string;
  readonly field: "configMap" | "secret" | "downwardAPI" | "projected";
  /** Kept off the disk, because it may be secret. */
  readonly inMemory: boolean;
}

const FILE_KINDS: readonly FileKind[] = [
  { plugin: "kubernetes.io~configmap", field: "configMap", inMemory: false },
  { plugin: "kubernetes.io~secret", field: "secret", inMemory: true },
  { plugin: "kubernetes.io~downward-api", field: "downwardAPI", inMemory: true },
  { plugin: "kubernetes.io~projected", field: "projected", inMemory: true },
];

/** All four kinds. */
export function fileVolumes(mounter: Mounter, sources: PayloadSources): VolumeKind[] {
  return FILE_KINDS.map((kind) => ({
    plugin: kind.plugin,
    isLive: true,
    handles: (volume: Volume) => volume[kind.field] !== undefined,
    async setup({ pod, volume, dir }) {
      // Asked for first, so that a missing source leaves nothing half made.
      const payload = await volumePayload(sources, pod, volume).catch(async (error: unknown) => {
        // A container that restarts while the API is away, or after its source was deleted, goes on with what it had.
        if (await hasPayload(dir)) return undefined;
        throw error;
      });
      if (!payload) return { hostPath: dir, readOnly: false };
      await mkdir(dir, { recursive: true });
      if (kind.inMemory && !(await mounter.isMountPoint(dir))) await mounter.tmpfs(dir, "mode=0755");
      await chmod(dir, 0o777);
      await writeAtomically(dir, payload, (fresh) => applyFsGroup(pod, fresh, { readOnly: true }));
      return { hostPath: dir, readOnly: false };
    },
  }));
}
