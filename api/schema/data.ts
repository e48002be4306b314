// The build product the engine reads: what it holds, and how it is found at run time.
// Written by `scripts/schema.ts`; descriptions are a second file, read only for OpenAPI.
import { readFileSync } from "node:fs";
import docsPath from "../../dist/schema-docs.data" with { type: "file" };
import schemaPath from "../../dist/schema.data" with { type: "file" };

/** One field; keys are short because there are thousands. */
export interface FieldData {
  /** Type expression: `s` string, `b` boolean, `i32`, `i64`, `f64`, `B` bytes, `*` anything, `[]T`, `{}T`, `#definition`. */
  t: string;
  /** Required. */
  r?: true;
  /** Presence; pointer when left out. */
  p?: "value" | "always" | "null";
  /** Keys of a map list. */
  k?: readonly string[];
  l?: "atomic" | "set";
  /** Map type. */
  m?: string;
  /** Patch strategy and merge key. */
  s?: string;
  mk?: string;
  /** Published default where it is not the zero that presence implies. */
  d?: { v?: unknown; none?: true };
  /** Default that is applied but not published. */
  a?: unknown;
}

export interface DefinitionData {
  f: Record<string, FieldData>;
  atomic?: true;
  union?: { readonly discriminator?: string; readonly fields: readonly string[] };
}

/** Definitions by published name, each as JSON of its own so that only those in use are ever parsed. */
export interface SchemaData {
  definitions: Record<string, string>;
  /** Changes whenever a definition, a description or a parameter does. */
  digest: string;
}

/** The types of every definition. */
export function loadSchema(): SchemaData {
  return JSON.parse(readFileSync(schemaPath, "utf8")) as SchemaData;
}

/** A query or path parameter of requests. */
export interface ParameterData {
  readonly name: string;
  readonly type: string;
  readonly description: string;
}

export interface DocsData {
  /** By definition and field; the definition's own is under the empty name. */
  readonly descriptions: Record<string, Record<string, string>>;
  /** By the kind of request that takes them. */
  readonly parameters: Record<string, readonly ParameterData[]>;
}

/** Everything only OpenAPI needs. Large: read, use, drop. */
export function loadDocs(): DocsData {
  return JSON.parse(readFileSync(docsPath, "utf8")) as DocsData;
}
