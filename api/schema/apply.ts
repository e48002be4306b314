// Server-side apply: merges a configuration into the live object, with ownership deciding what may change and what goes.
// Pure; the result still has to be decoded and defaulted. Semantics: structured-merge-diff/merge and util/managedfields.
import { ApiError, badRequest } from "../errors.ts";
import { apiVersionOf } from "../kinds.ts";
import type { AnyObject } from "../types.ts";
import { changedFields, compareObjects, isSame } from "./compare.ts";
import { difference, formatPath, intersection, isEmptySet, pathsOf, recursiveDifference, union, type FieldSet } from "./fieldset.ts";
import { identityOf, readManagers, setFields, trackable, writeManagers, type Manager, type Managers } from "./managers.ts";
import type { SchemaNode } from "./node.ts";
import { recordUpdate, resetFields, takeFromOthers, withoutManagedFields, type TrackedKind, type Writer } from "./track.ts";
import { appliedErrors, mergeApplied, removeFields, toFieldSet, withNamedFields } from "./typed.ts";

type Plain = Record<string, unknown>;

/** An apply request; `live` is undefined when the object does not exist yet. */
export interface ApplyRequest extends Writer {
  readonly kind: TrackedKind;
  readonly live: AnyObject | undefined;
  readonly applied: AnyObject;
  readonly force: boolean;
}

interface Conflict {
  readonly manager: Manager;
  readonly path: readonly string[];
}

const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

/**
 * The object that results, with its new `managedFields`. When nothing changes, the live timestamps are kept.
 * Throws 400 for a configuration of another kind, 409 with one cause per field for conflicts, unless forced.
 */
export function applyConfiguration(node: SchemaNode | undefined, request: ApplyRequest): AnyObject {
  checkRequest(node, request);
  const live = withoutManagedFields(request.live ?? {});
  const managers = liveManagers(node, request, live);
  const attempt = applyOnce(node, request, { live, managers: new Map(managers) });
  const conflicts = request.force ? [] : remainingConflicts(node, request, attempt.conflicts);
  if (conflicts.length > 0) throw conflictError(conflicts);
  return finish(request, attempt);
}

interface Attempt {
  readonly object: Plain;
  readonly managers: Managers;
  readonly conflicts: readonly Conflict[];
  readonly isNoop: boolean;
}

function applyOnce(node: SchemaNode | undefined, request: ApplyRequest, { live, managers }: { live: Plain; managers: Managers }): Attempt {
  const reset = resetFields(request.kind, request.subresource);
  const entry: Manager = { manager: request.manager || "unknown", operation: "Apply", apiVersion: apiVersionOf(request.kind), subresource: request.subresource, time: request.now, fields: {} };
  const identity = identityOf(entry);
  const last = managers.get(identity);
  const claimed = recursiveDifference(toFieldSet(node, request.applied), reset);
  const merged = mergeApplied(node, live, request.applied) as Plain;
  managers.set(identity, { ...entry, time: last?.time, fields: claimed });
  const object = last ? (prune(node, merged, { last: last.fields, managers }) as Plain) : merged;

  const comparison = compareObjects(node, live, object);
  const conflicts = conflictsOf(managers, identity, recursiveDifference(changedFields(comparison), reset));
  takeFromOthers(managers, { lost: recursiveDifference(union(changedFields(comparison), comparison.removed), reset), except: identity });
  setFields(managers, { ...entry, time: last?.time }, trackable(claimed, reset));
  return { object, managers, conflicts, isNoop: request.live !== undefined && isSame(comparison) };
}

/** Takes out what the manager applied last time, does not apply now, and nobody else owns. */
function prune(node: SchemaNode | undefined, merged: Plain, { last, managers }: { last: FieldSet; managers: Managers }): unknown {
  if (isEmptySet(last)) return merged;
  const named = (set: FieldSet): FieldSet => withNamedFields(node, set);
  const owned = named([...managers.values()].reduce<FieldSet>((all, entry) => union(all, entry.fields), {}));
  const mergedSet = named(toFieldSet(node, merged));
  const withoutLast = removeFields(node, merged, named(last));
  const kept = removeFields(node, merged, difference(mergedSet, union(named(toFieldSet(node, withoutLast)), owned)));
  // What was never applied by this manager stays, even where nobody owns it.
  return removeFields(node, merged, intersection(difference(mergedSet, named(toFieldSet(node, kept))), named(last)));
}

function conflictsOf(managers: Managers, self: string, changed: FieldSet): Conflict[] {
  return [...managers].flatMap(([identity, manager]) => (identity === self ? [] : pathsOf(intersection(manager.fields, changed)).map((path) => ({ manager, path }))));
}

/** kubectl may take over what its own client-side apply set, as the annotation it left proves. */
function remainingConflicts(node: SchemaNode | undefined, request: ApplyRequest, conflicts: readonly Conflict[]): readonly Conflict[] {
  if (request.manager !== "kubectl" || conflicts.length === 0) return conflicts;
  const allowed = lastAppliedFields(node, request);
  return allowed ? conflicts.filter(({ path }) => isEmptySet(intersection(fieldAt(path), allowed))) : conflicts;
}

