// Plain JSON values: copying, comparing, and the byte form objects have in the store and on the wire.
// An object is serialised once, without its resourceVersion; the version is spliced into the bytes when it is known.
import type { FieldSet } from "../../api/schema/fieldset.ts";
import { textOfSet } from "../../api/schema/sharedsets.ts";
import type { AnyObject, ManagedFieldsEntry } from "../../api/types.ts";

/** A deep copy of a JSON value. */
export function cloneJson<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(cloneJson) as T;
  const copy: Record<string, unknown> = {};
  for (const key in value) copy[key] = cloneJson((value as Record<string, unknown>)[key]);
  return copy as T;
}

/** A private copy of an object, but for its sets of managed fields: those are shared by all objects that have the same, and never changed in place. */
export function cloneObject(object: Readonly<AnyObject>): AnyObject {
  const { metadata, ...rest } = object;
  const { managedFields, ...others } = metadata;
  const copy = cloneJson(rest) as AnyObject;
  copy.metadata = cloneJson(others);
  if (managedFields) copy.metadata.managedFields = managedFields.map((entry) => ({ ...entry }));
  return copy;
}

/** Whether two JSON values say the same; keys whose value is undefined do not count. */
export function equalJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => equalJson(item, b[index]));
  if (Array.isArray(b)) return false;
  return holdsAll(a as Fields, b as Fields) && holdsAll(b as Fields, a as Fields, true);
}

/** Freezes a JSON value all the way down, so that a test catches whoever changes a shared object. */
export function freezeJson<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  for (const key in value) freezeJson(value[key]);
  return Object.freeze(value);
}

/** The stored form: `kind`, `apiVersion`, `metadata` first, and no resourceVersion, which the object loses. */
export function encodeObject(object: AnyObject): Buffer {
  const { metadata } = object;
  // Not deleted: objects of one shape stay of one shape, and the version comes back when it is known.
  if (metadata.resourceVersion !== undefined) Object.assign(metadata, { resourceVersion: undefined });
  let text = `{"kind":${JSON.stringify(object.kind)},"apiVersion":${JSON.stringify(object.apiVersion)},"metadata":${metadata.managedFields ? metadataText(metadata, metadata.managedFields) : JSON.stringify(metadata)}`;
  for (const key in object) {
    if (key === "kind" || key === "apiVersion" || key === "metadata" || object[key] === undefined) continue;
    text += `,${JSON.stringify(key)}:${JSON.stringify(object[key])}`;
  }
  return Buffer.from(`${text}}`);
}

/** Like JSON.stringify, with the managed fields last and the text of their sets taken as it is known. */
function metadataText(metadata: AnyObject["metadata"], managedFields: readonly ManagedFieldsEntry[]): string {
  const others = JSON.stringify({ ...metadata, managedFields: undefined });
  return `${others.slice(0, -1)}${others === "{}" ? "" : ","}"managedFields":[${managedFields.map(entryText).join(",")}]}`;
}

function entryText({ fieldsV1, subresource, ...head }: ManagedFieldsEntry): string {
  const parts = [JSON.stringify(head).slice(1, -1)];
  if (fieldsV1 !== undefined) parts.push(`"fieldsV1":${textOfSet(fieldsV1 as FieldSet)}`);
  if (subresource !== undefined) parts.push(`"subresource":${JSON.stringify(subresource)}`);
  return `{${parts.filter((part) => part !== "").join(",")}}`;
}

const METADATA = Buffer.from('"metadata":{');

/** The wire form: the stored bytes with the resourceVersion as the first field of `metadata`. */
export function spliceRevision(stored: Uint8Array, revision: number): Buffer {
  const source = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const at = source.indexOf(METADATA) + METADATA.length;
  const field = `"resourceVersion":"${revision}"${source[at] === 0x7d ? "" : ","}`;
  const bytes = Buffer.allocUnsafeSlow(source.length + field.length);
  source.copy(bytes, 0, 0, at);
  bytes.write(field, at, "latin1");
  source.copy(bytes, at + field.length, at);
  return bytes;
}

type Fields = Readonly<Record<string, unknown>>;

function holdsAll(a: Fields, b: Fields, keysOnly = false): boolean {
  for (const key in a) {
    if (a[key] === undefined) continue;
    if (keysOnly ? b[key] === undefined : !equalJson(a[key], b[key])) return false;
  }
  return true;
}

/** What Go's decoder calls a JSON value of this kind. */
export function goType(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value === "boolean" ? "bool" : typeof value;
}
