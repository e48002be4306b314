// Pods no node took, by the plugins that turned them away, so that an event looks only at pods it may concern.
// Pods a plugin keeps out of the queue altogether wait for that plugin alone.
import type { QueuedPod } from "./queuedpod.ts";

/** The waiting pods, oldest first. */
export class WaitingPods {
  readonly #rejected = new Map<string, QueuedPod>();
  readonly #gated = new Map<string, QueuedPod>();
  /** By plugin name; "" holds pods turned away for no plugin's reason, which any event may help. */
  readonly #byPlugin = new Map<string, Map<string, QueuedPod>>();

  get rejectedCount(): number {
    return this.#rejected.size;
  }

  get gatedCount(): number {
    return this.#gated.size;
  }

  /** The one that waits the longest, gated ones aside. */
  get oldest(): QueuedPod | undefined {
    return this.#rejected.values().next().value;
  }

  get(uid: string): QueuedPod | undefined {
    return this.#rejected.get(uid) ?? this.#gated.get(uid);
  }

  add(queued: QueuedPod): void {
    const { uid } = queued.info;
    (queued.gate ? this.#gated : this.#rejected).set(uid, queued);
    for (const plugin of pluginsOf(queued)) {
      const pods = this.#byPlugin.get(plugin);
      if (pods) pods.set(uid, queued);
      else this.#byPlugin.set(plugin, new Map([[uid, queued]]));
    }
  }

  remove(uid: string): QueuedPod | undefined {
    const queued = this.get(uid);
    if (!queued) return undefined;
    this.#gated.delete(uid);
    this.#rejected.delete(uid);
    for (const plugin of pluginsOf(queued)) {
      const pods = this.#byPlugin.get(plugin);
      pods?.delete(uid);
      if (pods?.size === 0) this.#byPlugin.delete(plugin);
    }
    return queued;
  }

  /** Plugins and the pods they turned away. */
  groups(): Iterable<[string, ReadonlyMap<string, QueuedPod>]> {
    return this.#byPlugin;
  }
}

function pluginsOf({ rejectedBy }: QueuedPod): Iterable<string> {
  return rejectedBy.size === 0 ? [""] : rejectedBy;
}
