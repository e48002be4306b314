// Ownership of fields on writes other than apply: whoever changes a field owns it, and everyone else loses it.
// Runs on every create, update and patch. Semantics: apimachinery/pkg/util/managedfields.
import type { GroupVersionKind } from "../kinds.ts";
import { apiVersionOf } from "../kinds.ts";
import type { AnyObject, ManagedFieldsEntry } from "../types.ts";
import { changedFields, compareObjects, isSame, type Comparison } from "./compare.ts";
import { difference, intersection, isEmptySet, recursiveDifference, setOf, union, type FieldSet } from "./fieldset.ts";
import { capUpdates, identityOf, isReset, readManagers, setFields, trackable, writeManagers, writtenEntry, type Manager, type Managers } from "./managers.ts";
import type { SchemaNode } from "./node.ts";
import { onceForShape } from "./shape.ts";
import { sharedSet } from "./sharedsets.ts";

/** Who writes, and through which endpoint. */
export interface Writer {
  /** `?fieldManager=`, or the first word of the user agent. */
  readonly manager: string;
  readonly subresource: string;
  /** A timestamp in seconds. */
  readonly now: string;
}

export interface TrackedKind extends GroupVersionKind {
  readonly subresources?: Readonly<Record<string, unknown>>;
}

/** The entries an object is stored with after a create (`live` undefined) or update; undefined when it has none. */
export function trackUpdate(node: SchemaNode | undefined, kind: TrackedKind, write: { readonly live: AnyObject | undefined; readonly updated: AnyObject } & Writer): ManagedFieldsEntry[] | undefined {
  const { live, updated } = write;
  if (!live && updated.metadata?.managedFields === undefined) return trackCreate(node, kind, write);
  const managers = startingPoint(live, updated, write.subresource !== "");
  // Objects from before tracking stay untracked until somebody applies to them.
  if (managers.size === 0 && live) return undefined;
  const before = withoutManagedFields(live ?? {});
  const comparison = compareObjects(node, before, withoutManagedFields(updated));
  if (live && isSame(comparison) && (updated.metadata.managedFields === undefined || write.subresource !== "")) return live.metadata.managedFields;
  recordUpdate(managers, { comparison, kind, writer: write });
  capUpdates(managers);
  return managers.size === 0 ? undefined : writeManagers(managers);
}

/** All fields of a new object are its creator's. */
function trackCreate(node: SchemaNode | undefined, kind: TrackedKind, write: { readonly updated: AnyObject } & Writer): ManagedFieldsEntry[] | undefined {
  const { updated: object, subresource } = write;
  const reset = resetFields(kind, subresource);
  const work = (): FieldSet => sharedSet(trackable(changedFields(compareObjects(node, {}, object)), reset));
  const fields = node ? onceForShape(node, { object, purpose: reset === STATUS ? "" : `${kind.kind}/${subresource}` }, work) : work();
  return isEmptySet(fields) ? undefined : [writtenEntry(entryOf(write, { kind, fields }))];
}

/** Gives what changed to the writer, and takes it from everyone else. */
export function recordUpdate(managers: Managers, { comparison, kind, writer }: { comparison: Comparison; kind: TrackedKind; writer: Writer }): void {
  const reset = resetFields(kind, writer.subresource);
  const changed = changedFields(comparison);
  takeFromOthers(managers, { lost: recursiveDifference(union(changed, comparison.removed), reset), except: "" });
  const mine = trackable(changed, reset);
  if (isEmptySet(mine)) return;
  const entry = entryOf(writer, { kind, fields: {} });
  setFields(managers, entry, union(managers.get(identityOf(entry))?.fields ?? {}, mine));
}

function entryOf({ manager, subresource, now }: Writer, { kind, fields }: { kind: TrackedKind; fields: FieldSet }): Manager {
  return { manager: manager || "unknown", operation: "Update", apiVersion: apiVersionOf(kind), subresource, time: now, fields };
}

/** Removes fields from every manager but one; managers left without fields disappear. */
export function takeFromOthers(managers: Managers, { lost, except }: { lost: FieldSet; except: string }): void {
  if (isEmptySet(lost)) return;
  for (const [identity, entry] of managers) {
    if (identity === except || isEmptySet(intersection(entry.fields, lost))) continue;
    setFields(managers, entry, difference(entry.fields, lost));
  }
}

/** What an endpoint puts back whatever the client sends, which therefore nobody comes to own through it. */
export function resetFields(kind: TrackedKind, subresource: string): FieldSet {
  if (subresource === "") return !kind.subresources || "status" in kind.subresources ? STATUS : {};
  if (subresource !== "status") return {};
  return STATUS_RESETS[kind.kind] ?? SPEC;
}

const STATUS = setOf(["f:status"]);
const SPEC = setOf(["f:spec"]);
const SPEC_AND_METADATA = setOf(["f:spec"], ["f:metadata"]);
const STATUS_RESETS: Readonly<Record<string, FieldSet>> = {
  Pod: setOf(["f:spec"], ["f:metadata", "f:deletionTimestamp"], ["f:metadata", "f:ownerReferences"]),
  Deployment: setOf(["f:spec"], ["f:metadata", "f:labels"]),
  CertificateSigningRequest: setOf(["f:spec"], ["f:status", "f:conditions"]),
  CustomResourceDefinition: SPEC_AND_METADATA, FlowSchema: SPEC_AND_METADATA, PriorityLevelConfiguration: SPEC_AND_METADATA, ResourceClaim: SPEC_AND_METADATA,
  ServiceCIDR: SPEC_AND_METADATA, ValidatingAdmissionPolicy: SPEC_AND_METADATA, VolumeAttachment: SPEC_AND_METADATA, APIService: SPEC_AND_METADATA,
};

/** The managers a write starts from: the request's own where it brings some that can be read, else the live ones. */
function startingPoint(live: AnyObject | undefined, updated: AnyObject, isSubresource: boolean): Managers {
  const brought = updated.metadata?.managedFields;
  if (!isSubresource) {
    if (isReset(brought)) return new Map();
    const managers = readManagers(brought);
    if (managers && managers.size > 0) return managers;
  }
  return readManagers(live?.metadata?.managedFields) ?? new Map();
}

/** The object without its entries, which are never compared. */
export function withoutManagedFields(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const metadata = object["metadata"] as Record<string, unknown> | undefined;
  if (!metadata || !("managedFields" in metadata)) return object as Record<string, unknown>;
  const { managedFields: _, ...rest } = metadata;
  return { ...object, metadata: rest };
}
