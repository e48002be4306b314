// The schema as the engine walks it: one node per field or item, made from the build product when first needed.
// Custom resources make the same nodes from their OpenAPI schema, so every algorithm here works on both.
import { KINDS } from "../kinds.ts";
import type { Presence } from "./facts.ts";
import { loadSchema, type DefinitionData, type FieldData, type SchemaData } from "./data.ts";
import { SPECIAL_BY_NAME, type SpecialType } from "./special.ts";

export type NodeType = "object" | "map" | "list" | "string" | "boolean" | "integer" | "number" | "bytes" | SpecialType;

/** Everything about a node but its children. */
export interface NodeOptions {
  readonly type: NodeType;
  /** The Go type, as decode errors name it. */
  readonly goType: string;
  readonly isRequired?: boolean;
  readonly presence?: Presence;
  readonly listType?: "atomic" | "set" | "map";
  readonly keys?: readonly string[];
  /** Maps and objects owned as one. */
  readonly isAtomic?: boolean;
  readonly strategy?: string;
  readonly mergeKey?: string;
  readonly default?: unknown;
  /** 32 or 64, for integers. */
  readonly bits?: number;
  /** Null is a value of its own. */
  readonly isNullable?: boolean;
  /** Fields that are not in the schema are kept. */
  readonly preservesUnknown?: boolean;
  /** Values of another type are kept: validation, not decoding, refuses them (custom resources). */
  readonly isLenient?: boolean;
  readonly items?: SchemaNode;
  readonly fields?: () => ReadonlyMap<string, SchemaNode>;
}

const NO_FIELDS: ReadonlyMap<string, SchemaNode> = new Map();
const NO_KEYS: readonly string[] = [];

/** One place in a schema. All instances have one shape, because every write walks them. */
export class SchemaNode {
  readonly type: NodeType;
  readonly goType: string;
  readonly isRequired: boolean;
  readonly presence: Presence;
  readonly listType: "atomic" | "set" | "map";
  readonly keys: readonly string[];
  readonly isAtomic: boolean;
  readonly strategy: string;
  readonly mergeKey: string;
  readonly default: unknown;
  readonly bits: number;
  readonly isNullable: boolean;
  readonly preservesUnknown: boolean;
  readonly isLenient: boolean;
  readonly items: SchemaNode | undefined;
  #load: (() => ReadonlyMap<string, SchemaNode>) | undefined;
  #fields: ReadonlyMap<string, SchemaNode> = NO_FIELDS;
  #defaulted: readonly (readonly [string, SchemaNode])[] | undefined;
  #always: readonly (readonly [string, SchemaNode])[] | undefined;

  constructor(options: NodeOptions) {
    this.type = options.type;
    this.goType = options.goType;
    this.isRequired = options.isRequired ?? false;
    this.presence = options.presence ?? "pointer";
    this.listType = options.listType ?? "atomic";
    this.keys = options.keys ?? NO_KEYS;
    this.isAtomic = options.isAtomic ?? false;
    this.strategy = options.strategy ?? "";
    this.mergeKey = options.mergeKey ?? "";
    this.default = options.default;
    this.bits = options.bits ?? 64;
    this.isNullable = options.isNullable ?? false;
    this.preservesUnknown = options.preservesUnknown ?? false;
    this.isLenient = options.isLenient ?? false;
    this.items = options.items;
    this.#load = options.fields;
  }

  /** The fields of an object; resolved on first use, so that recursive schemas end. */
  get fields(): ReadonlyMap<string, SchemaNode> {
    if (this.#load) {
      this.#fields = this.#load();
      this.#load = undefined;
    }
    return this.#fields;
  }

  /** The node of one child: a field's, or the items' for maps. */
  child(name: string): SchemaNode | undefined {
    return this.type === "map" ? this.items : this.fields.get(name);
  }

