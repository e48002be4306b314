// Own writes a cache has not shown yet: acting on such a cache would do things twice.
import { keyOf, type Key, type Lister } from "../../api/client/informer.ts";
import { mayHaveLanded } from "../../api/errors.ts";
import type { KubeObject } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { LruMap } from "../../lib/lru.ts";

interface Pending {
  /** The highest revision written. */
  revision: number;
  /** What was deleted: UIDs by key. */
  readonly deleted: Map<Key, string>;
  /** What is known to be no more: a cache that shows it dying is behind all the same. */
  readonly gone: Map<Key, string>;
  since: number;
}

/** After this long a write that never showed up is no longer waited for: the history may have been set back. */
const EXPIRY_MS = 30_000;
/** Owners that wait for their writes at once; they wait for milliseconds. */
const MAX_OWNERS = 50_000;

/** Per reconciled key, what was written to the kind the cache holds and is not seen there yet. */
export class PendingWrites {
  readonly #byKey = new LruMap<Key, Pending>(MAX_OWNERS);

  constructor(private readonly clock: Clock, private readonly cache: Pick<Lister<KubeObject>, "get" | "revision">) {}

  /** Call with what a create, update or patch returned. */
  wrote(key: Key, object: KubeObject): void {
    const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = object.metadata;
    // The write that takes the last finalizer off ends the object, and its answer carries no revision of that end.
    if (deletionTimestamp && !deletionGracePeriodSeconds && !finalizers?.length) return this.gone(key, object);
    const pending = this.#pendingOf(key);
    pending.revision = Math.max(pending.revision, Number(object.metadata.resourceVersion ?? 0));
  }

  /** The object turned out not to be there any more. */
  gone(key: Key, object: KubeObject): void {
    this.#pendingOf(key).gone.set(keyOf(object), object.metadata.uid ?? "");
  }

  /** Deletes by `act`, and notes it; one that may have been carried out without an answer is waited for as well. */
  async deleting(key: Key, object: KubeObject, act: () => Promise<unknown>): Promise<void> {
    let isDone = true;
    try {
      await act();
    } catch (error) {
      isDone = mayHaveLanded(error);
      throw error;
    } finally {
      if (isDone) this.#pendingOf(key).deleted.set(keyOf(object), object.metadata.uid ?? "");
    }
  }

  /** Whether the object was deleted for this key, though the cache may still show it alive. */
  isDeleted(key: Key, object: KubeObject): boolean {
    return this.#byKey.get(key)?.deleted.get(keyOf(object)) === object.metadata.uid;
  }

  /** Whether the cache may be behind for this key; a delete is seen as soon as it has begun. */
  isBehind(key: Key): boolean {
    const pending = this.#byKey.get(key);
    if (!pending) return false;
    if (!this.#isSeen(pending) && this.clock.monotonic() - pending.since < EXPIRY_MS) return true;
    this.#byKey.delete(key);
    return false;
  }

  /** Whether there were writes, and the cache shows all of them: until `isBehind` is asked the next time. */
  isFulfilled(key: Key): boolean {
    const pending = this.#byKey.get(key);
    return pending !== undefined && this.#isSeen(pending);
  }

  #isSeen({ revision, deleted, gone }: Pending): boolean {
    if (this.cache.revision < revision) return false;
    for (const [key, uid] of gone) {
      if (this.cache.get(key)?.metadata.uid === uid) return false;
      gone.delete(key);
    }
    for (const [key, uid] of deleted) {
      const shown = this.cache.get(key);
      if (shown?.metadata.uid === uid && !shown.metadata.deletionTimestamp) return false;
      deleted.delete(key);
    }
    return true;
  }

  #pendingOf(key: Key): Pending {
    const pending = this.#byKey.get(key) ?? { revision: 0, deleted: new Map<Key, string>(), gone: new Map<Key, string>(), since: 0 };
    pending.since = this.clock.monotonic();
    this.#byKey.set(key, pending);
    return pending;
  }
}
