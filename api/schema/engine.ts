// The schema engine as the API server composes it: every operation that needs to know a kind's fields, by kind.
// Pure: it decides, and leaves storing, admission and validation to others.
import { field, invalid } from "../errors.ts";
import type { GroupVersionKind } from "../kinds.ts";
import type { AnyObject, ManagedFieldsEntry } from "../types.ts";
import { applyConfiguration, type ApplyRequest } from "./apply.ts";
import { applyDefaults } from "./defaults.ts";
import { DecodeError, decodeObject, decodeValue, type FieldValidation } from "./decode.ts";
import { jsonPatch, mergePatch } from "./json-patch.ts";
import { Definitions, definitionName, type SchemaNode } from "./node.ts";
import { strategicMerge } from "./strategic.ts";
import { appliedErrors, atomicPaths, mergeApplied } from "./typed.ts";
import { trackUpdate, type TrackedKind, type Writer } from "./track.ts";

type Plain = Record<string, unknown>;

/** Schema-driven operations on objects of any kind, built-in or added at run time. */
export class SchemaEngine {
  /** The built-in definitions, for whoever publishes them. */
  readonly definitions = new Definitions();
  readonly #added = new Map<string, SchemaNode>();
  readonly #nodes = new Map<string, SchemaNode | undefined>();
  /** By the very object that names the kind, which is nearly always its row in the table. */
  #byRow = new WeakMap<GroupVersionKind, SchemaNode>();

  /** The schema of a kind; undefined when there is none, and then anything goes. */
  schemaFor(kind: GroupVersionKind): SchemaNode | undefined {
    const known = this.#byRow.get(kind);
    if (known) return known;
    const node = this.#find(kind);
    if (node) this.#byRow.set(kind, node);
    return node;
  }

  #find(kind: GroupVersionKind): SchemaNode | undefined {
    const key = keyOf(kind);
    if (this.#nodes.has(key)) return this.#nodes.get(key);
    const name = definitionName(kind);
    const node = this.#added.get(key) ?? (this.definitions.has(name) ? this.definitions.node(name) : undefined);
    this.#nodes.set(key, node);
    return node;
  }

  /** Serves a kind with a schema of its own, replacing an earlier one; `published` is what OpenAPI says of it. */
  add(kind: GroupVersionKind, schema: SchemaNode, published?: Readonly<Record<string, unknown>>): void {
    if (published) this.definitions.published.set(definitionName(kind), published);
    this.#added.set(keyOf(kind), schema);
    this.#forget(kind);
  }

  /** Forgets a kind that was added. */
  remove(kind: GroupVersionKind): void {
    this.definitions.published.delete(definitionName(kind));
    this.#added.delete(keyOf(kind));
    this.#forget(kind);
  }

  #forget(kind: GroupVersionKind): void {
    this.#nodes.delete(keyOf(kind));
    this.#byRow = new WeakMap();
  }

  /**
   * Reads a request body: a new object with checked types, normalised values and no unknown fields, plus what to warn of.
   * `text` is what `raw` was parsed from; without it fields spelled twice go unnoticed. Throws 400 in upstream's words.
   */
  decode(kind: GroupVersionKind, raw: unknown, options: { readonly mode?: FieldValidation; readonly text?: string | undefined } = {}): { object: AnyObject; warnings: string[] } {
    const node = this.schemaFor(kind);
    if (!node) return { object: structuredClone(raw) as AnyObject, warnings: [] };
    const { object, warnings } = decodeObject(kind, node, { value: raw, mode: options.mode ?? "Warn", text: options.text });
    return { object: object as AnyObject, warnings };
  }

  /** Reads the result of a patch; what is wrong with it is blamed on the patch, as 422. A strategic `patch` is quoted instead of the result. */
  decodePatched(kind: GroupVersionKind, patched: unknown, options: { readonly mode?: FieldValidation; readonly patch?: unknown } = {}): { object: AnyObject; warnings: string[] } {
    const { mode = "Warn", patch } = options;
    const node = this.schemaFor(kind);
    if (!node) return { object: patched as AnyObject, warnings: [] };
    try {
      const { value, problems } = decodeValue(node, patched, { mode, isConverted: patch !== undefined });
      if (mode === "Strict" && problems.length > 0) throw new DecodeError(`strict decoding error: ${problems.join(", ")}`);
      return { object: value as AnyObject, warnings: problems };
    } catch (error) {
      if (error instanceof DecodeError) throw invalid({ group: "", kind: "" }, "", [field.invalid("patch", patch === undefined ? JSON.stringify(patched) : goText(patch), error.message)]);
      throw error;
    }
  }

  /** The status of a kind before anybody reports one: plain Go fields at their zeros; undefined when the kind has none. */
  emptyStatus(kind: GroupVersionKind): unknown {
    const status = this.schemaFor(kind)?.fields.get("status");
    return status?.presence === "always" ? decodeValue(status, {}, { mode: "Ignore" }).value : undefined;
  }

  /** Sets the constant defaults of a kind, in place. */
  applyDefaults(kind: GroupVersionKind, object: AnyObject): void {
    const node = this.schemaFor(kind);
    if (node) applyDefaults(node, object);
  }

  /** A configuration laid over an object as the schema merges; the result is neither decoded nor defaulted. Throws Error for one that does not fit or would replace a whole list. */
  mergeTyped(kind: GroupVersionKind, current: AnyObject, applied: Record<string, unknown>): AnyObject {
    const node = this.schemaFor(kind);
    const errors = node ? appliedErrors(node, applied) : [];
    if (errors.length > 0) throw new Error(`error applying patch: failed to convert patch object to typed object: ${errors.join("; ")}`);
    const atomics = atomicPaths(node, applied);
    if (atomics.length > 0) throw new Error(`error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${atomics.join(", ")}`);
    return mergeApplied(node, current, applied) as AnyObject;
  }

  /** Strategic merge patch; the result is neither decoded nor defaulted. */
  strategicMerge(kind: GroupVersionKind, current: AnyObject, patch: Plain): Plain {
    const node = this.schemaFor(kind);
    return node ? strategicMerge(node, current, patch) : mergePatch(current, patch);
  }

  /** JSON merge patch (RFC 7386); the result is neither decoded nor defaulted. */
  mergePatch(current: AnyObject, patch: unknown): Plain {
    return mergePatch(current, patch);
  }

  /** JSON patch (RFC 6902); the result is neither decoded nor defaulted. */
  jsonPatch(current: AnyObject, patch: unknown): Plain {
    return jsonPatch(current, patch);
  }

  /** Server-side apply; the result carries its `managedFields` and is neither decoded nor defaulted. */
  apply(request: ApplyRequest): AnyObject {
    return applyConfiguration(this.schemaFor(request.kind), request);
  }

  /**
   * The `managedFields` to store after a create (`live` undefined), update or patch; call it once the object is decoded and
   * defaulted, before admission. Returns the live entries themselves when nothing changed, undefined when there are none.
   */
  trackUpdate(write: { readonly kind: TrackedKind; readonly live: AnyObject | undefined; readonly updated: AnyObject } & Writer): ManagedFieldsEntry[] | undefined {
    return trackUpdate(this.schemaFor(write.kind), write.kind, write);
  }
}

/** A value as Go prints it, which is how upstream quotes a strategic patch. */
function goText(value: unknown): string {
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  if (typeof value !== "object") return String(value);
  return `map[${Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => `${key}:${goText(inner)}`).join(" ")}]`;
}

function keyOf(kind: GroupVersionKind): string {
  return `${kind.group}/${kind.version}/${kind.kind}`;
}
