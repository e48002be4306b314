// Rules for events: lax for the old client libraries, strict for the new one.
import { field, type FieldError } from "../../../../api/errors.ts";
import type { AnyObject, Event } from "../../../../api/types.ts";
import { check, qualifiedName } from "../validation/names.ts";

const MAX_TEXT = 128;
const MAX_NOTE = 1024;

/** Rules for an event of the core group. */
export function validateCoreEvent(event: Event): FieldError[] {
  const { metadata, involvedObject: { namespace = "" } = {} as Event["involvedObject"] } = event;
  const errors: FieldError[] = [];
  const mismatch = (): void => void errors.push(field.invalid("involvedObject.namespace", namespace, "does not match event.namespace"));
  const own = metadata.namespace ?? "";
  if (!event.eventTime) {
    if (namespace === "" ? own !== "" && own !== "default" : own !== namespace) mismatch();
    return errors;
  }
  if (namespace === "" && own !== "default" && own !== "kube-system") mismatch();
  newStyleErrors({ controllerField: "reportingComponent", controller: event.reportingComponent ?? "", instance: event.reportingInstance ?? "", action: event.action ?? "", reason: event.reason ?? "", note: event.message ?? "" }, errors);
  return errors;
}

/** Rules for an event of events.k8s.io. */
export function validateNewEvent(event: AnyObject): FieldError[] {
  const errors: FieldError[] = [];
  const namespace = (event["regarding"]?.namespace ?? "") as string;
  const own = event.metadata.namespace ?? "";
  if (event["eventTime"] && namespace === "" && own !== "default" && own !== "kube-system") errors.push(field.invalid("involvedObject.namespace", namespace, "does not match event.namespace"));
  if (event["eventTime"]) {
    newStyleErrors({ controllerField: "reportingController", controller: event["reportingController"] ?? "", instance: event["reportingInstance"] ?? "", action: event["action"] ?? "", reason: event["reason"] ?? "", note: event["note"] ?? "" }, errors);
  }
  if (event["series"]) {
    if ((event["series"].count ?? 0) < 2) errors.push(field.invalid("series.count", "", "should be at least 2"));
    if (!event["series"].lastObservedTime) errors.push(field.required("series.lastObservedTime"));
  }
  return errors;
}

/** What events.k8s.io demands of a new event beyond that. */
export function validateNewEventCreate(event: AnyObject): FieldError[] {
  const errors: FieldError[] = [];
  if (!event["eventTime"]) errors.push(field.required("eventTime"));
  if (event["type"] !== "Normal" && event["type"] !== "Warning") errors.push(field.invalid("type", "", `has invalid value: ${event["type"] ?? ""}`));
  const unset = (name: string, value: unknown): void => {
    if (value) errors.push(field.invalid(name, "", "needs to be unset"));
  };
  unset("firstTimestamp", event["deprecatedFirstTimestamp"]);
  unset("lastTimestamp", event["deprecatedLastTimestamp"]);
  unset("count", event["deprecatedCount"]);
  unset("source", event["deprecatedSource"]?.component || event["deprecatedSource"]?.host);
  return errors;
}

interface NewStyle {
  readonly controllerField: string;
  readonly controller: string;
  readonly instance: string;
  readonly action: string;
  readonly reason: string;
  readonly note: string;
}

function newStyleErrors({ controllerField, controller, instance, action, reason, note }: NewStyle, errors: FieldError[]): void {
  if (controller === "") errors.push(field.required(controllerField));
  check(errors, controllerField, controller, qualifiedName);
  for (const [name, value] of [["reportingInstance", instance], ["action", action], ["reason", reason]] as const) {
    if (value === "") errors.push(field.required(name));
    if (value.length > MAX_TEXT) errors.push(field.invalid(name, "", `can have at most ${MAX_TEXT} characters`));
  }
  if (note.length > MAX_NOTE) errors.push(field.invalid("message", "", `can have at most ${MAX_NOTE} characters`));
}
