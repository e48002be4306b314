// Turns the OpenAPI schema of a custom resource into nodes, so that decoding, defaults, patches and apply treat it like any kind.
// Types are not enforced here: what a value must be is said by validation, which answers with 422.
import type { Definitions, SchemaNode as Node, NodeType } from "./node.ts";
import { SchemaNode } from "./node.ts";

/** The part of `JSONSchemaProps` the engine needs. */
export interface CustomSchema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, CustomSchema>>;
  readonly additionalProperties?: CustomSchema | boolean;
  readonly items?: CustomSchema;
  readonly default?: unknown;
  readonly nullable?: boolean;
  readonly required?: readonly string[];
  readonly "x-kubernetes-preserve-unknown-fields"?: boolean;
  readonly "x-kubernetes-embedded-resource"?: boolean;
  readonly "x-kubernetes-int-or-string"?: boolean;
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-map-type"?: string;
}

const META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const SCALARS: Readonly<Record<string, NodeType>> = { string: "string", boolean: "boolean", integer: "integer", number: "number" };

/** The node of a custom resource; without a schema everything in it is kept. */
export function customNode(schema: CustomSchema | undefined, definitions: Definitions): Node {
  return convert({ type: "object", ...(schema ?? { "x-kubernetes-preserve-unknown-fields": true }) }, { definitions, isResource: true });
}

function convert(schema: CustomSchema, { definitions, isResource }: { definitions: Definitions; isResource: boolean }): Node {
  const isEmbedded = isResource || schema["x-kubernetes-embedded-resource"] === true;
  const child = (inner: CustomSchema): Node => convert(inner, { definitions, isResource: false });
  const common = { isLenient: true, isNullable: schema.nullable ?? false, default: schema.default, preservesUnknown: schema["x-kubernetes-preserve-unknown-fields"] ?? false };
  const isAtomic = schema["x-kubernetes-map-type"] === "atomic";
  if (schema.type === "array") {
    const listType = schema["x-kubernetes-list-type"];
    return new SchemaNode({ ...common, type: "list", goType: "array", items: child(schema.items ?? { "x-kubernetes-preserve-unknown-fields": true }), listType: listType === "map" || listType === "set" ? listType : "atomic", keys: schema["x-kubernetes-list-map-keys"] ?? [] });
  }
  const scalar = schema["x-kubernetes-int-or-string"] ? undefined : SCALARS[schema.type ?? ""];
  if (scalar) return new SchemaNode({ ...common, type: scalar, goType: schema.type ?? "" });
  if (schema.type !== "object" && !schema.properties) return new SchemaNode({ ...common, type: "any", goType: "any" });
  const { additionalProperties } = schema;
  if (additionalProperties && !schema.properties) return new SchemaNode({ ...common, type: "map", goType: "map", isAtomic, items: child(additionalProperties === true ? { "x-kubernetes-preserve-unknown-fields": true } : additionalProperties) });
  return new SchemaNode({ ...common, ...(additionalProperties === true && { preservesUnknown: true }), type: "object", goType: "object", isAtomic, fields: () => fieldsOf(schema, { child, meta: isEmbedded ? definitions.node(META) : undefined }) });
}

function fieldsOf(schema: CustomSchema, { child, meta }: { child: (schema: CustomSchema) => Node; meta: Node | undefined }): ReadonlyMap<string, Node> {
  const fields = new Map(Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, child(inner)]));
  if (!meta) return fields;
  fields.set("metadata", meta);
  for (const name of ["apiVersion", "kind"]) fields.set(name, new SchemaNode({ type: "string", goType: "string" }));
  return fields;
}
