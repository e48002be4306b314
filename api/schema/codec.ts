// The schema engine in the shape the API server's verbs ask for; it adds nothing but that shape.
import type { GroupVersionKind } from "../kinds.ts";
import type { KindRegistry } from "../registry.ts";
import type { AnyObject } from "../types.ts";
import type { FieldValidation } from "./decode.ts";
import type { SchemaEngine } from "./engine.ts";
import { OpenApi } from "./openapi/openapi.ts";

/** A document as it is sent. */
export interface PublishedDocument {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly etag: string;
}

/** Older clients write the version after an @, which no media type may hold. */
const V2_PROTOBUF = /application\/com\.github\.proto-openapi\.spec\.v2[@.]v1\.0\+protobuf/;

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

  /** Decodes the result of a patch; what is wrong is blamed on the patch, as 422. */
  // A strategic patch is quoted in what is wrong with its result.
  // oxlint-disable-next-line max-params
  decodePatched(kind: GroupVersionKind, patched: unknown, fieldValidation: FieldValidation, patch?: unknown): { readonly object: AnyObject; readonly warnings: readonly string[] } {
    return this.engine.decodePatched(kind, patched, { mode: fieldValidation, patch });
  }

  /** The status of an object nobody has reported on yet. */
  emptyStatus(kind: GroupVersionKind): unknown {
    return this.engine.emptyStatus(kind);
  }

  /** Sets constant defaults in place; idempotent. */
  applyDefaults(kind: GroupVersionKind, object: AnyObject): void {
    this.engine.applyDefaults(kind, object);
  }

  /** Strategic merge patch; returns a new object and leaves both inputs alone. */
  strategicMerge(kind: GroupVersionKind, current: AnyObject, patch: unknown): AnyObject {
    return this.engine.strategicMerge(kind, current, patch as Record<string, unknown>) as AnyObject;
  }

  /** The object with a configuration laid over it as the schema merges, and nobody's ownership; throws Error for one that does not fit or would replace a whole list. */
  mergeTyped(kind: GroupVersionKind, current: AnyObject, applied: Record<string, unknown>): AnyObject {
    return this.engine.mergeTyped(kind, current, applied);
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

  /** OpenAPI documents of the kinds served at the time, by path and accepted media types. */
  openapi(kinds: KindRegistry): (path: string, accept: string) => PublishedDocument | undefined {
    const documents = new OpenApi(this.engine.definitions, () => kinds.all());
    return (path, accept) => {
      const isProtobuf = path === "/openapi/v2" && V2_PROTOBUF.test(accept);
      const document = isProtobuf ? documents.v2Protobuf() : path === "/openapi/v2" ? documents.v2Json() : path === "/openapi/v3" ? documents.v3Index() : path.startsWith("/openapi/v3/") ? documents.v3(path.slice("/openapi/v3/".length)) : undefined;
      return document && { body: document.bytes, contentType: isProtobuf ? "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" : "application/json", etag: `"${document.etag}"` };
    };
  }
}
