// All volumes of a pod at once: finds the kind of each, sets them up side by side, and takes every trace away again.
// What a kind does is in its own file; teardown needs to know only where pods live.
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Pod, Volume } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { ImageService } from "../runtime/runtime.ts";
import { HeldVolumes, pluginLabel } from "./heldvolumes.ts";
import { mountImage, releaseImages } from "./imagevolume.ts";
import type { Mounter } from "./mount.ts";
import { safeSubPath } from "./subpath.ts";
import { VolumeError, type MountedVolume, type ResolvedVolume, type SubPathRequest, type VolumeContext, type VolumeKind, type Volumes } from "./volume.ts";

const log = logger("volumes");

export interface VolumesOptions {
  readonly kinds: readonly VolumeKind[];
  readonly mounter: Mounter;
  readonly images: ImageService;
  /** Finds what stands behind a claim; a volume without one comes back as it is. */
  readonly resolve: (pod: Pod, volume: Volume) => Promise<ResolvedVolume>;
  /** The directory that holds a directory per pod uid. */
  readonly podsDir: string;
  readonly clock: Clock;
  /** Told of every volume that was mounted or unmounted, or could not be. */
  readonly onOperation?: (operation: VolumeOperation) => void;
}

export interface VolumeOperation {
  readonly name: "volume_mount" | "volume_unmount";
  /** As `pluginLabel` has it. */
  readonly plugin: string;
  readonly ms: number;
  readonly hasFailed: boolean;
}

/** The options, and what is remembered between calls. */
type Context = VolumesOptions & { readonly held: HeldVolumes };

/** Volumes below `<podsDir>/<uid>/volumes/<plugin>/<name>`, as upstream lays them out. */
export function createVolumes(given: VolumesOptions): Volumes {
  const claims = new KnownClaims(given.resolve);
  const held = new HeldVolumes();
  const options: Context = { ...given, held, resolve: (pod: Pod, volume: Volume) => claims.resolve(pod, volume) };
  return {
    setup: (pod, signal) => setupAll(options, pod, signal),
    refresh: (pod, signal) => refreshAll(options, pod, signal),
    teardown: async (uid) => {
      held.release(uid);
      await teardownAll(options, uid);
      held.forget(uid);
      claims.forget(uid);
    },
    counts: () => held.counts(),
    subPath: (request) => subPath(options, request),
    mountImage: (pod, volume, imageId) => mountImage({ ...options, uid: pod.metadata.uid ?? "", podDir: join(options.podsDir, pod.metadata.uid ?? "") }, volume, imageId),
  };
}

/** What stood behind the claims of pods that run still does when nobody can be asked. */
class KnownClaims {
  readonly #known = new Map<string, Map<string, ResolvedVolume>>();

  constructor(readonly ask: VolumesOptions["resolve"]) {}

  async resolve(pod: Pod, volume: Volume): Promise<ResolvedVolume> {
    if (!volume.persistentVolumeClaim && !volume.ephemeral) return this.ask(pod, volume);
    const uid = pod.metadata.uid ?? "";
    const ofPod = this.#known.get(uid) ?? new Map<string, ResolvedVolume>();
    try {
      const resolved = await this.ask(pod, volume);
      this.#known.set(uid, ofPod.set(volume.name, resolved));
      return resolved;
    } catch (error) {
      const known = ofPod.get(volume.name);
      if (known) return known;
      throw error;
    }
  }

  forget(uid: string): void {
    this.#known.delete(uid);
  }
}

async function setupAll(options: Context, pod: Pod, signal: AbortSignal): Promise<ReadonlyMap<string, MountedVolume>> {
  const results = await Promise.allSettled(usedVolumes(pod).map(async (volume) => [volume.name, await setup(options, { pod, volume, signal })] as const));
  const failure = results.find((result) => result.status === "rejected");
  if (failure) throw failure.reason;
  return new Map(results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])));
}

