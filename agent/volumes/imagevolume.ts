// image: the files of an image, read only. The volume is only named here; it is mounted when the first container that wants it starts,
// because the image is pulled as part of that. Where the runtime mounts images itself, nothing is mounted on the node.
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ImageService } from "../runtime/runtime.ts";
import type { Mounter } from "./mount.ts";
import type { VolumeKind } from "./volume.ts";

export const IMAGE_PLUGIN = "kubernetes.io~image";

export function imageVolume(): VolumeKind {
  return {
    plugin: IMAGE_PLUGIN,
    handles: (volume) => volume.image !== undefined,
    setup: ({ volume }) => Promise.resolve({ hostPath: "", readOnly: true, image: volume.image?.reference ?? "" }),
  };
}

export interface ImageMountOptions {
  readonly mounter: Mounter;
  readonly images: ImageService;
  /** A pod's own directory. */
  readonly podDir: string;
  readonly uid: string;
}

/** The directory an image's files are mounted on for this pod's volume, once for all its containers; undefined where the runtime does that. */
export async function mountImage({ mounter, images, podDir, uid }: ImageMountOptions, volume: string, imageId: string): Promise<string | undefined> {
  const dir = join(podDir, "volumes", IMAGE_PLUGIN, volume);
  if (await mounter.isMountPoint(dir)) return dir;
  const files = await images.files(imageId, keyOf(uid, volume));
  if (!files) return undefined;
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await mounter.image(files, dir);
  return dir;
}

/** Lets go of what `mountImage` asked of the runtime, after the mounts are gone. */
export async function releaseImages({ images, podDir, uid }: Omit<ImageMountOptions, "mounter">): Promise<void> {
  for (const volume of await readdir(join(podDir, "volumes", IMAGE_PLUGIN)).catch(() => [])) await images.releaseFiles(keyOf(uid, volume));
}

const keyOf = (uid: string, volume: string): string => `minik8s-image-volume-${uid}-${volume}`;
