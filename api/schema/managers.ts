// `metadata.managedFields` as data: who manages which fields, read from and written to an object.
// How writes change it is the business of `track.ts` and `apply.ts`.
import type { ManagedFieldsEntry } from "../types.ts";
import { difference, isEmptySet, isFieldSet, recursiveDifference, setOf, union, type FieldSet } from "./fieldset.ts";
import { sharedSet } from "./sharedsets.ts";

/** One manager's fields; `time` is a timestamp in seconds, absent when the entry never had one. */
export interface Manager {
  readonly manager: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

/** Managers by identity: name, operation, subresource, and for updates the version too. */
export type Managers = Map<string, Manager>;

/** Entries of updates beyond this many are merged, oldest first. */
const MAX_UPDATE_MANAGERS = 10;
const ANCIENT = "ancient-changes";

/** Never tracked: every object has them, and nobody owns them. */
const UNTRACKED = setOf(
  ["f:apiVersion"], ["f:kind"], ["f:metadata"],
  ...["name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields", "resourceVersion"].map((name) => ["f:metadata", `f:${name}`]),
);

export function identityOf(entry: { readonly manager: string; readonly operation: string; readonly apiVersion: string; readonly subresource: string }): string {
  return `${entry.manager}\n${entry.operation}\n${entry.operation === "Apply" ? "" : entry.apiVersion}\n${entry.subresource}`;
}

/** Reads the entries of an object; undefined when one is malformed. */
export function readManagers(entries: readonly ManagedFieldsEntry[] | undefined): Managers | undefined {
  const managers: Managers = new Map();
  for (const entry of entries ?? []) {
    if ((entry.operation !== "Apply" && entry.operation !== "Update") || !entry.apiVersion || entry.fieldsType !== "FieldsV1") return undefined;
    const fields = entry.fieldsV1 ?? {};
    if (!isFieldSet(fields)) return undefined;
    const manager: Manager = {
      manager: entry.manager ?? "", operation: entry.operation, apiVersion: entry.apiVersion, subresource: entry.subresource ?? "",
      time: entry.time, fields,
    };
    managers.set(identityOf(manager), manager);
  }
  return managers;
}

/** The entries to store, in upstream's order: applies first, then by time. */
export function writeManagers(managers: Managers): ManagedFieldsEntry[] {
  return [...managers.values()].sort(byOperationAndTime).map(writtenEntry);
}

/** One entry as it is stored. */
export function writtenEntry({ manager, operation, apiVersion, time, fields, subresource }: Manager): ManagedFieldsEntry {
  const entry: ManagedFieldsEntry = manager === "" ? { operation, apiVersion } : { manager, operation, apiVersion };
  if (time !== undefined) entry.time = time;
  entry.fieldsType = "FieldsV1";
  entry.fieldsV1 = sharedSet(fields);
  if (subresource !== "") entry.subresource = subresource;
  return entry;
}

/** Sets a manager's fields, or drops the manager when there are none. */
export function setFields(managers: Managers, entry: Manager, fields: FieldSet): void {
  if (isEmptySet(fields)) managers.delete(identityOf(entry));
  else managers.set(identityOf(entry), { ...entry, fields });
}

/** A set without what is never tracked and what the endpoint resets. */
export function trackable(fields: FieldSet, reset: FieldSet): FieldSet {
  return difference(recursiveDifference(fields, reset), UNTRACKED);
}

/** Whether a write asks for ownership to be forgotten: an empty list, or a single empty entry. */
export function isReset(entries: readonly ManagedFieldsEntry[] | undefined): boolean {
  if (entries === undefined) return false;
  return entries.length === 0 || (entries.length === 1 && Object.keys(entries[0] as object).length === 0);
}

/** Merges the oldest updates of one version into one entry until there are few enough. */
export function capUpdates(managers: Managers): void {
  if (managers.size <= MAX_UPDATE_MANAGERS) return;
  const updates = [...managers.values()].filter((entry) => entry.operation === "Update").sort(byOperationAndTime);
  let excess = updates.length - MAX_UPDATE_MANAGERS;
  const firstOfVersion = new Map<string, Manager>();
  for (const entry of updates) {
    if (excess <= 0) return;
    const first = firstOfVersion.get(entry.apiVersion);
    if (!first) {
      firstOfVersion.set(entry.apiVersion, entry);
      continue;
    }
    const bucket: Manager = { manager: ANCIENT, operation: "Update", apiVersion: entry.apiVersion, subresource: "", time: entry.time, fields: {} };
    const collected = managers.get(identityOf(bucket)) ?? first;
    if (!managers.has(identityOf(bucket))) managers.delete(identityOf(first));
    managers.delete(identityOf(entry));
    managers.set(identityOf(bucket), { ...bucket, fields: union(collected.fields, entry.fields) });
    excess--;
  }
}

function byOperationAndTime(a: Manager, b: Manager): number {
  return compare(a.operation, b.operation) || compare(a.time ?? "", b.time ?? "") || compare(a.manager, b.manager) || compare(a.apiVersion, b.apiVersion) || compare(a.subresource, b.subresource);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
