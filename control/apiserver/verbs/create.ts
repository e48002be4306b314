// POST on a collection: system fields, admission, the kind's own rules, and one write that demands absence.
import { ApiError, alreadyExists, badRequest, conflict, invalid } from "../../../api/errors.ts";
import { apiVersionOf, groupResourceOf, type KindInfo } from "../../../api/kinds.ts";
import type { AnyObject } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { WriteConflict } from "../../store/store.ts";
import { attributesOf, review } from "../admission.ts";
import { Entry } from "../cache/entry.ts";
import { cacheOf, countsGenerations, strategyContext, type Engine } from "../engine.ts";
import { encodeObject } from "../json.ts";
import { resourceOf, storedKind, storeKey } from "../keys.ts";
import type { Strategy } from "../kinds/strategy.ts";
import { validateMetadata } from "../metadata.ts";
import { dedupOwnerReferences } from "./ownerreferences.ts";
import { generateName } from "./generate-name.ts";
import type { ResourceRequest } from "../request.ts";
import { makeReady, represent, toStored } from "./convert.ts";

const NAME_ATTEMPTS = 8;

/** Creates the object and answers what was stored; `object` is private to this call. `managed` says that its managedFields are already right. */
export async function create(engine: Engine, request: ResourceRequest, object: AnyObject, managed = false): Promise<Entry> {
  const { kind } = request;
  requireNamespaceMatch(request, object);
  fillSystemFields(engine, kind, object);
  const { metadata } = object;
  if (metadata.resourceVersion && metadata.resourceVersion !== "0") throw badRequest("resourceVersion should not be set on objects to be created");
  const isGenerated = !metadata.name && !!metadata.generateName;
  for (let attempt = 1; ; attempt++) {
    const candidate = isGenerated ? { ...object, metadata: { ...metadata, name: generateName(metadata.generateName as string) } } : object;
    try {
      const entry = await createOnce(engine, request, candidate, managed);
      const ready = makeReady(engine, kind, [entry]);
      if (ready) await ready;
      return represent(engine, kind, entry);
    } catch (error) {
      if (!isGenerated || !(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
      if (attempt === NAME_ATTEMPTS) throw new ApiError(409, "AlreadyExists", `${groupResourceOf(kind)} "${candidate.metadata.name}" already exists, the server was not able to generate a unique name for the object`, { ...error.details, retryAfterSeconds: 1 });
    }
  }
}

/** The namespace of the object is the one of the request, or nothing. */
export function requireNamespaceMatch({ kind, namespace }: ResourceRequest, object: AnyObject): void {
  const { metadata } = object;
  if (!kind.namespaced) delete metadata.namespace;
  else if (!metadata.namespace) metadata.namespace = namespace;
  else if (metadata.namespace !== namespace) throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
}

function fillSystemFields(engine: Engine, kind: KindInfo, object: AnyObject): void {
  object.kind = kind.kind;
  object.apiVersion = apiVersionOf(kind);
  const { metadata } = object;
  metadata.creationTimestamp = timestamp(engine.clock.now());
  metadata.uid = crypto.randomUUID();
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.selfLink;
  delete metadata.generation;
}

async function createOnce(engine: Engine, request: ResourceRequest, object: AnyObject, managed: boolean): Promise<Entry> {
  const { kind, fieldManager, subresource } = request;
  const strategy = engine.strategies.for(kind);
  const name = object.metadata.name ?? "";
  engine.codec.applyDefaults(kind, object);
  strategy.applyDefaults?.(object);
  dedupOwnerReferences(request, object, false);
  // Before admission: what that adds belongs to nobody.
  if (!managed) engine.codec.updateManagedFields({ kind, previous: undefined, object, manager: fieldManager, subresource, now: object.metadata.creationTimestamp as string });
  const admission = review(engine, attributesOf(request, "CREATE", { object, name }));
  let isStored = false;
  try {
    await admission.admit();
    dedupOwnerReferences(request, object, true);
    await prepare(engine, request, strategy, object);
    await admission.validate();
    const entry = await store(engine, request, strategy, object);
    isStored = !request.dryRun;
    return entry;
  } finally {
    admission.settle(isStored);
  }
}

async function prepare(engine: Engine, request: ResourceRequest, strategy: Strategy, object: AnyObject): Promise<void> {
  const { kind } = request;
  const context = strategyContext(engine, request);
  if (kind.subresources["status"] && !strategy.keepsStatusOnCreate) resetStatus(engine, kind, object);
  if (countsGenerations(kind, strategy)) object.metadata.generation = 1;
  const pending = strategy.prepareForCreate?.(object, context);
  if (pending) await pending;
  const errors = [...(strategy.validate?.(object, context) ?? []), ...(strategy.validateCreate?.(object, context) ?? []), ...validateMetadata(object, { namespaced: kind.namespaced, validateName: strategy.validateName })];
  if (errors.length > 0) throw invalid(kind, object.metadata.name ?? "", errors);
}

function resetStatus({ codec }: Engine, kind: KindInfo, object: AnyObject): void {
  const status = codec.emptyStatus?.(kind);
  if (status === undefined) delete object["status"];
  else object["status"] = status;
}

async function store(engine: Engine, request: ResourceRequest, strategy: Strategy, object: AnyObject): Promise<Entry> {
  const giveBack = strategy.allocate && (await strategy.allocate(object, undefined, strategyContext(engine, request)));
  try {
    const entry = await insert(engine, request, object);
    if (request.dryRun) await giveBack?.();
    return entry;
  } catch (error) {
    await giveBack?.();
    throw error;
  }
}

async function insert(engine: Engine, { kind, dryRun }: ResourceRequest, served: AnyObject): Promise<Entry> {
  const stored = toStored(engine, kind, served);
  const object = stored instanceof Promise ? await stored : stored;
  const { name = "", namespace = "" } = object.metadata;
  const cache = cacheOf(engine, kind);
  if (cache.get(namespace, name)) throw alreadyExists(kind, name);
  const value = encodeObject(object);
  if (dryRun) return new Entry(namespace, name, 0, { stored: value, object });
  const ttlSeconds = engine.strategies.for(storedKind(kind)).ttlSeconds?.(object);
  engine.caches.announce(value, object);
  try {
    const revision = await engine.store.write({ key: storeKey(resourceOf(kind), namespace, name), value, expect: 0, ...(ttlSeconds !== undefined && { ttlSeconds }) });
    const entry = cache.get(namespace, name);
    // Somebody may have changed or removed it since; the reply is what this request created.
    return entry?.revision === revision ? entry : new Entry(namespace, name, revision, { stored: value, object: { ...object, metadata: { ...object.metadata } } });
  } catch (error) {
    if (error instanceof WriteConflict) throw alreadyExists(kind, name);
    throw error;
  }
}


/** Throws when two identities disagree. */
export function uidConflict(kind: KindInfo, name: string, uids: { wanted: string; found: string }): ApiError {
  return conflict(kind, name, `Precondition failed: UID in precondition: ${uids.wanted}, UID in object meta: ${uids.found}`);
}
