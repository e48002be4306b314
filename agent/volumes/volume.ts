// What a volume is to the kubelet: something made under a pod's directory, mounted into containers, and taken away again.
// One file per kind implements `VolumeKind`; `volumes.ts` runs them for a whole pod.
import type { Pod, Volume } from "../../api/types.ts";
import type { VolumeCount } from "./heldvolumes.ts";

/** One volume, ready to be mounted into containers. */
export interface MountedVolume {
  /** The directory (or file, device, socket for hostPath) on the node. */
  readonly hostPath: string;
  /** The kind itself allows no writing. */
  readonly readOnly: boolean;
  /** An image volume has no path until its image is pulled, and none at all where the runtime mounts images. */
  readonly image?: string;
  /** `hostPath` is a block device, for containers that want the device itself. */
  readonly isDevice?: boolean;
}

/** A volume with what stands behind its claim, where it has one. */
export type ResolvedVolume = Volume & {
  readonly local?: { readonly path: string } | undefined;
  /** The claim is for a raw block device instead of a file system. */
  readonly isBlock?: boolean;
  readonly mountOptions?: readonly string[];
  readonly readOnly?: boolean;
};

export interface VolumeContext {
  readonly pod: Pod;
  readonly volume: ResolvedVolume;
  /** The volume's own directory below the pod's. */
  readonly dir: string;
  readonly signal: AbortSignal;
}

/** One kind of volume. `setup` may run any number of times on a volume that is set up; taking it away is `volumes.ts`'s. */
export interface VolumeKind {
  /** Directory name as upstream's plugins have it, such as `kubernetes.io~empty-dir`. */
  readonly plugin: string;
  handles(volume: ResolvedVolume): boolean;
  setup(context: VolumeContext): Promise<MountedVolume>;
  /** Content changes with API objects, so `setup` is run again from time to time. */
  readonly isLive?: boolean;
}

/** A volume could not be set up; the message names the volume as upstream's FailedMount event does. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
  constructor(readonly volume: string, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A path inside a volume that one mount of one container asks for. */
export interface SubPathRequest {
  readonly pod: Pod;
  readonly volume: string;
  /** The volume's path on the node. */
  readonly root: string;
  readonly subPath: string;
  readonly container: string;
  /** Position of the mount in the container. */
  readonly index: number;
}

/** All volumes of a pod at once. */
export interface Volumes {
  /** A host path to mount for the sub-path, made when absent, that no symbolic link can lead out of the volume. */
  subPath(request: SubPathRequest): Promise<string>;
  /** Mounts a pulled image for a pod's volume; undefined where the runtime mounts images itself. */
  mountImage(pod: Pod, volume: string, imageId: string): Promise<string | undefined>;
  /** Sets up every volume a container mounts; rejects with the first VolumeError once all have been tried. */
  setup(pod: Pod, signal: AbortSignal): Promise<ReadonlyMap<string, MountedVolume>>;
  /** Brings live volumes (config maps, secrets, tokens) of a running pod up to date; errors are the next round's. */
  refresh(pod: Pod, signal: AbortSignal): Promise<void>;
  /** Takes away every volume of a pod, known or left behind by an earlier process. */
  teardown(uid: string): Promise<void>;
  /** How many volumes pods are to have and have, by kind. */
  counts(): VolumeCount[];
}
