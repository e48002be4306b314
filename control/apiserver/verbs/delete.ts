// DELETE of one object: at once, gracefully, or only marked while finalizers have work to do.
// What a delete does to the object is decided purely; one conditional write then does it.
import { conflict, field, invalid, modifiedConflict, notFound } from "../../../api/errors.ts";
import type { KindInfo } from "../../../api/kinds.ts";
import type { AnyObject, DeleteOptions } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { WriteConflict } from "../../store/store.ts";
import { ADMITTED, attributesOf, review, type Review } from "../admission.ts";
import { Entry } from "../cache/entry.ts";
import { cacheOf, strategyContext, type Engine } from "../engine.ts";
import { cloneObject, encodeObject, equalJson } from "../json.ts";
import { resourceOf, storedKind, storeKey } from "../keys.ts";
import type { Strategy } from "../kinds/strategy.ts";
import type { ResourceRequest } from "../request.ts";
import { makeReady, represent } from "./convert.ts";

export interface DeleteResult {
  readonly entry: Entry;
  /** True when the object is gone; false when it is only marked. */
  readonly deleted: boolean;
}

/** What one delete does to an object. */
export type DeletePlan = { readonly action: "remove" } | { readonly action: "mark"; readonly object: AnyObject } | { readonly action: "nothing" };

const ORPHAN = "orphan";
const FOREGROUND = "foregroundDeletion";

/** Deletes one object as the options ask, if admission lets it. */
export async function deleteObject(engine: Engine, request: ResourceRequest, options: DeleteOptions): Promise<DeleteResult> {
  return deleteIf(engine, request, { options, reviewOf: (oldObject) => review(engine, attributesOf(request, "DELETE", { oldObject, options: { kind: "DeleteOptions", apiVersion: "meta.k8s.io/v1", ...options } as unknown as AnyObject })) });
}

/** Deletes what admission has let go already, as an action of another name. */
export async function deleteAdmitted(engine: Engine, request: ResourceRequest, options: DeleteOptions): Promise<DeleteResult> {
  return deleteIf(engine, request, { options, reviewOf: () => ADMITTED });
}

/** A version that changed meanwhile is decided again. */
async function deleteIf(engine: Engine, request: ResourceRequest, { options, reviewOf }: { options: DeleteOptions; reviewOf: (oldObject: AnyObject) => Review }): Promise<DeleteResult> {
  const { kind, namespace, name } = request;
  requireValidOptions(options);
  for (;;) {
    const entry = cacheOf(engine, kind).get(namespace, name);
    if (!entry) throw notFound(kind, name);
    requirePreconditions(kind, entry, options);
    await makeReady(engine, kind, [entry]);
    const admission = reviewOf(represent(engine, kind, entry).object);
    try {
      await admission.admit();
      await admission.validate();
      return await deleteOnce(engine, request, { entry, options });
    } catch (error) {
      if (!(error instanceof WriteConflict)) throw error;
      if (!error.current) throw notFound(kind, name);
      if (options.preconditions?.resourceVersion) throw modifiedConflict(kind, name);
    } finally {
      admission.settle(false);
    }
  }
}

async function deleteOnce(engine: Engine, request: ResourceRequest, { entry, options }: { entry: Entry; options: DeleteOptions }): Promise<DeleteResult> {
  const { kind, namespace, name, dryRun } = request;
  const strategy = engine.strategies.for(storedKind(kind));
  const plan = planDelete(entry.object, options, { strategy, nowMs: engine.clock.now() });
  if (plan.action === "nothing") return { entry: represent(engine, kind, entry), deleted: false };
  const key = storeKey(resourceOf(kind), namespace, name);
  if (plan.action === "mark") {
    const value = encodeObject(plan.object);
    if (dryRun) return { entry: represent(engine, kind, new Entry(namespace, name, entry.revision, { stored: value, object: plan.object })), deleted: false };
    engine.caches.announce(value, plan.object);
    const revision = await engine.store.write({ key, value, expect: entry.revision });
    const marked = cacheOf(engine, kind).get(namespace, name);
    return { entry: represent(engine, kind, marked?.revision === revision ? marked : new Entry(namespace, name, revision, { stored: value })), deleted: false };
  }
  if (!dryRun) {
    await engine.store.write({ key, value: undefined, expect: entry.revision });
    await strategy.release?.(entry.object, strategyContext(engine, request));
  }
  return { entry: represent(engine, kind, entry), deleted: true };
}

/** Decides what a delete does; never touches `object`. */
export function planDelete(object: AnyObject, options: DeleteOptions, { strategy, nowMs }: { strategy: Strategy; nowMs: number }): DeletePlan {
  const grace = gracefully(object, options, { strategy, nowMs });
  if (grace === "pending") return { action: "nothing" };
  const finalizers = finalizersFor(object, options, strategy);
  if (!grace && finalizers.length === 0 && !hasNamespaceFinalizers(object)) return { action: "remove" };
  if (grace && grace.seconds === 0 && finalizers.length === 0) return { action: "remove" };
  const marked = cloneObject(object);
  if (finalizers.length > 0) marked.metadata.finalizers = finalizers;
  else delete marked.metadata.finalizers;
  if (grace) Object.assign(marked.metadata, { deletionTimestamp: timestamp(grace.atMs), deletionGracePeriodSeconds: grace.seconds });
  else markNow(marked, nowMs);
  if (!object.metadata.deletionTimestamp && object.metadata.generation) marked.metadata.generation = object.metadata.generation + 1;
  if (hasNamespaceFinalizers(object)) marked["status"] = { ...marked["status"], phase: "Terminating" };
  return equalJson(marked, object) ? { action: "nothing" } : { action: "mark", object: marked };
}

