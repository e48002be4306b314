// The schema engine in the shape the API server's verbs ask for; it adds nothing but that shape.
import type { GroupVersionKind } from "../kinds.ts";
import type { AnyObject } from "../types.ts";
import type { FieldValidation } from "./decode.ts";
import type { SchemaEngine } from "./engine.ts";

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

/** Decoding, defaults, merges and field management of every kind the engine knows. */
export class SchemaCodec {
  constructor(private readonly engine: SchemaEngine) {}

  /** `text`, when given, is what `raw` was parsed from: only it shows fields spelled twice. */
  // The first three are what every codec takes.
  // oxlint-disable-next-line max-params
  decode(kind: GroupVersionKind, raw: unknown, fieldValidation: FieldValidation, text?: string): { readonly object: AnyObject; readonly warnings: readonly string[] } {
    return this.engine.decode(kind, raw, { mode: fieldValidation, text });
  }

  /** Sets constant defaults in place; idempotent. */
  applyDefaults(kind: GroupVersionKind, object: AnyObject): void {
    this.engine.applyDefaults(kind, object);
  }

  /** Strategic merge patch; returns a new object and leaves both inputs alone. */
  strategicMerge(kind: GroupVersionKind, current: AnyObject, patch: unknown): AnyObject {
    return this.engine.strategicMerge(kind, current, patch as Record<string, unknown>) as AnyObject;
  }

  /** The merged object with its managedFields; throws ApiError 409 listing conflicts unless forced. */
  serverSideApply(change: ManagedChange & { readonly applied: AnyObject; readonly force: boolean }): AnyObject {
    return this.engine.apply({ ...change, live: change.previous });
  }

  /** Records in `object.metadata.managedFields` what a write changed. */
  updateManagedFields(change: ManagedChange & { readonly object: AnyObject }): void {
    const { object, previous } = change;
    const entries = this.engine.trackUpdate({ ...change, live: previous, updated: object });
    if (entries) object.metadata.managedFields = entries;
    else delete object.metadata.managedFields;
  }
}
