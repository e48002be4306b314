// Writes definitions as OpenAPI publishes them, in version 2 and in version 3, from the build product.
// Which definitions a document holds is decided by what its requests refer to.
import { KINDS, type GroupVersionKind, type KindInfo, listKindOf } from "../../kinds.ts";
import type { DefinitionData, FieldData } from "../data.ts";
import { definitionName, type Definitions } from "../node.ts";
import { customSchema } from "./custom.ts";
import { SPECIAL_BY_NAME } from "../special.ts";

export type Json = Record<string, unknown>;
export type OpenApiVersion = 2 | 3;
type Descriptions = Readonly<Record<string, Readonly<Record<string, string>>>>;

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const META_OF_OBJECTS = `${META}.ObjectMeta`;
const META_OF_LISTS = `${META}.ListMeta`;
/** Served in the core group only, though of the meta package. */
const META_KINDS = ["Status", "APIGroup", "APIGroupList", "APIResourceList", "APIVersions"];
/** Has descriptions of the fields every kind has. */
const DESCRIBED = "io.k8s.api.core.v1.ConfigMap";
/** Clients of custom resources look for this sentence. */
const CUSTOM_METADATA = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
/** Registered in every group-version. */
const EVERYWHERE = new Set([`${META}.DeleteOptions`, `${META}.WatchEvent`]);

/** Writes definitions of one OpenAPI version. `groupVersions` are those the document speaks for. */
export class SchemaWriter {
  readonly #kinds: ReadonlyMap<string, GroupVersionKind>;

  constructor(
    private readonly definitions: Definitions,
    private readonly descriptions: Descriptions,
    private readonly options: { readonly version: OpenApiVersion; readonly groupVersions: readonly { readonly group: string; readonly version: string }[]; readonly kinds?: readonly KindInfo[] },
  ) {
    this.#kinds = kindsByDefinition(options.kinds ?? KINDS);
  }

  /** Where references point to: `#/definitions/` or `#/components/schemas/`. */
  get root(): string {
    return this.options.version === 2 ? "#/definitions/" : "#/components/schemas/";
  }

  reference(definition: string): Json {
    return definition === "string" ? { type: "string" } : { $ref: `${this.root}${definition}` };
  }

  /** The definitions reachable from some of them, in name order. */
  closure(roots: Iterable<string>): Record<string, Json> {
    const found = new Map<string, Json>();
    const pending = [...roots].filter((name) => name !== "string");
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (found.has(name)) continue;
      const definition = this.definition(name);
      found.set(name, definition);
      if (SPECIAL_BY_NAME.has(name)) continue;
      pending.push(...(this.definitions.has(name) ? Object.values(this.definitions.data(name).f).flatMap((field) => referred(field.t)) : [META_OF_OBJECTS, META_OF_LISTS, ...itemOf(name)]));
    }
    return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  definition(name: string): Json {
    const special = SPECIAL_BY_NAME.get(name);
    if (special) return { description: special.description, ...(this.options.version === 2 ? (special.v2 ?? special.v3) : special.v3) };
    if (!this.definitions.has(name)) return this.#added(name);
    const data = this.definitions.data(name);
    const properties = Object.entries(data.f).map(([field, fact]) => [field, this.#property(name, field, fact)]);
    const required = Object.entries(data.f).filter(([, fact]) => fact.r).map(([field]) => field);
    const description = this.descriptions[name]?.[""] ?? "";
    return {
      ...(description !== "" && { description }), ...(properties.length > 0 && { properties: Object.fromEntries(properties) as Json }), ...(required.length > 0 && { required }), type: "object",
      ...this.#extensions(name, data),
    };
  }

  /** A kind added at run time, or the list of one. */
  #added(name: string): Json {
    const gvk = { "x-kubernetes-group-version-kind": this.#gvks(name) };
    const described = this.descriptions[DESCRIBED] ?? {};
    const usual: Json = Object.fromEntries(["apiVersion", "kind"].map((field) => [field, { ...(described[field] && { description: described[field] }), type: "string" }]));
    const [item] = itemOf(name);
    if (item !== undefined) return { description: `A list of ${this.#gvks(item)[0]?.kind ?? item}.`, properties: { ...usual, items: { items: this.reference(item), type: "array" }, metadata: this.reference(META_OF_LISTS) }, required: ["items"], type: "object", ...gvk };
    const reference = this.reference(META_OF_OBJECTS);
    const metadata = this.options.version === 3 ? { allOf: [reference], description: CUSTOM_METADATA } : { ...reference, description: CUSTOM_METADATA };
    return { ...customSchema(this.definitions.published.get(name), this.options.version, { ...usual, metadata }), ...gvk };
  }

  #extensions(name: string, data: DefinitionData): Json {
    const gvks = this.#gvks(name);
    return {
      ...(gvks.length > 0 && { "x-kubernetes-group-version-kind": gvks }), ...(data.atomic && { "x-kubernetes-map-type": "atomic" }),
      ...(data.union && { "x-kubernetes-unions": [unionOf(data.union)] }),
    };
  }

  #gvks(name: string): GroupVersionKind[] {
    const kind = name.slice(name.lastIndexOf(".") + 1);
    if (EVERYWHERE.has(name)) return [{ group: "", version: "v1" }, ...this.options.groupVersions.filter(({ group }) => group !== "")].map(({ group, version }) => ({ group, kind, version }));
    const gvk = this.#kinds.get(name);
    return gvk ? [{ group: gvk.group, kind: gvk.kind, version: gvk.version }] : [];
  }

