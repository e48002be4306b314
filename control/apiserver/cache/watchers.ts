// Who watches one resource, filed by the narrowest condition of each watcher,
// so that an event finds the few it concerns without asking the rest.
import { logger } from "../../../lib/log.ts";
import type { CacheEvent, Delivery } from "./event.ts";
import { isSelected, type FieldReader, type Selection } from "./selection.ts";

const log = logger("apiserver");

/** Receives deliveries of one batch, in order; must not throw. */
export interface Sink {
  deliver(deliveries: readonly Delivery[]): void;
}

/** One registered watcher; `after` is the newest revision it already knows. */
export interface Watcher {
  readonly selection: Selection;
  readonly sink: Sink;
  readonly after: number;
}

interface FieldFile {
  readonly reader: FieldReader;
  readonly field: string;
  readonly byValue: Map<string, Set<Watcher>>;
}

/** What each watcher is to be handed of one batch of events. */
type Batches = Map<Watcher, Delivery[]>;

const NOBODY: ReadonlySet<Watcher> = new Set();

/** The watchers of one resource. */
export class Watchers {
  readonly #everything = new Set<Watcher>();
  readonly #byNamespace = new Map<string, Set<Watcher>>();
  readonly #byName = new Map<string, Set<Watcher>>();
  readonly #byField = new Map<string, FieldFile>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Registers; returns how to stop. */
  add(watcher: Watcher): () => void {
    const { set, drop } = this.#fileOf(watcher);
    set.add(watcher);
    this.#size++;
    return () => {
      if (!set.delete(watcher)) return;
      this.#size--;
      if (set.size === 0) drop();
    };
  }

  /** Hands a batch of events to everyone concerned, each watcher once. */
  dispatch(events: readonly CacheEvent[]): void {
    if (this.#size === 0) return;
    const batches: Batches = new Map();
    for (const event of events) {
      for (const watcher of this.#everything) offer(watcher, event, batches);
      for (const watcher of this.#byNamespace.get(event.entry.namespace) ?? NOBODY) offer(watcher, event, batches);
      if (this.#byName.size > 0) this.#offerByName(event, batches);
      for (const file of this.#byField.values()) offerByField(file, event, batches);
    }
    for (const [watcher, deliveries] of batches) hand(watcher, deliveries);
  }

  /** To those who watch the name in every namespace, and those who watch it in one. */
  #offerByName(event: CacheEvent, batches: Batches): void {
    const { namespace, name } = event.entry;
    for (const watcher of this.#byName.get(`/${name}`) ?? NOBODY) offer(watcher, event, batches);
    if (namespace === "") return;
    for (const watcher of this.#byName.get(`${namespace}/${name}`) ?? NOBODY) offer(watcher, event, batches);
  }

  #fileOf({ selection }: Watcher): { set: Set<Watcher>; drop: () => void } {
    const { namespace, name, fields, reader } = selection;
    if (name !== undefined) return setIn(this.#byName, `${namespace ?? ""}/${name}`);
    const exact = fields.find((requirement) => requirement.operator === "=");
    if (exact) {
      const key = `${reader.name} ${exact.field}`;
      let file = this.#byField.get(key);
      if (!file) this.#byField.set(key, (file = { reader, field: exact.field, byValue: new Map() }));
      const { set, drop } = setIn(file.byValue, exact.value);
      return { set, drop: () => { drop(); if (file.byValue.size === 0) this.#byField.delete(key); } };
    }
    return namespace === undefined ? { set: this.#everything, drop: () => {} } : setIn(this.#byNamespace, namespace);
  }
}

/** One that throws must not keep the others from being told. */
function hand({ sink }: Watcher, deliveries: readonly Delivery[]): void {
  try {
    sink.deliver(deliveries);
  } catch (error) {
    log.error({ err: error }, "a watcher failed on events it was told of");
  }
}

/** How a selection sees an event: objects that start or stop matching appear and disappear. */
export function seenBy(selection: Selection, event: CacheEvent): Delivery["type"] | undefined {
  const matched = event.previous !== undefined && isSelected(selection, event.previous);
  const matches = event.type !== "DELETED" && isSelected(selection, event.entry);
  if (matches) return matched ? "MODIFIED" : "ADDED";
  return matched ? "DELETED" : undefined;
}

/** What a watcher with this selection is told of an event, undefined when it is not concerned. */
export function deliveryFor(selection: Selection, event: CacheEvent): Delivery | undefined {
  const type = seenBy(selection, event);
  return type && { type, entry: event.entry, revision: event.revision };
}

/** To those who watch what the field says now, and what it said before. */
function offerByField({ reader, field, byValue }: FieldFile, event: CacheEvent, batches: Batches): void {
  const { entry, previous } = event;
  const now = reader.read(entry)[field] ?? "";
  const then = previous ? (reader.read(previous)[field] ?? "") : now;
  for (const watcher of byValue.get(now) ?? NOBODY) offer(watcher, event, batches);
  if (then !== now) for (const watcher of byValue.get(then) ?? NOBODY) offer(watcher, event, batches);
}

function offer(watcher: Watcher, event: CacheEvent, batches: Batches): void {
  if (event.revision <= watcher.after) return;
  const delivery = deliveryFor(watcher.selection, event);
  if (!delivery) return;
  const batch = batches.get(watcher);
  if (batch) batch.push(delivery);
  else batches.set(watcher, [delivery]);
}

function setIn(map: Map<string, Set<Watcher>>, key: string): { set: Set<Watcher>; drop: () => void } {
  let set = map.get(key);
  if (!set) map.set(key, (set = new Set()));
  const found = set;
  return { set, drop: () => { if (map.get(key) === found) map.delete(key); } };
}