  /** Fields that have a default. */
  get defaultedFields(): readonly (readonly [string, SchemaNode])[] {
    return (this.#defaulted ??= [...this.fields].filter(([, field]) => field.default !== undefined));
  }

  /** Fields that are written even when nothing was given for them. */
  get alwaysFields(): readonly (readonly [string, SchemaNode])[] {
    return (this.#always ??= [...this.fields].filter(([, field]) => field.presence === "always" || field.presence === "null"));
  }
}

/** The published definitions as nodes, each made when it is first asked for. */
export class Definitions {
  /** Changes whenever any definition does. */
  readonly digest: string;
  readonly #texts: Record<string, string>;
  readonly #fields = new Map<string, ReadonlyMap<string, SchemaNode>>();
  readonly #roots = new Map<string, SchemaNode>();
  readonly #data = new Map<string, DefinitionData>();

  constructor({ definitions, digest }: SchemaData = loadSchema()) {
    this.#texts = definitions;
    this.digest = digest;
  }

  /** What is published of kinds added at run time, by definition name, as OpenAPI 3. */
  readonly published = new Map<string, Readonly<Record<string, unknown>>>();

  /** Every definition's name. */
  get names(): readonly string[] {
    return Object.keys(this.#texts);
  }

  has(name: string): boolean {
    return name in this.#texts;
  }

  /** The node of a whole object of this type. */
  node(name: string): SchemaNode {
    let node = this.#roots.get(name);
    if (!node) {
      node = new SchemaNode({ type: "object", goType: goTypeOf(name), isAtomic: this.#parse(name).atomic ?? false, fields: () => this.#fieldsOf(name) });
      this.#roots.set(name, node);
    }
    return node;
  }

  /** What the build product says of a definition. */
  data(name: string): DefinitionData {
    return JSON.parse(this.#texts[name] as string) as DefinitionData;
  }

  #parse(name: string): DefinitionData {
    let data = this.#data.get(name);
    if (!data) {
      const text = this.#texts[name];
      if (text === undefined) throw new Error(`the schema has no definition ${name}`);
      data = JSON.parse(text) as DefinitionData;
      this.#data.set(name, data);
    }
    return data;
  }

  #fieldsOf(name: string): ReadonlyMap<string, SchemaNode> {
    let fields = this.#fields.get(name);
    if (!fields) {
      fields = new Map(Object.entries(this.#parse(name).f).map(([field, data]) => [field, this.#nodeOf(data.t, data)]));
      this.#fields.set(name, fields);
      this.#data.delete(name);
    }
    return fields;
  }

  #nodeOf(type: string, data: FieldData): SchemaNode {
    const common = {
      isRequired: data.r ?? false, presence: data.p ?? ("pointer" as const),
      ...(data.s !== undefined && { strategy: data.s }), ...(data.mk !== undefined && { mergeKey: data.mk }), default: data.a ?? data.d?.v,
    };
    if (type.startsWith("[]")) {
      const items = this.#nodeOf(type.slice(2), { t: type.slice(2) });
      return new SchemaNode({ ...common, type: "list", goType: `[]${items.goType}`, items, listType: data.k ? "map" : (data.l ?? "atomic"), ...(data.k && { keys: data.k }) });
    }
    if (type.startsWith("{}")) {
      const items = this.#nodeOf(type.slice(2), { t: type.slice(2) });
      return new SchemaNode({ ...common, type: "map", goType: `map[string]${items.goType}`, items, isAtomic: data.m === "atomic" });
    }
    if (type.startsWith("#")) return this.#reference(type.slice(1), data, common);
    return new SchemaNode({ ...common, ...SCALARS[type] } as NodeOptions);
  }

  #reference(name: string, data: FieldData, common: Partial<NodeOptions>): SchemaNode {
    const special = SPECIAL_BY_NAME.get(name);
    if (special) return new SchemaNode({ ...common, type: special.type, goType: goTypeOf(name) });
    const isAtomic = data.m === undefined ? (this.#parse(name).atomic ?? false) : data.m === "atomic";
    return new SchemaNode({ ...common, type: "object", goType: goTypeOf(name), isAtomic, fields: () => this.#fieldsOf(name) });
  }
}

const SCALARS: Readonly<Record<string, { readonly type: NodeType; readonly goType: string; readonly bits?: number }>> = {
  s: { type: "string", goType: "string" },
  b: { type: "boolean", goType: "bool" },
  i32: { type: "integer", goType: "int32", bits: 32 },
  i64: { type: "integer", goType: "int64" },
  f64: { type: "number", goType: "float64" },
  B: { type: "bytes", goType: "[]uint8" },
  "*": { type: "any", goType: "interface {}" },
};

/** `v1.PodSpec` for `io.k8s.api.core.v1.PodSpec`. */
function goTypeOf(definition: string): string {
  return definition.split(".").slice(-2).join(".");
}

const BUILTIN_GROUPS: ReadonlySet<string> = new Set(["meta.k8s.io", ...KINDS.map(({ group }) => group), ...KINDS.flatMap(({ subresources }) => Object.values(subresources).map(({ gvk }) => gvk.group))]);

/** The name a kind's definition is published under: of the Go package for built-in kinds, the group backwards for all others. */
export function definitionName(gvk: { readonly group: string; readonly version: string; readonly kind: string }): string {
  if (!BUILTIN_GROUPS.has(gvk.group)) return `${gvk.group.split(".").reverse().join(".")}.${gvk.version}.${gvk.kind}`;
  if (gvk.group === "apiextensions.k8s.io") return `io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.${gvk.version}.${gvk.kind}`;
  if (gvk.group === "apiregistration.k8s.io") return `io.k8s.kube-aggregator.pkg.apis.apiregistration.${gvk.version}.${gvk.kind}`;
  if (gvk.group === "meta.k8s.io") return `io.k8s.apimachinery.pkg.apis.meta.${gvk.version}.${gvk.kind}`;
  return `io.k8s.api.${gvk.group === "" ? "core" : gvk.group.split(".")[0]}.${gvk.version}.${gvk.kind}`;
}
