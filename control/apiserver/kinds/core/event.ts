// Events under both of their names: stored as core/v1, served as events.k8s.io/v1 too, gone after an hour.
import type { AnyObject, Event } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { nameColumn, printer, text, wide } from "../print/columns.ts";
import { since } from "../print/duration.ts";
import type { Printer } from "../strategy.ts";
import { validateCoreEvent, validateNewEvent } from "./event-validation.ts";

const HOUR_SECONDS = 3_600;

const corePrinter = printer<Event>(
  text("Last Seen", lastSeen, "When the event was last seen."),
  text("Type", ({ type }) => type ?? "", "The kind of event: Normal or Warning."),
  text("Reason", ({ reason }) => reason ?? "", "Why the event happened, in one word."),
  text("Object", ({ involvedObject: { kind = "", name } }) => (name ? `${kind.toLowerCase()}/${name}` : kind.toLowerCase()), "The object the event is about."),
  wide(text("Subobject", ({ involvedObject }) => involvedObject.fieldPath ?? "", "The part of the object the event is about.")),
  wide(text("Source", source, "Who reported the event.")),
  text("Message", ({ message }) => (message ?? "").trim(), "What happened."),
  wide(text("First Seen", firstSeen, "When the event was first seen.")),
  wide(text("Count", ({ series, count }) => series?.count ?? (count || 1), "How often the event was seen.")),
  wide(nameColumn()),
);

/** Events of the core group: what is stored. */
export const eventStrategy = define<Event>({
  group: "", kind: "Event",
  validate: validateCoreEvent,
  allowCreateOnUpdate: true,
  hasGeneration: false,
  ttlSeconds: () => HOUR_SECONDS,
  selectableFields: (event) => fieldsOf(event.involvedObject ?? {}, event),
  printer: corePrinter,
});

/** Events of their own group: another spelling of the same. */
export const eventsEventStrategy = define<AnyObject>({
  group: "events.k8s.io", kind: "Event",
  validate: validateNewEvent,
  allowCreateOnUpdate: true,
  hasGeneration: false,
  ttlSeconds: () => HOUR_SECONDS,
  selectableFields(event) {
    const fields = fieldsOf(event["regarding"] ?? {}, toStored(event) as unknown as Event);
    return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.replace("involvedObject.", "regarding.").replace("reportingComponent", "reportingController"), value]));
  },
  printer: { columns: corePrinter.columns, cells: (object, now) => corePrinter.cells(toStored(object) as unknown as Event, now) } satisfies Printer<AnyObject>,
  convert: { toStored, fromStored },
});

/** The core name of each field and its name in events.k8s.io. */
const RENAMED: readonly (readonly [string, string])[] = [
  ["involvedObject", "regarding"], ["message", "note"], ["source", "deprecatedSource"], ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"], ["count", "deprecatedCount"], ["reportingComponent", "reportingController"],
];

function toStored(event: AnyObject): AnyObject {
  return renamed(event, "v1", new Map(RENAMED.map(([core, fresh]) => [fresh, core])));
}

function fromStored(event: AnyObject): AnyObject {
  return renamed(event, "events.k8s.io/v1", new Map(RENAMED));
}

function renamed(event: AnyObject, apiVersion: string, names: ReadonlyMap<string, string>): AnyObject {
  const result: AnyObject = { metadata: event.metadata };
  for (const key in event) result[names.get(key) ?? key] = event[key];
  return { ...result, apiVersion };
}

function fieldsOf(involved: Partial<Event["involvedObject"]>, { reason, source: from, reportingComponent, type }: Event): Record<string, string> {
  return {
    "involvedObject.kind": involved.kind ?? "", "involvedObject.namespace": involved.namespace ?? "", "involvedObject.name": involved.name ?? "",
    "involvedObject.uid": involved.uid ?? "", "involvedObject.apiVersion": involved.apiVersion ?? "", "involvedObject.resourceVersion": involved.resourceVersion ?? "",
    "involvedObject.fieldPath": involved.fieldPath ?? "", reason: reason ?? "", reportingComponent: reportingComponent ?? "",
    source: from?.component || reportingComponent || "", type: type ?? "",
  };
}

function firstSeen({ firstTimestamp, eventTime }: Event, now: number): string {
  return since(firstTimestamp || eventTime, now);
}

function lastSeen(event: Event, now: number): string {
  if (event.series) return since(event.series.lastObservedTime, now);
  return event.lastTimestamp ? since(event.lastTimestamp, now) : firstSeen(event, now);
}

function source({ source: from, reportingComponent, reportingInstance }: Event): string {
  const component = from?.component || reportingComponent || "";
  const instance = from?.host || reportingInstance || "";
  return instance === "" ? component : `${component}, ${instance}`;
}
