// How full pods' volumes are, read from their file systems when somebody asks.
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Pod, Volume } from "../../api/types.ts";
import { fsFigures, type FsFigures } from "./diskusage.ts";
import type { Paths } from "./paths.ts";

/** One claim's file system, in bytes and inodes. */
export interface ClaimFigures extends FsFigures {
  readonly namespace: string;
  readonly claim: string;
}

/** One volume of a pod. */
export interface VolumePlace {
  readonly name: string;
  readonly path: string;
  /** The claim it is from. */
  readonly claim?: string | undefined;
  /** Kept on the node's own disk, and counted as the pod's. */
  readonly isEphemeral: boolean;
  /** A file system of its own: what is used there is what it holds. */
  readonly isMount: boolean;
}

const MAX_CLAIMS = 1_000;

/** The persistent volume behind a claim. */
export interface BoundVolume {
  readonly name: string;
  /** Where on the node it is, for one that is not mounted anywhere else. */
  readonly hostPath?: string | undefined;
}

/** What claims are bound to. While a pod has a claim its binding never changes, so each is asked for once a pod: after it, another claim may have the name. */
export class BoundVolumes {
  readonly #known = new Map<string, BoundVolume>();

  constructor(readonly read: (namespace: string, claim: string) => Promise<BoundVolume | undefined>) {}

  /** undefined while the claim is not bound, or nobody can tell. */
  async of({ metadata: { namespace = "", uid } }: Pod, claim: string): Promise<BoundVolume | undefined> {
    const key = `${uid}/${claim}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const volume = await this.read(namespace, claim).catch(() => undefined);
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_CLAIMS && oldest !== undefined) this.#known.delete(oldest);
    if (volume !== undefined) this.#known.set(key, volume);
    return volume;
  }
}

export interface VolumeSources {
  readonly paths: Paths;
  readonly boundVolumes: BoundVolumes;
}

/** The claims these pods have mounted; one whose file system does not answer is left out. */
export async function claimFigures(sources: VolumeSources, pods: readonly Pod[]): Promise<ClaimFigures[]> {
  const found = new Map<string, Promise<ClaimFigures | undefined>>();
  for (const pod of pods) {
    const { namespace = "" } = pod.metadata;
    for (const volume of pod.spec?.volumes ?? []) {
      const claim = claimOf(pod, volume);
      if (claim === undefined) continue;
      found.set(`${namespace}/${claim}`, placeOf(sources, pod, volume).then(async (path) => {
        const figures = path === undefined ? undefined : await fsFigures(path);
        return figures && { namespace, claim, ...figures };
      }));
    }
  }
  return (await Promise.all(found.values())).filter((each) => each !== undefined);
}

/** Where the volumes of a pod are that upstream measures: those it keeps or mounts itself. */
export async function volumePlaces(sources: VolumeSources, pod: Pod): Promise<VolumePlace[]> {
  const places = (pod.spec?.volumes ?? []).filter(isMeasured).map(async (volume): Promise<VolumePlace | undefined> => {
    const path = await placeOf(sources, pod, volume);
    if (path === undefined) return undefined;
    const claim = claimOf(pod, volume);
    const isOnNode = claim !== undefined && !path.startsWith(sources.paths.pods);
    // Looking at a claim's own files would wait for a server that is gone.
    const isMount = !isOnNode && (claim !== undefined || volume.nfs !== undefined || (await isMountPoint(path)));
    return { name: volume.name, path, claim, isMount, isEphemeral: !isMount && claim === undefined };
  });
  return (await Promise.all(places)).filter((place) => place !== undefined);
}

const isMeasured = (volume: Volume): boolean => Boolean(volume.emptyDir ?? volume.configMap ?? volume.secret ?? volume.projected ?? volume.downwardAPI ?? volume.persistentVolumeClaim ?? volume.ephemeral ?? volume.nfs);

function claimOf({ metadata }: Pod, volume: Volume): string | undefined {
  return volume.persistentVolumeClaim?.claimName ?? (volume.ephemeral && `${metadata.name}-${volume.name}`);
}

/** A volume's directory is named after it, a claim's after the persistent volume behind it. */
async function placeOf({ paths, boundVolumes }: VolumeSources, pod: Pod, volume: Volume): Promise<string | undefined> {
  const { uid = "" } = pod.metadata;
  const claim = claimOf(pod, volume);
  const bound = claim === undefined ? { name: volume.name } : await boundVolumes.of(pod, claim);
  if (bound === undefined || bound.hostPath !== undefined) return bound?.hostPath;
  const { name } = bound;
  for (const plugin of await readdir(paths.volumes(uid)).catch(() => [])) {
    if ((await readdir(join(paths.volumes(uid), plugin)).catch((): string[] => [])).includes(name)) return join(paths.volumes(uid), plugin, name);
  }
  return undefined;
}

async function isMountPoint(path: string): Promise<boolean> {
  const [own, parent] = await Promise.all([stat(path).catch(() => undefined), stat(dirname(path)).catch(() => undefined)]);
  return own !== undefined && parent !== undefined && own.dev !== parent.dev;
}