function fieldAt(path: readonly string[]): FieldSet {
  return path.reduceRight<FieldSet>((below, element) => ({ [element]: below }), {});
}

/** The fields client-side apply set last that still have the value it gave them. */
function lastAppliedFields(node: SchemaNode | undefined, { live, kind }: ApplyRequest): FieldSet | undefined {
  const text = live?.metadata.annotations?.[LAST_APPLIED];
  if (!live || !text) return undefined;
  try {
    const last = JSON.parse(text) as AnyObject;
    if (last.apiVersion !== apiVersionOf(kind)) return undefined;
    const { added, modified, removed } = compareObjects(node, last, withoutManagedFields(live));
    return difference(toFieldSet(node, last), union(union(added, modified), removed));
  } catch {
    return undefined;
  }
}

function finish(request: ApplyRequest, { object, managers, isNoop }: Attempt): AnyObject {
  if (!isNoop) {
    for (const [identity, entry] of managers) {
      const isMine = entry.operation === "Apply" && entry.manager === (request.manager || "unknown") && entry.subresource === request.subresource;
      if (isMine) managers.set(identity, { ...entry, time: request.now });
    }
  }
  const metadata: Plain = { ...(object["metadata"] as Plain | undefined) };
  if (managers.size > 0) metadata["managedFields"] = writeManagers(managers);
  const annotations = metadata["annotations"] as Record<string, string> | undefined;
  if (request.manager === "kubectl" && annotations?.[LAST_APPLIED]) metadata["annotations"] = { ...annotations, [LAST_APPLIED]: lastAppliedOf(request.applied) };
  return { ...object, metadata } as AnyObject;
}

function lastAppliedOf(applied: AnyObject): string {
  if (!applied.metadata.annotations) return `${JSON.stringify(applied)}\n`;
  const { [LAST_APPLIED]: _, ...annotations } = applied.metadata.annotations;
  return `${JSON.stringify({ ...applied, metadata: { ...applied.metadata, annotations } })}\n`;
}

/** Who managed the live object before; an object nobody tracked belongs to `before-first-apply`. */
function liveManagers(node: SchemaNode | undefined, request: ApplyRequest, live: Plain): Managers {
  const managers = readManagers(request.live?.metadata.managedFields) ?? new Map();
  if (managers.size === 0 && request.live) recordUpdate(managers, { comparison: compareObjects(node, {}, live), kind: request.kind, writer: { ...request, manager: "before-first-apply" } });
  return managers;
}

/** Names come as whoever applies wrote them: what is no text names nothing. */
function nameIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function checkRequest(node: SchemaNode | undefined, { kind, applied, live }: ApplyRequest): void {
  const version = apiVersionOf(kind);
  if (applied.apiVersion !== version || applied.kind !== kind.kind) throw badRequest(`invalid object type: ${applied.apiVersion ?? ""}, Kind=${applied.kind ?? ""}`);
  if (applied.metadata?.managedFields !== undefined && applied.metadata.managedFields !== null) throw badRequest("metadata.managedFields must be nil");
  const errors = node ? appliedErrors(node, applied) : [];
  if (errors.length === 0) return;
  const { name = live?.metadata.name ?? "", namespace = "" } = applied.metadata ?? {};
  const listed = errors.length === 1 ? errors[0] : ["errors:", ...errors.map((error) => `  ${error}`)].join("\n");
  throw badRequest(`failed to create typed patch object (${nameIn(namespace)}/${nameIn(name)}; ${version}, Kind=${kind.kind}): ${listed}`);
}

function conflictError(conflicts: readonly Conflict[]): ApiError {
  const causes = conflicts.map(({ manager, path }) => ({ reason: "FieldManagerConflict", message: `conflict with ${shown(manager)}`, field: formatPath(path) }));
  const [first] = causes;
  if (causes.length === 1 && first) return new ApiError(409, "Conflict", `Apply failed with 1 conflict: ${first.message}: ${first.field}`, { causes });
  const byManager = Map.groupBy(conflicts, ({ manager }) => shown(manager));
  const lines = [...byManager.keys()].sort().flatMap((manager) => [`conflicts with ${manager}:`, ...(byManager.get(manager) ?? []).map(({ path }) => `- ${formatPath(path)}`)]);
  return new ApiError(409, "Conflict", `Apply failed with ${causes.length} conflicts: ${lines.join("\n")}`, { causes });
}

function shown({ manager, operation, apiVersion, subresource }: Manager): string {
  const name = `${JSON.stringify(manager)}${subresource === "" ? "" : ` with subresource ${JSON.stringify(subresource)}`}`;
  return operation === "Update" ? `${name} using ${apiVersion}` : name;
}
