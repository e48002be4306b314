// Keeps the default objects of priority and fairness in shape, and every FlowSchema's word on whether its level exists.
// Rules: KEP-1040, "Default Behavior": mandatory objects always as they are here, suggested ones unless somebody took them over.
import type { Client } from "../../../api/client/client.ts";
import { isAlreadyExists, isConflict, isNotFound } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, FlowSchema, PriorityLevelConfiguration, Stored } from "../../../api/types.ts";
import { timestamp, type Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { CATCH_ALL, EXEMPT } from "./config.ts";
import { AUTO_UPDATE, flowSchemas, priorityLevels } from "./objects.ts";

const log = logger("flowcontrol");
const GROUP = "flowcontrol.apiserver.k8s.io";
const FLOW_SCHEMA = builtinKind(GROUP, "v1", "FlowSchema");
const PRIORITY_LEVEL = builtinKind(GROUP, "v1", "PriorityLevelConfiguration");
const KEEP_EVERY_MS = 60_000;
const CONDITIONS_PAUSE_MS = 250;
const MANAGER = "api-priority-and-fairness-config-producer-v1";
const CONDITIONS_MANAGER = "api-priority-and-fairness-config-consumer-v1";

export interface KeepDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Calls back after every change of the stored configuration. */
  readonly onChange: (changed: () => void) => void;
}

/** Makes what is missing now, and goes on putting right what is not until the signal aborts. Rejects when the first time fails. */
export async function keepFlowObjects(deps: KeepDeps): Promise<void> {
  await ensureDefaults(deps.client);
  void keepConditions(deps);
  void (async () => {
    for (;;) {
      await deps.clock.sleep(KEEP_EVERY_MS, deps.signal);
      if (deps.signal.aborted) return;
      await ensureDefaults(deps.client).catch((error: unknown) => log.warn({ err: error }, "the default objects of priority and fairness could not be put right; tried again in a minute"));
    }
  })();
}

/** Brings all default objects into shape once. */
export async function ensureDefaults(client: Client): Promise<void> {
  await ensureKind(client, PRIORITY_LEVEL, priorityLevels());
  await ensureKind(client, FLOW_SCHEMA, flowSchemas());
}

async function ensureKind(client: Client, kind: KindInfo, defaults: readonly AnyObject[]): Promise<void> {
  const { items } = await client.list<AnyObject>(kind);
  const stored = new Map(items.map((object) => [object.metadata.name, object]));
  for (const wanted of defaults) {
    const current = stored.get(wanted.metadata.name as string);
    stored.delete(wanted.metadata.name as string);
    if (!current) await client.create(kind, wanted, { fieldManager: MANAGER }).catch(unless(isAlreadyExists));
    else {
      const revised = revisedOf(current, wanted);
      // A conflict means that somebody is at it; the next round judges what they made of it.
      if (revised) await client.update(kind, revised, { fieldManager: MANAGER }).catch(unless(isConflict, isNotFound));
    }
  }
  for (const object of stored.values()) if (autoUpdates(object) === true) await client.delete(kind, { name: object.metadata.name }, { preconditions: { uid: object.metadata.uid, resourceVersion: object.metadata.resourceVersion } }).catch(unless(isConflict, isNotFound));
}

/** The object as it should be, undefined when it is. */
export function revisedOf(current: Stored<AnyObject>, wanted: AnyObject): AnyObject | undefined {
  const isMandatory = current.metadata.name === EXEMPT || current.metadata.name === CATCH_ALL;
  const said = autoUpdates(current);
  // Nobody said, and the spec is the first one: it is ours.
  const isOurs = isMandatory || (said ?? current.metadata.generation === 1);
  const spec = isOurs && !contains(current["spec"], wanted["spec"]) ? wanted["spec"] : current["spec"];
  if (spec === current["spec"] && said === isOurs) return undefined;
  return { ...current, metadata: { ...current.metadata, annotations: { ...current.metadata.annotations, [AUTO_UPDATE]: String(isOurs) } }, spec };
}

function autoUpdates({ metadata }: AnyObject): boolean | undefined {
  const value = metadata.annotations?.[AUTO_UPDATE] ?? "";
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
  return /^(0|f|F|false|FALSE|False)$/.test(value) ? false : undefined;
}

/** Whether everything wanted is there; defaults that were filled in do not count as differences. */
function contains(actual: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) return Array.isArray(actual) && actual.length === wanted.length && wanted.every((item, index) => contains(actual[index], item));
  if (typeof wanted !== "object" || wanted === null) return actual === wanted;
  return typeof actual === "object" && actual !== null && Object.entries(wanted).every(([key, value]) => contains((actual as Record<string, unknown>)[key], value));
}

type Acceptable = (error: unknown) => boolean;

function unless(...acceptable: readonly Acceptable[]): (error: unknown) => void {
  return (error) => {
    if (!acceptable.some((test) => test(error))) throw error;
  };
}

/** Writes conditions whenever the configuration changed. */
async function keepConditions({ client, clock, signal, onChange }: KeepDeps): Promise<void> {
  let wake: (() => void) | undefined;
  let isDirty = true;
  onChange(() => {
    isDirty = true;
    wake?.();
  });
  signal.addEventListener("abort", () => wake?.(), { once: true });
  while (!signal.aborted) {
    if (!isDirty) await new Promise<void>((resolve) => (wake = resolve));
    isDirty = false;
    await writeConditions(client, clock).catch((error: unknown) => {
      log.warn({ err: error }, "conditions of FlowSchemas could not be written; tried again");
      isDirty = true;
    });
    // Whoever insists on another condition is not answered faster than this.
    await clock.sleep(CONDITIONS_PAUSE_MS, signal);
  }
}

/** Says of every FlowSchema whether the level it names exists. */
export async function writeConditions(client: Client, clock: Clock): Promise<void> {
  const [levels, schemas] = await Promise.all([client.list<PriorityLevelConfiguration>(PRIORITY_LEVEL), client.list<FlowSchema>(FLOW_SCHEMA)]);
  const names = new Set(levels.items.map(({ metadata }) => metadata.name));
  for (const schema of schemas.items) {
    const condition = danglingOf(schema, names);
    if (!condition) continue;
    const body = { apiVersion: `${GROUP}/v1`, kind: "FlowSchema", metadata: { name: schema.metadata.name }, status: { conditions: [{ ...condition, lastTransitionTime: timestamp(clock.now()) }] } };
    await client.patch(FLOW_SCHEMA, { name: schema.metadata.name }, body, { type: "apply", subresource: "status", fieldManager: CONDITIONS_MANAGER, force: true }).catch(unless(isNotFound, isConflict));
  }
}

/** The condition to write, undefined when it stands there already. */
function danglingOf({ spec, status }: Stored<FlowSchema>, levels: ReadonlySet<string>): Record<string, string> | undefined {
  const level = spec?.priorityLevelConfiguration.name ?? "";
  const exists = levels.has(level);
  const wanted = {
    type: "Dangling", status: exists ? "False" : "True", reason: exists ? "Found" : "NotFound",
    message: `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(level)} ${exists ? "and it exists" : "but there is no such object"}`,
  };
  const stated = status?.conditions?.find(({ type }) => type === "Dangling");
  return stated && stated.status === wanted.status && stated.reason === wanted.reason && stated.message === wanted.message ? undefined : wanted;
}
