// The watch cache of one resource: every live object, its recent history, and who watches it.
// Fed in revision order by `caches.ts`; reads never touch the store.
import { badRequest, gone } from "../../../api/errors.ts";
import type { Change } from "../../store/store.ts";
import type { AnyObject } from "../../../api/types.ts";
import { atOnce } from "../../../lib/turns.ts";
import { Entry } from "./entry.ts";
import type { CacheEvent, Delivery } from "./event.ts";
import { History, type HistoryBounds } from "./history.ts";
import { Indexes } from "./indexes.ts";
import { compareNames, mergeSorted, OrderedEntries, positionAfter } from "./ordered.ts";
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
    for (const { entry, previous } of events) {
      entry.rest();
      previous?.shrink();
    }
  }

  /** Forgets what is too old, and the parsed forms selectors and tables left behind. */
  trim(nowMs: number): void {
    this.#history.trim(nowMs);
    for (const entry of this.#entries.all()) entry.rest();
  }

  /** One page of the selected objects; throws 410 when the state at `at` is no longer known. */
  list(request: PageRequest): Page {
    return atOnce(this.pages(request));
  }

  /**
   * The same step by step: the page is of the state at the first step, however long the steps take.
   * Throws at the first step or not at all.
   */
  *pages({ selection, limit, after, at }: PageRequest): Generator<void, Page> {
    const sorted = at === undefined ? this.#candidates(selection) : this.#sortedAt(at, selection.namespace);
    const start = after ? positionAfter(sorted, after) : 0;
    if (isPlain(selection)) return plainPage(sorted, start, limit);
    const entries: Entry[] = [];
    for (let index = start; index < sorted.length; index++) {
      const entry = sorted[index] as Entry;
      yield;
      if (!isSelected(selection, entry)) continue;
      if (limit && entries.length === limit) return { entries, next: entries.at(-1), remaining: undefined };
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

  /** Live entries in order among which all selected are; the caller tests each. */
  #candidates(selection: Selection): readonly Entry[] {
    if (isPlain(selection)) return this.#entries.sorted(selection.namespace);
    if (selection.name !== undefined && selection.namespace !== undefined) {
      const entry = this.#entries.get(selection.namespace, selection.name);
      return entry ? [entry] : [];
    }
    return this.#indexes.candidates(selection, this.size, () => this.#entries.sorted()) ?? this.#entries.sorted(selection.namespace);
  }

  /** The live entries with every change after `at` undone. */
  #sortedAt(at: number, namespace: string | undefined): readonly Entry[] {
    if (at < this.oldestRevision) throw gone("The resourceVersion for the provided list is too old.");
    const then = this.#history.statesAt(at);
    const live = this.#entries.sorted(namespace);
    if (then.size === 0) return live;
    const kept = live.filter((entry) => !then.has(`${entry.namespace}/${entry.name}`));
    const restored = [...then.values()].filter((entry) => entry !== undefined && (namespace ?? entry.namespace) === entry.namespace) as Entry[];
    return mergeSorted(kept, restored.sort(compareNames));
  }
}

function plainPage(sorted: readonly Entry[], start: number, limit: number | undefined): Page {
  const end = limit ? start + limit : sorted.length;
  const entries = start === 0 && end >= sorted.length ? sorted : sorted.slice(start, end);
  const isLast = end >= sorted.length;
  return { entries, next: isLast ? undefined : entries.at(-1), remaining: isLast ? undefined : sorted.length - end };
}

/** Parses a resourceVersion a client sent; throws 400 in upstream's words. */
export function parseRevision(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw badRequest(`Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}
