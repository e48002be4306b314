// The watch cache of one resource: every live object, its recent history, and who watches it.
// Fed in revision order by `caches.ts`; reads never touch the store.
import { badRequest, gone } from "../../../api/errors.ts";
import type { Change } from "../../store/store.ts";
import type { AnyObject } from "../../../api/types.ts";
import { Entry } from "./entry.ts";
import type { CacheEvent, Delivery } from "./event.ts";
import { History, type HistoryBounds } from "./history.ts";
import { Indexes } from "./indexes.ts";
import { compareNames, OrderedEntries, positionAfter } from "./ordered.ts";
import { isPlain, isSelected, type Selection } from "./selection.ts";
import { deliveryFor, Watchers, type Sink } from "./watchers.ts";

/** A page of a list. */
export interface Page {
  readonly entries: readonly Entry[];
  /** The entry the next page starts after, undefined when this is the last one. */
  readonly next: Entry | undefined;
  /** How many follow; undefined when selectors make that unknown. */
  readonly remaining: number | undefined;
}

export interface PageRequest {
  readonly selection: Selection;
  readonly limit?: number | undefined;
  readonly after?: { readonly namespace: string; readonly name: string } | undefined;
  /** List the state as it was at this revision; now when left out. */
  readonly at?: number | undefined;
}

/** One resource's objects. */
export class ResourceCache {
  readonly #entries = new OrderedEntries();
  readonly #indexes = new Indexes();
  readonly #watchers = new Watchers();
  readonly #history: History;

  constructor(readonly resource: string, since: number, bounds?: HistoryBounds) {
    this.#history = new History(since, bounds);
  }

  get size(): number {
    return this.#entries.size;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  /** The newest revision whose following changes are all remembered. */
  get oldestRevision(): number {
    return this.#history.since;
  }

  get(namespace: string, name: string): Entry | undefined {
    return this.#entries.get(namespace, name);
  }

  /** Live entries in key order, of one namespace or all. */
  entries(namespace?: string): readonly Entry[] {
    return this.#entries.sorted(namespace);
  }

  /** Puts an object read at start-up. */
  load(entry: Entry): void {
    this.#entries.set(entry);
  }

  /** Takes one committed change; returns the event for `dispatch`. */
  apply(change: Change, name: { namespace: string; name: string }, known: { object?: AnyObject | undefined; nowMs: number }): CacheEvent | undefined {
    const previous = this.#entries.get(name.namespace, name.name);
    if (change.type === "delete" && !previous) return undefined;
    const event = change.type === "put" ? this.#put(change, name, { previous, object: known.object }) : this.#remove(change, previous as Entry);
    this.#history.add(event, known.nowMs);
    return event;
  }

  /** Tells watchers; called once per batch, after all caches took it. */
  dispatch(events: readonly CacheEvent[]): void {
    this.#watchers.dispatch(events);
    for (const { previous } of events) previous?.shrink();
  }

  trim(nowMs: number): void {
    this.#history.trim(nowMs);
  }

  /** One page of the selected objects; throws 410 when the state at `at` is no longer known. */
  list(request: PageRequest): Page {
    const { selection, limit } = request;
    if (!limit && !request.after && request.at === undefined) {
      const entries = isPlain(selection) ? this.#entries.sorted(selection.namespace) : this.#select(selection);
      return { entries, next: undefined, remaining: undefined };
    }
    const entries: Entry[] = [];
    for (const entry of this.#walk(request)) {
      if (!isSelected(selection, entry)) continue;
      if (limit && entries.length === limit) return { entries, next: entries.at(-1), remaining: this.#remaining(request, entries.at(-1) as Entry) };
      entries.push(entry);
    }
    return { entries, next: undefined, remaining: undefined };
  }

  /**
   * Watches from after a revision: what is remembered comes back at once, what follows goes to `sink`.
   * Throws 410 when changes after `after` are forgotten here; the store may still have them.
   */
  watch(selection: Selection, after: number, sink: Sink): { readonly backlog: readonly Delivery[]; readonly stop: () => void } {
    if (after < this.oldestRevision) throw gone(`too old resource version: ${after} (${this.oldestRevision})`);
    const backlog: Delivery[] = [];
    for (const event of this.#history.after(after)) {
      const delivery = deliveryFor(selection, event);
      if (delivery) backlog.push(delivery);
    }
    return { backlog, stop: this.watchFromNow(selection, sink, after) };
  }

  /** Watches changes that are yet to come; those up to `after` are left out. */
  watchFromNow(selection: Selection, sink: Sink, after = 0): () => void {
    return this.#watchers.add({ selection, sink, after });
  }

  #put(change: Change, { namespace, name }: { namespace: string; name: string }, { previous, object }: { previous: Entry | undefined; object: AnyObject | undefined }): CacheEvent {
    const entry = new Entry(namespace, name, change.revision, { stored: change.value, object });
    this.#entries.set(entry);
    this.#indexes.update(previous, entry);
    return { type: previous ? "MODIFIED" : "ADDED", revision: change.revision, entry, previous };
  }

  #remove(change: Change, previous: Entry): CacheEvent {
    this.#entries.delete(previous.namespace, previous.name);
    this.#indexes.update(previous, undefined);
    const { object } = previous;
    // The last state travels with the revision of the removal.
    const entry = new Entry(previous.namespace, previous.name, change.revision, { stored: change.value, object: { ...object, metadata: { ...object.metadata } } });
    return { type: "DELETED", revision: change.revision, entry, previous };
  }

  #select(selection: Selection): Entry[] {
    if (selection.name !== undefined && selection.namespace !== undefined) {
      const entry = this.#entries.get(selection.namespace, selection.name);
      return entry && isSelected(selection, entry) ? [entry] : [];
    }
    const candidates = this.#indexes.candidates(selection, this.size, () => this.#entries.sorted()) ?? this.#entries.sorted(selection.namespace);
    const found: Entry[] = [];
    for (const entry of candidates) if (isSelected(selection, entry)) found.push(entry);
    return found;
  }

  /** Entries of the asked-for state in order, from where the page starts; the caller tests the rest of the selection. */
  #walk({ selection, after, at }: PageRequest): readonly Entry[] {
    const sorted = at === undefined ? this.#entries.sorted(selection.namespace) : this.#sortedAt(at, selection.namespace);
    return after ? sorted.slice(positionAfter(sorted, after)) : sorted;
  }

  /** The live entries with every change after `at` undone. */
  #sortedAt(at: number, namespace: string | undefined): readonly Entry[] {
    if (at < this.oldestRevision) throw gone("The resourceVersion for the provided list is too old.");
    const then = this.#history.statesAt(at);
    const live = this.#entries.sorted(namespace);
    if (then.size === 0) return live;
    const kept = live.filter((entry) => !then.has(`${entry.namespace}/${entry.name}`));
    for (const entry of then.values()) if (entry && (namespace ?? entry.namespace) === entry.namespace) kept.push(entry);
    return kept.sort(compareNames);
  }

  #remaining(request: PageRequest, last: Entry): number | undefined {
    return isPlain(request.selection) ? this.#walk({ ...request, after: last }).length : undefined;
  }
}

/** Parses a resourceVersion a client sent; throws 400 in upstream's words. */
export function parseRevision(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw badRequest(`Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}