  #property(definition: string, field: string, data: FieldData): Json {
    const target = data.t.startsWith("#") ? data.t.slice(1) : undefined;
    const isUndescribed = UNDESCRIBED[definition.slice(definition.lastIndexOf(".") + 1)]?.includes(field);
    // The client's models describe a referring field only through the type it refers to.
    const own = isUndescribed ? undefined : (this.descriptions[definition]?.[field] ?? this.#describe(definition, field, target));
    const facts: Json = {
      ...(this.options.version === 3 && publishedDefault(data)), ...(own !== undefined && { description: own }),
      ...(data.k && { "x-kubernetes-list-map-keys": data.k }), ...((data.k || data.l) && { "x-kubernetes-list-type": data.k ? "map" : data.l }),
      ...(data.m !== undefined && { "x-kubernetes-map-type": data.m }), ...(data.mk !== undefined && { "x-kubernetes-patch-merge-key": data.mk }), ...(data.s !== undefined && { "x-kubernetes-patch-strategy": data.s }),
    };
    const type = this.#type(data.t);
    return this.options.version === 3 && "$ref" in type && Object.keys(facts).length > 0 ? { allOf: [type], ...facts } : { ...type, ...facts };
  }

  #describe(definition: string, field: string, target: string | undefined): string | undefined {
    const [gvk] = this.#gvks(definition);
    if (gvk && field in USUAL) return USUAL[field]?.(gvk.kind);
    return target === undefined ? undefined : (SPECIAL_BY_NAME.get(target)?.description ?? this.descriptions[target]?.[""]);
  }

  #type(type: string): Json {
    if (type.startsWith("[]")) return { items: this.#type(type.slice(2)), type: "array" };
    if (type.startsWith("{}")) return { additionalProperties: this.#type(type.slice(2)), type: "object" };
    if (type.startsWith("#")) return this.reference(type.slice(1));
    return { ...SCALARS[type] };
  }
}

/** What the usual fields of every kind are for. */
const USUAL: Readonly<Record<string, (kind: string) => string>> = {
  metadata: (kind) => (kind.endsWith("List") ? "Metadata of the list: the version it was read at and how to continue it." : "Standard metadata: name, namespace, labels, annotations, and what the server keeps about the object."),
  spec: (kind) => `What is wanted of the ${kind}.`,
  status: (kind) => `What was last observed of the ${kind}. Written by the system, read-only for users.`,
};
/** Referring fields that are published without a description. */
const UNDESCRIBED: Readonly<Record<string, readonly string[]>> = {
  CertificateSigningRequest: ["metadata"], CertificateSigningRequestList: ["metadata"], IngressRule: ["http"],
  JSONSchemaProps: ["additionalItems", "additionalProperties", "example", "externalDocs", "items", "not"],
};
const SCALARS: Readonly<Record<string, Json>> = {
  s: { type: "string" }, b: { type: "boolean" }, i32: { format: "int32", type: "integer" }, i64: { format: "int64", type: "integer" }, f64: { format: "double", type: "number" }, B: { format: "byte", type: "string" }, "*": {},
};

/** Plain Go values publish their zero, structs an empty object. */
function publishedDefault(data: FieldData): Json {
  if (data.d) return data.d.none ? {} : { default: data.d.v };
  if (data.p !== "always") return {};
  const zeros: Record<string, unknown> = { s: "", b: false, i32: 0, i64: 0, f64: 0, B: "" };
  if (data.t in zeros) return { default: zeros[data.t] };
  return data.t.startsWith("#") && !SPECIAL_BY_NAME.has(data.t.slice(1)) ? { default: {} } : {};
}

/** The definition of a list's items, where the name is that of a list. */
function itemOf(name: string): string[] {
  return name.endsWith("List") ? [name.slice(0, -"List".length)] : [];
}

function referred(type: string): string[] {
  const target = type.slice(type.indexOf("#") + 1);
  return type.includes("#") ? [target] : [];
}

function unionOf({ discriminator, fields }: NonNullable<DefinitionData["union"]>): Json {
  return { ...(discriminator !== undefined && { discriminator }), "fields-to-discriminateBy": Object.fromEntries(fields.map((field) => [field, (field[0] as string).toUpperCase() + field.slice(1)])) };
}

function kindsByDefinition(kinds: readonly KindInfo[]): Map<string, GroupVersionKind> {
  const found = new Map<string, GroupVersionKind>();
  for (const kind of kinds) {
    const list = { group: kind.group, version: kind.version, kind: listKindOf(kind) };
    for (const gvk of [kind, list, ...Object.values(kind.subresources).map((sub) => sub.gvk)]) found.set(definitionName(gvk), gvk);
  }
  for (const kind of META_KINDS) found.set(`${META}.${kind}`, { group: "", version: "v1", kind });
  return found;
}