function markNow({ metadata }: AnyObject, nowMs: number): void {
  if (!metadata.deletionTimestamp || Date.parse(metadata.deletionTimestamp) > nowMs) metadata.deletionTimestamp = timestamp(nowMs);
  metadata.deletionGracePeriodSeconds = 0;
}

/** When and after how many seconds a graceful delete is due; undefined when the kind has no grace, "pending" when an earlier one stands. */
function gracefully(object: AnyObject, options: DeleteOptions, { strategy, nowMs }: { strategy: Strategy; nowMs: number }): { atMs: number; seconds: number } | "pending" | undefined {
  const requested = options.gracePeriodSeconds === undefined || options.gracePeriodSeconds >= 0 ? options.gracePeriodSeconds : 1;
  if (!strategy.gracePeriodSeconds) return undefined;
  const { deletionTimestamp, deletionGracePeriodSeconds: current } = object.metadata;
  if (!deletionTimestamp) {
    const seconds = strategy.gracePeriodSeconds(object, requested);
    return seconds === undefined ? undefined : { atMs: nowMs + seconds * 1000, seconds };
  }
  if (!current) return undefined;
  if (requested === undefined || requested >= current) return "pending";
  const startedMs = Date.parse(deletionTimestamp) - current * 1000;
  const dueMs = startedMs + requested * 1000;
  // A shorter period that would already be over still gives whoever stops the pod its last second.
  if (requested > 0 && dueMs < nowMs) return { atMs: nowMs + 1000, seconds: 1 };
  return { atMs: dueMs, seconds: requested };
}

/** The finalizers the object has after this delete: its own, plus the garbage collector's for the propagation asked for. */
function finalizersFor({ metadata }: AnyObject, options: DeleteOptions, strategy: Strategy): string[] {
  const current = metadata.finalizers ?? [];
  const own = current.filter((name) => name !== ORPHAN && name !== FOREGROUND);
  const propagation = propagationOf(current, options, strategy);
  if (propagation === "Orphan") return [...own, ORPHAN];
  return propagation === "Foreground" ? [...own, FOREGROUND] : own;
}

function propagationOf(finalizers: readonly string[], options: DeleteOptions, strategy: Strategy): string {
  if (options.orphanDependents !== undefined && options.orphanDependents !== null) return options.orphanDependents ? "Orphan" : "Background";
  if (options.propagationPolicy) return options.propagationPolicy;
  if (finalizers.includes(ORPHAN)) return "Orphan";
  if (finalizers.includes(FOREGROUND)) return "Foreground";
  return strategy.defaultPropagation ?? "Background";
}

function hasNamespaceFinalizers({ kind, spec }: AnyObject): boolean {
  return kind === "Namespace" && (spec?.finalizers ?? []).length > 0;
}

/** Upstream names the kind here, not the resource; of namespaces it speaks in other words. */
function requirePreconditions(kind: KindInfo, { object, revision, name }: Entry, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion } = preconditions ?? {};
  const isNamespace = kind.group === "" && kind.kind === "Namespace";
  const named = { group: kind.group, plural: isNamespace ? kind.plural : kind.kind };
  const refuse = (what: string, wanted: string, found: string, maybe: string): never => {
    if (isNamespace) throw conflict(named, name, `Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${found}`);
    throw conflict(named, name, `the ${what} in the precondition (${wanted}) does not match the ${what} in record (${found}). The object might have been ${maybe}`);
  };
  if (uid && uid !== object.metadata.uid) refuse("UID", uid, object.metadata.uid, "deleted and then recreated");
  if (resourceVersion && resourceVersion !== String(revision)) refuse("ResourceVersion", resourceVersion, String(revision), "modified");
}

function requireValidOptions(options: DeleteOptions): void {
  const { propagationPolicy, orphanDependents } = options;
  const gk = { group: "meta.k8s.io", kind: "DeleteOptions" };
  const allowed = ["Foreground", "Background", "Orphan"];
  if (propagationPolicy && orphanDependents !== undefined && orphanDependents !== null) throw invalid(gk, "", [field.invalid("propagationPolicy", propagationPolicy, "orphanDependents and deletionPropagation cannot be both set")]);
  if (propagationPolicy && !allowed.includes(propagationPolicy)) throw invalid(gk, "", [field.notSupported("propagationPolicy", propagationPolicy, [...allowed, "nil"])]);
}

/** Kinds whose delete answers the object instead of a Status. */
const ANSWERS_OBJECT = new Set(["namespaces", "persistentvolumes", "persistentvolumeclaims", "pods", "podtemplates", "resourcequotas", "services", "serviceaccounts", "csidrivers", "csinodes", "storageclasses", "volumeattachments", "volumeattributesclasses", "deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices"]);

/** The body a delete is answered with. */
export function deleteReply({ kind }: ResourceRequest, { entry, deleted }: DeleteResult): Entry | Record<string, unknown> {
  if (!deleted || ANSWERS_OBJECT.has(kind.plural)) return entry;
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details: { name: entry.name, ...(kind.group && { group: kind.group }), kind: kind.plural, uid: entry.object.metadata.uid } };
}