async function setup(options: Context, { pod, volume, signal }: Omit<VolumeContext, "dir">): Promise<MountedVolume> {
  try {
    const resolved = await options.resolve(pod, volume);
    const kind = kindOf(options, resolved);
    if (!kind) throw new Error("no volume plugin matched");
    if (resolved.isBlock && !resolved.local) throw new Error("volumeMode Block is supported for local volumes only");
    const uid = pod.metadata.uid ?? "";
    options.held.want(uid, volume.name, kind.plugin);
    const setUp = (): Promise<MountedVolume> => kind.setup({ pod, volume: resolved, dir: join(options.podsDir, uid, "volumes", kind.plugin, resolved.name), signal });
    // Done already, it is only looked at again.
    const mounted = await (options.held.has(uid, volume.name) ? setUp() : timed(options, { name: "volume_mount", plugin: kind.plugin }, setUp));
    options.held.mount(uid, volume.name);
    return resolved.readOnly ? { ...mounted, readOnly: true } : mounted;
  } catch (error) {
    throw new VolumeError(volume.name, (error as Error).message, { cause: error });
  }
}

async function refreshAll(options: Context, pod: Pod, signal: AbortSignal): Promise<void> {
  for (const volume of usedVolumes(pod)) {
    if (signal.aborted) return;
    if (!kindOf(options, volume)?.isLive) {
      await adopt(options, pod, volume);
      continue;
    }
    await setup(options, { pod, volume, signal }).catch((error: unknown) => log.debug({ err: error, pod: pod.metadata.name, volume: volume.name }, "refreshing a volume failed"));
  }
}

/** What an earlier process mounted for a pod that runs counts as mounted. */
async function adopt(options: Context, pod: Pod, volume: Volume): Promise<void> {
  const uid = pod.metadata.uid ?? "";
  if (options.held.has(uid, volume.name)) return;
  const kind = await options.resolve(pod, volume).then((resolved) => kindOf(options, resolved), () => undefined);
  if (!kind) return;
  options.held.want(uid, volume.name, kind.plugin);
  options.held.mount(uid, volume.name);
}

async function timed<T>({ clock, onOperation }: VolumesOptions, { name, plugin }: Pick<VolumeOperation, "name" | "plugin">, work: () => Promise<T>): Promise<T> {
  const begin = clock.monotonic();
  let hasFailed = true;
  try {
    const result = await work();
    hasFailed = false;
    return result;
  } finally {
    onOperation?.({ name, plugin: pluginLabel(plugin), ms: clock.monotonic() - begin, hasFailed });
  }
}

/** Only what a container mounts, or has as a device, is set up. */
export function usedVolumes(pod: Pod): Volume[] {
  const spec = pod.spec;
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...(spec?.ephemeralContainers ?? [])];
  const used = new Set(containers.flatMap((container) => [...(container.volumeMounts ?? []), ...(container.volumeDevices ?? [])]).map(({ name }) => name));
  return (spec?.volumes ?? []).filter((volume) => used.has(volume.name));
}

/** A volume without a source is an emptyDir, as the API says. */
function kindOf(options: VolumesOptions, volume: ResolvedVolume): VolumeKind | undefined {
  return options.kinds.find((kind) => kind.handles(Object.keys(volume).length === 1 ? { ...volume, emptyDir: {} } : volume));
}

/** A volume's own mount point, below its pod's directory. */
const VOLUME_BELOW = /^\/volumes\/([^/]+)\/[^/]+$/;

async function teardownAll(options: Context, uid: string): Promise<void> {
  const { mounter, images, podsDir } = options;
  const podDir = join(podsDir, uid);
  for (const point of await mounter.below(podDir)) {
    const [, plugin] = point.slice(podDir.length).match(VOLUME_BELOW) ?? [];
    await (plugin ? timed(options, { name: "volume_unmount", plugin }, () => mounter.unmount(point)) : mounter.unmount(point));
  }
  const left = await mounter.below(podDir);
  // What is still mounted is somebody's data; removing the directory would remove that.
  if (left.length > 0) throw new Error(`volumes of pod ${uid} are still mounted: ${left.join(", ")}`);
  await releaseImages({ images, podDir, uid });
  await rm(join(podDir, "volumes"), { recursive: true, force: true });
  await rm(join(podDir, "volume-subpaths"), { recursive: true, force: true });
}

async function subPath({ mounter, podsDir }: VolumesOptions, request: SubPathRequest): Promise<string> {
  const dir = join(podsDir, request.pod.metadata.uid ?? "", "volume-subpaths", request.volume, request.container);
  await mkdir(dir, { recursive: true, mode: 0o750 });
  return safeSubPath({ mounter, root: request.root, subPath: request.subPath, target: join(dir, String(request.index)), fsGroup: request.pod.spec?.securityContext?.fsGroup });
}

/** Uids of pods with a directory on this node. */
export async function podDirectories(podsDir: string): Promise<string[]> {
  return readdir(podsDir).catch(() => []);
}
