// Own writes a cache has not shown yet: acting on such a cache would do things twice.
import { keyOf, type Lister } from "../../api/client/informer.ts";
import type { KubeObject } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";

interface Pending {
  /** The revision written; undefined waits for the object to be gone. */
  readonly revision: number | undefined;
  readonly since: number;
}

/** After this long a write that never showed up is no longer waited for. */
const EXPIRY_MS = 30_000;

/** Per reconciled key, the objects written and not yet seen. */
export class PendingWrites {
  readonly #byKey = new Map<string, Map<string, Pending>>();

  constructor(private readonly clock: Clock, private readonly cache: Pick<Lister<KubeObject>, "get">) {}

  /** Call with what a create or update returned. */
  wrote(key: string, object: KubeObject): void {
    // In one process the watch may well be ahead of the answer.
    const shown = this.cache.get(keyOf(object));
    if (!shown && object.metadata.deletionTimestamp) return;
    if (Number(shown?.metadata.resourceVersion ?? 0) < Number(object.metadata.resourceVersion)) this.#put(key, object.metadata.uid ?? "", Number(object.metadata.resourceVersion));
  }

  /** Call before a delete, or when an object the cache still has turned out to be gone. */
  deleted(key: string, object: KubeObject): void {
    const shown = this.cache.get(keyOf(object));
    // What the cache shows as going already will not be shown as going again.
    if (shown?.metadata.uid === object.metadata.uid && !shown?.metadata.deletionTimestamp) this.#put(key, object.metadata.uid ?? "", undefined);
  }

  /** The cache shows this object now; `isGone` when it shows that it was deleted. A delete is seen as soon as it has begun. */
  observed(key: string, object: KubeObject, isGone = false): void {
    const pending = this.#byKey.get(key);
    const write = pending?.get(object.metadata.uid ?? "");
    if (!pending || !write) return;
    const isShown = write.revision === undefined ? object.metadata.deletionTimestamp !== undefined : Number(object.metadata.resourceVersion) >= write.revision;
    if (!isGone && !isShown) return;
    pending.delete(object.metadata.uid ?? "");
    if (pending.size === 0) this.#byKey.delete(key);
  }

  /** Whether the cache may be behind for this key. */
  isBehind(key: string): boolean {
    const pending = this.#byKey.get(key);
    if (!pending) return false;
    const now = this.clock.now();
    for (const { since } of pending.values()) if (now - since < EXPIRY_MS) return true;
    this.#byKey.delete(key);
    return false;
  }

  #put(key: string, uid: string, revision: number | undefined): void {
    const pending = this.#byKey.get(key) ?? new Map<string, Pending>();
    this.#byKey.set(key, pending);
    pending.set(uid, { revision, since: this.clock.now() });
  }
}
