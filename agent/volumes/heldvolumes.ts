// Which volumes pods are to have and have, by kind: what `volume_manager_total_volumes` shows.
// It is told by `volumes.ts`; what is on the disk is not looked at.

export interface VolumeCount {
  /** As the metrics name it: `kubernetes.io/empty-dir`. */
  readonly plugin: string;
  readonly wanted: number;
  readonly mounted: number;
}

interface Held {
  readonly plugin: string;
  isWanted: boolean;
  isMounted: boolean;
}

export class HeldVolumes {
  readonly #pods = new Map<string, Map<string, Held>>();

  want(uid: string, volume: string, plugin: string): void {
    const ofPod = this.#pods.get(uid) ?? new Map<string, Held>();
    this.#pods.set(uid, ofPod);
    const held = ofPod.get(volume);
    if (held) held.isWanted = true;
    else ofPod.set(volume, { plugin: pluginLabel(plugin), isWanted: true, isMounted: false });
  }

  mount(uid: string, volume: string): void {
    const held = this.#pods.get(uid)?.get(volume);
    if (held) held.isMounted = true;
  }

  /** Whether it is known to be mounted. */
  has(uid: string, volume: string): boolean {
    return this.#pods.get(uid)?.get(volume)?.isMounted ?? false;
  }

  /** The pod is to have none any more. */
  release(uid: string): void {
    for (const held of this.#pods.get(uid)?.values() ?? []) held.isWanted = false;
  }

  /** Nothing of the pod is there any more. */
  forget(uid: string): void {
    this.#pods.delete(uid);
  }

  counts(): VolumeCount[] {
    const counts = new Map<string, { plugin: string; wanted: number; mounted: number }>();
    for (const { plugin, isWanted, isMounted } of [...this.#pods.values()].flatMap((ofPod) => [...ofPod.values()])) {
      const count = counts.get(plugin) ?? { plugin, wanted: 0, mounted: 0 };
      counts.set(plugin, { plugin, wanted: count.wanted + Number(isWanted), mounted: count.mounted + Number(isMounted) });
    }
    return [...counts.values()];
  }
}

/** Directories cannot have a slash in their names, metrics can. */
export const pluginLabel = (plugin: string): string => plugin.replace("~", "/");
