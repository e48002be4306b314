// PUT and PATCH: compute the new object from the current one, check it, and write it only over the version it was made from.
// A write that was not conditional on a version is recomputed on the fresh object when somebody else came first.
import { field, invalid, modifiedConflict, notFound } from "../../../api/errors.ts";
import { apiVersionOf, type KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { WriteConflict } from "../../store/store.ts";
import { ADMITTED, attributesOf, review } from "../admission.ts";
import { Entry } from "../cache/entry.ts";
import { cacheOf, countsGenerations, strategyContext, type Engine } from "../engine.ts";
import { encodeObject, equalJson } from "../json.ts";
import { resourceOf, storedKind, storeKey } from "../keys.ts";
import type { Strategy, UpdateRules } from "../kinds/strategy.ts";
import { isSameBut, validateMetadata, validateMetadataUpdate } from "../metadata.ts";
import type { ResourceRequest } from "../request.ts";
import { fromStored, makeReady, represent, toStored } from "./convert.ts";
import { create, requireNamespaceMatch, uidConflict } from "./create.ts";
import { dedupOwnerReferences } from "./ownerreferences.ts";

/** How the new object comes from the current one, of which it gets a private copy unless it says otherwise; undefined when it does not exist. */
export type Transform = (current: AnyObject | undefined) => AnyObject | Promise<AnyObject>;

export interface UpdateRequest {
  readonly transform: Transform;
  /** The new object does not come from the current one: nobody needs a copy of that, and the transform gets an empty one. */
  readonly replaces?: boolean | undefined;
  /** The transform only reads the current object, and what it makes shares nothing with it that anybody changes: no copy is made. */
  readonly onlyReads?: boolean | undefined;
  /** What the transform makes is of stored parts, which have their defaults and are not to be changed. */
  readonly isDefaulted?: boolean | undefined;
  /** Creates what does not exist (server-side apply). */
  readonly mayCreate?: boolean | undefined;
  /** The transform already wrote managedFields (server-side apply). */
  readonly managesFields?: boolean | undefined;
  /** The subresource that changes are recorded under, where it is another than the request's (scale). */
  readonly trackedAs?: string | undefined;
  /** Writes even where the caller gave no version and the kind demands one (patches). */
  readonly unconditional?: boolean | undefined;
  /** Throws unless the user may also create, which an update of nothing amounts to. */
  readonly mustMayCreate?: (() => Promise<void>) | undefined;
  /** Was admitted under another name (a binding); admission does not see it again. */
  readonly admitted?: boolean | undefined;
}

export interface UpdateResult {
  readonly entry: Entry;
  readonly created: boolean;
}

const ATTEMPTS = 100;
const NOTHING: AnyObject = Object.freeze({ metadata: Object.freeze({}) });

/** Updates one object; a change of nothing writes nothing and answers the current version. */
export async function update(engine: Engine, request: ResourceRequest, change: UpdateRequest): Promise<UpdateResult> {
  const { kind, namespace, name } = request;
  const strategy = engine.strategies.for(kind);
  for (let attempt = 0; ; attempt++) {
    const current = cacheOf(engine, kind).get(namespace, name);
    if (!current) return createInstead(engine, request, change);
    await makeReady(engine, kind, [current]);
    const next = await change.transform(startOf(engine, kind, { current, change }));
    const isConditional = requireVersion(request, strategy, { next, current, unconditional: change.unconditional === true });
    try {
      const entry = await updateOnce(engine, request, { next, current, change });
      await makeReady(engine, kind, [entry]);
      return { entry: represent(engine, kind, entry), created: false };
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      if (isConditional || attempt >= ATTEMPTS) throw modifiedConflict(kind, name);
    }
  }
}

function startOf(engine: Engine, kind: KindInfo, { current, change }: { current: Entry; change: UpdateRequest }): AnyObject {
  if (change.replaces) return NOTHING;
  return change.onlyReads ? (represent(engine, kind, current).object as AnyObject) : fromStored(engine, kind, current);
}

async function createInstead(engine: Engine, request: ResourceRequest, change: UpdateRequest): Promise<UpdateResult> {
  const { kind, name } = request;
  const strategy = engine.strategies.for(kind);
  if (request.subresource !== "" || !(change.mayCreate || strategy.allowCreateOnUpdate)) throw notFound(kind, name);
  await change.mustMayCreate?.();
  const object = await change.transform(undefined);
  const { uid } = object.metadata;
  if (uid) throw uidConflict(kind, name, { wanted: uid, found: "" });
  delete object.metadata.resourceVersion;
  return { entry: await create(engine, { ...request, verb: "create" }, object, change.managesFields === true), created: true };
}

interface Step {
  readonly next: AnyObject;
  readonly current: Entry;
  readonly change: UpdateRequest;
}

/** Whether the caller named a version; throws when it is another one than the current. */
function requireVersion({ kind, name }: ResourceRequest, strategy: Strategy, { next, current, unconditional }: { next: AnyObject; current: Entry; unconditional: boolean }): boolean {
  const { uid, resourceVersion } = next.metadata;
  if (uid && uid !== current.object.metadata.uid) throw uidConflict(kind, name, { wanted: uid, found: current.object.metadata.uid });
  if (resourceVersion && resourceVersion !== "0") {
    if (resourceVersion !== String(current.revision)) throw modifiedConflict(kind, name);
    return !unconditional;
  }
  if (strategy.allowUnconditionalUpdate === false && !unconditional) throw invalid({ group: kind.group, kind: kind.plural }, name, [field.invalid("metadata.resourceVersion", 0, "must be specified for an update")]);
  return false;
}

async function updateOnce(engine: Engine, request: ResourceRequest, { next, current, change }: Step): Promise<Entry> {
  const { kind, subresource, fieldManager } = request;
  const old = represent(engine, kind, current).object;
  const strategy = engine.strategies.for(kind);
  requireNamespaceMatch(request, next);
  next.kind = kind.kind;
  next.apiVersion = apiVersionOf(kind);
  if (!change.isDefaulted) {
    engine.codec.applyDefaults(kind, next);
    strategy.applyDefaults?.(next);
  }
  if (change.replaces) dedupOwnerReferences(request, next, false);
  // Before admission: what that adds belongs to nobody.
  if (!change.managesFields) engine.codec.updateManagedFields({ kind, previous: old, object: next, manager: fieldManager, subresource: change.trackedAs ?? subresource, now: timestamp(engine.clock.now()) });
  const admission = change.admitted ? ADMITTED : review(engine, attributesOf(request, "UPDATE", { object: next, oldObject: old }));
  let isStored = false;
  try {
    await admission.admit();
    dedupOwnerReferences(request, next, true);
    await prepare(engine, request, { next, old });
    await admission.validate();
    const entry = await replace(engine, request, { next, old, current });
    isStored = !request.dryRun;
    return entry;
  } finally {
    admission.settle(isStored);
  }
}

async function prepare(engine: Engine, request: ResourceRequest, { next, old }: { next: AnyObject; old: AnyObject }): Promise<void> {
  const { kind, subresource } = request;
  const strategy = engine.strategies.for(kind);
  const context = strategyContext(engine, request);
  const rules: UpdateRules = subresource === "" ? strategy : (strategy.subresources?.[subresource] ?? {});
  keepServerFields(next, old);
  keepOtherSide(kind, subresource, { next, old });
  const pending = rules.prepareForUpdate?.(next, old, context);
  if (pending) await pending;
  if (subresource !== "status" && subresource !== "binding" && countsGenerations(kind, strategy) && !isSameBut(next, old, ["metadata", "status", "kind", "apiVersion"])) next.metadata.generation = (old.metadata.generation ?? 0) + 1;
  const errors = [
    ...validateMetadata(next, { namespaced: kind.namespaced, validateName: () => [] }), ...validateMetadataUpdate(next, old),
    ...(subresource === "" ? (strategy.validate?.(next, context) ?? []) : []),
    ...(rules.validateUpdate?.(next, old, context) ?? []),
  ];
  if (errors.length > 0) throw invalid(kind, next.metadata.name ?? "", distinct(errors));
}

/** What no client may change is put back silently, as upstream does. */
function keepServerFields(next: AnyObject, { metadata: old }: AnyObject): void {
  const { metadata } = next;
  metadata.uid ??= old.uid as string;
  if (metadata.uid === "") metadata.uid = old.uid as string;
  metadata.creationTimestamp = old.creationTimestamp as string;
  delete metadata.selfLink;
  for (const name of ["generation", "deletionTimestamp"] as const) {
    if (old[name] === undefined) delete metadata[name];
    else Object.assign(metadata, { [name]: old[name] });
  }
  if (old.deletionGracePeriodSeconds !== undefined) metadata.deletionGracePeriodSeconds ??= old.deletionGracePeriodSeconds;
  else if (!old.deletionTimestamp) delete metadata.deletionGracePeriodSeconds;
}

/** The main resource never changes status; a subresource named status changes nothing else but metadata. */
function keepOtherSide(kind: KindInfo, subresource: string, { next, old }: { next: AnyObject; old: AnyObject }): void {
  const keep = (name: string): void => {
    if (old[name] === undefined) delete next[name];
    else next[name] = old[name];
  };
  if (subresource === "" && kind.subresources["status"]) keep("status");
  if (subresource !== "status") return;
  for (const name of new Set([...Object.keys(next), ...Object.keys(old)])) if (!["status", "metadata", "kind", "apiVersion"].includes(name)) keep(name);
}

async function replace(engine: Engine, request: ResourceRequest, { next, old, current }: { next: AnyObject; old: AnyObject; current: Entry }): Promise<Entry> {
  const { kind, dryRun } = request;
  const strategy = engine.strategies.for(kind);
  if (isUnchanged(next, old)) return current;
  const giveBack = request.subresource === "" ? await strategy.allocate?.(next, old, strategyContext(engine, request)) : undefined;
  try {
    const stored = await toStored(engine, kind, next);
    const entry = isFinished(stored, current.object) ? await remove(engine, request, { stored, current }) : await write(engine, request, { stored, current });
    if (dryRun) await giveBack?.();
    else if (request.subresource === "" && strategy.afterUpdate) await strategy.afterUpdate(next, old, strategyContext(engine, request));
    return entry;
  } catch (error) {
    await giveBack?.();
    throw error;
  }
}

/** Equal but for the version and for the times in managedFields, which alone are no reason to write. */
function isUnchanged(next: AnyObject, old: AnyObject): boolean {
  if (!isSameBut(next, old, ["metadata"])) return false;
  const { resourceVersion: _a, managedFields: nextFields = [], ...nextMeta } = next.metadata;
  const { resourceVersion: _b, managedFields: oldFields = [], ...oldMeta } = old.metadata;
  if (!equalJson(nextMeta, oldMeta)) return false;
  return equalJson(nextFields.map(untimed), oldFields.map(untimed));
}

function untimed(entry: { time?: unknown }): unknown {
  return { ...entry, time: undefined };
}

/** An update that takes away the last finalizer of an object under deletion completes that deletion. */
function isFinished({ metadata, spec, kind }: AnyObject, old: AnyObject): boolean {
  if (!metadata.deletionTimestamp || (metadata.finalizers ?? []).length > 0) return false;
  if (kind === "Namespace" && (spec?.finalizers ?? []).length > 0) return false;
  return old.metadata.deletionGracePeriodSeconds === 0 || (kind === "Namespace" && old.metadata.deletionGracePeriodSeconds === undefined);
}

async function write(engine: Engine, { kind, dryRun }: ResourceRequest, { stored, current }: { stored: AnyObject; current: Entry }): Promise<Entry> {
  const value = encodeObject(stored);
  const { namespace, name } = current;
  if (dryRun) return new Entry(namespace, name, current.revision, { stored: value, object: stored });
  const ttlSeconds = engine.strategies.for(storedKind(kind)).ttlSeconds?.(stored);
  engine.caches.announce(value, stored);
  const revision = await engine.store.write({ key: storeKey(resourceOf(kind), namespace, name), value, expect: current.revision, ...(ttlSeconds !== undefined && { ttlSeconds }) });
  const entry = cacheOf(engine, kind).get(namespace, name);
  return entry?.revision === revision ? entry : new Entry(namespace, name, revision, { stored: value, object: { ...stored, metadata: { ...stored.metadata } } });
}

async function remove(engine: Engine, request: ResourceRequest, { stored, current }: { stored: AnyObject; current: Entry }): Promise<Entry> {
  const { kind } = request;
  const { namespace, name } = current;
  const gone = new Entry(namespace, name, current.revision, { stored: encodeObject(stored), object: stored });
  if (request.dryRun) return gone;
  await engine.store.write({ key: storeKey(resourceOf(kind), namespace, name), value: undefined, expect: current.revision });
  await engine.strategies.for(storedKind(kind)).release?.(stored, strategyContext(engine, request));
  return gone;
}

function distinct<T extends { field: string; message: string }>(errors: readonly T[]): T[] {
  const seen = new Set<string>();
  return errors.filter(({ field, message }) => !seen.has(`${field} ${message}`) && seen.add(`${field} ${message}`));
}

