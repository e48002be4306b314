// What the verbs need from the schema: decoding, defaults, and the two merges that know field semantics.
// `plainCodec` stands in where no schema is at hand: it prunes nothing, defaults nothing and merges as JSON.
import type { GroupVersionKind } from "../../api/kinds.ts";
import type { KindRegistry } from "../../api/registry.ts";
import { mergePatch } from "../../api/schema/json-patch.ts";
import type { AnyObject } from "../../api/types.ts";
import type { DocumentSource } from "./http/documents.ts";
import { cloneJson } from "./json.ts";

/** What to do with unknown and duplicate fields. */
export type FieldValidation = "Ignore" | "Warn" | "Strict";

/** What a request changed, for the record of who manages which field. */
export interface ManagedChange {
  readonly kind: GroupVersionKind;
  /** The object before; undefined when this creates it. */
  readonly previous: AnyObject | undefined;
  readonly manager: string;
  readonly subresource: string;
  /** RFC 3339, whole seconds. */
  readonly now: string;
}

/** The schema as the verbs use it. Kinds it does not know are handled as free-form objects. */
export interface Codec {
  /**
   * Turns parsed JSON into a valid form of `kind`: unknown fields dropped, values of the right type. The result is private.
   * Throws ApiError 400 for wrong types, and for unknown fields under `Strict`; under `Warn` they come back as warnings.
   * `text` is what `raw` was parsed from: only it shows fields spelled twice.
   */
  // The first three are what every decoding takes.
  // oxlint-disable-next-line max-params
  decode(kind: GroupVersionKind, raw: unknown, fieldValidation: FieldValidation, text?: string): { readonly object: AnyObject; readonly warnings: readonly string[] };
  /** Decodes the result of a patch; what is wrong is blamed on the patch, as 422. */
  decodePatched(kind: GroupVersionKind, patched: unknown, fieldValidation: FieldValidation, strategicPatch?: unknown): { readonly object: AnyObject; readonly warnings: readonly string[] };
  /** The status an object of this kind starts with; undefined for none. */
  emptyStatus?(kind: GroupVersionKind): unknown;
  /** Sets constant defaults in place; idempotent. */
  applyDefaults(kind: GroupVersionKind, object: AnyObject): void;
  /** Strategic merge patch; returns a new object and leaves both inputs alone. Throws ApiError for a malformed patch. */
  strategicMerge(kind: GroupVersionKind, current: AnyObject, patch: unknown): AnyObject;
  /** The object with a configuration laid over it as the schema merges, and nobody's ownership; throws Error for one that does not fit or would replace a whole list. */
  mergeTyped(kind: GroupVersionKind, current: AnyObject, applied: Record<string, unknown>): AnyObject;
  /** Server-side apply of a configuration as it was sent: the merged object with its managedFields, not decoded. Throws ApiError 409 listing conflicts unless forced. */
  serverSideApply(change: ManagedChange & { readonly applied: AnyObject; readonly force: boolean }): AnyObject;
  /** Records in `object.metadata.managedFields` what an update changed; an update that changes nothing leaves them equal. */
  updateManagedFields(change: ManagedChange & { readonly object: AnyObject }): void;
  /** OpenAPI documents of the kinds served at the time, by path and accepted media types. */
  openapi?(kinds: KindRegistry): DocumentSource;
}

/** Merges as plain JSON and tracks no managers. */
export const plainCodec: Codec = {
  decode: (_kind, raw) => ({ object: cloneJson(raw) as AnyObject, warnings: [] }),
  decodePatched: (_kind, patched) => ({ object: patched as AnyObject, warnings: [] }),
  applyDefaults: () => {},
  strategicMerge: (_kind, current, patch) => mergePatch(current, patch) as AnyObject,
  mergeTyped: (_kind, current, applied) => mergePatch(current, applied) as AnyObject,
  serverSideApply: ({ previous, applied }) => mergePatch(previous ?? {}, applied) as AnyObject,
  updateManagedFields: () => {},
};
