// Selecting by fields of a version that is not the stored one: objects must be converted, perhaps by a webhook, before they can be asked.
// So lists and watches take everything else first, convert, and then leave out what does not match.
import { apiVersionOf, type KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import type { Entry } from "../cache/entry.ts";
import type { Delivery } from "../cache/event.ts";
import { positionAfter, type Place } from "../cache/ordered.ts";
import { fieldsHold, metadataFields, type Selection } from "../cache/selection.ts";
import type { Engine } from "../engine.ts";
import type { WatchSink } from "./watch.ts";

/** Tells whether a converted object is selected. */
export type Matches = (entry: Entry) => boolean;

/** The selection without its fields, and what they ask for, where fields can only be read after a conversion that takes its time. */
export function lateSelection(engine: Engine, kind: KindInfo, selection: Selection): { readonly wide: Selection; readonly matches: Matches } | undefined {
  const strategy = engine.strategies.for(kind);
  if (selection.fields.length === 0 || !strategy.conversion?.isAsynchronous) return undefined;
  const fieldsOf = (object: AnyObject): Readonly<Record<string, string>> => ({ ...metadataFields(object), ...strategy.selectableFields?.(object) });
  const reader = { name: apiVersionOf(kind), read: (entry: Entry) => fieldsOf(entry.object) };
  return { wide: { ...selection, fields: [] }, matches: (entry) => fieldsHold({ ...selection, reader }, entry) };
}

/** A page of converted entries. */
export function latePage(entries: readonly Entry[], matches: Matches, { limit, after }: { limit: number | undefined; after: Place | undefined }): { readonly entries: readonly Entry[]; readonly next: Entry | undefined } {
  const rest = entries.slice(after ? positionAfter(entries, after) : 0).filter(matches);
  if (!limit || rest.length <= limit) return { entries: rest, next: undefined };
  const page = rest.slice(0, limit);
  return { entries: page, next: page.at(-1) };
}

/** Narrows a watch of converted entries: objects that start or stop matching appear and disappear. */
export class LateFilter implements WatchSink {
  readonly #matching = new Set<string>();
  #isLearning = false;

  constructor(private readonly matches: Matches, private readonly sink: WatchSink) {}

  /** The next deliveries are the state the client knows already. */
  learnNext(): void {
    this.#isLearning = true;
  }

  events(deliveries: readonly Delivery[]): void {
    const told = deliveries.flatMap((delivery) => this.#told(delivery) ?? []);
    const isKnown = this.#isLearning;
    this.#isLearning = false;
    if (told.length > 0 && !isKnown) this.sink.events(told);
  }

  bookmark(revision: number, initial: boolean): void {
    this.sink.bookmark(revision, initial);
  }

  fail(error: Parameters<WatchSink["fail"]>[0]): void {
    this.sink.fail(error);
  }

  #told(delivery: Delivery): Delivery | undefined {
    const { entry, type } = delivery;
    const key = `${entry.namespace}/${entry.name}`;
    const matched = this.#matching.has(key);
    const matchesNow = type !== "DELETED" && this.matches(entry);
    if (matchesNow) this.#matching.add(key);
    else this.#matching.delete(key);
    if (matchesNow) return { ...delivery, type: matched ? "MODIFIED" : "ADDED" };
    return matched ? { ...delivery, type: "DELETED" } : undefined;
  }
}
