// Watching from a revision the cache no longer remembers but the store still has, as after a restart:
// the store's history first, with live events held back until it is through.
import type { Change, Store } from "../../store/store.ts";
import { Entry } from "../cache/entry.ts";
import type { Delivery } from "../cache/event.ts";
import type { ResourceCache } from "../cache/resource-cache.ts";
import { isSelected, type Selection } from "../cache/selection.ts";
import { splitStoreKey } from "../keys.ts";
import { gone } from "../../../api/errors.ts";
import type { WatchSink } from "./watch.ts";

export interface Replay {
  readonly store: Store;
  readonly cache: ResourceCache;
  readonly selection: Selection;
  readonly after: number;
  /** The caches' revision now: history ends here, live events start after it. */
  readonly upTo: number;
  readonly signal: AbortSignal;
  readonly sink: WatchSink;
}

/** Starts the watch; returns how to stop it. Bookmarks before history is through would lie, so the sink drops none: history is first. */
export function replay({ store, cache, selection, after, upTo, signal, sink }: Replay): () => void {
  const held: Delivery[] = [];
  let isThrough = false;
  const stopLive = cache.watchFromNow(selection, { deliver: (deliveries) => (isThrough ? sink.events(deliveries) : void held.push(...deliveries)) }, upTo);
  const history = new AbortController();
  const past = new PastView(cache.resource, selection);
  const onChanges = (changes: readonly Change[]): void => {
    if (isThrough || signal.aborted) return;
    const deliveries = changes.filter((change) => change.revision <= upTo).flatMap((change) => past.see(change));
    if (deliveries.length > 0) sink.events(deliveries);
    if ((changes.at(-1)?.revision ?? 0) < upTo) return;
    isThrough = true;
    history.abort();
    if (held.length > 0) sink.events(held.splice(0));
  };
  try {
    // Every revision is in the unfiltered feed, so its end cannot be missed.
    store.watch({ prefix: "", after, signal: history.signal, onChanges });
  } catch {
    queueMicrotask(() => sink.fail(gone(`too old resource version: ${after} (${cache.oldestRevision})`)));
  }
  return () => {
    history.abort();
    stopLive();
  };
}

/** What a selection sees of changes whose previous versions are not known. */
class PastView {
  readonly #matching = new Map<string, boolean>();

  constructor(private readonly resource: string, private readonly selection: Selection) {}

  see(change: Change): Delivery[] {
    const parts = splitStoreKey(change.key);
    if (parts?.resource !== this.resource) return [];
    const entry = new Entry(parts.namespace, parts.name, change.revision, { stored: change.value });
    const isNew = change.type === "put" && change.createRevision === change.revision;
    // Of an object not seen yet, assume the client knows it: a client ignores the end of what it never had.
    const matched = isNew ? false : (this.#matching.get(change.key) ?? true);
    const matches = change.type === "put" && isSelected(this.selection, entry);
    this.#matching.set(change.key, matches);
    if (matches) return [{ type: matched ? "MODIFIED" : "ADDED", entry, revision: change.revision }];
    return matched && this.#couldMatch(entry) ? [{ type: "DELETED", entry, revision: change.revision }] : [];
  }

  /** Name and namespace never change, so what fails on them never matched. */
  #couldMatch({ namespace, name }: Entry): boolean {
    return (this.selection.namespace ?? namespace) === namespace && (this.selection.name ?? name) === name;
  }
}
