// JSON as CEL values, and schemas as CEL types: whole numbers are integers, times are timestamps, names are escaped.
// Rules: k8s.io/apiserver/pkg/cel and https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
import type { Environment } from "@marcbachmann/cel-js";
import type { CelSchema } from "./schema.ts";

const RESERVED = new Set(["true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"]);

/** The name a property has in CEL; undefined for one that cannot be named there. */
export function escapeName(name: string): string | undefined {
  if (RESERVED.has(name)) return `__${name}__`;
  const escaped = name.replaceAll("__", "__underscores__").replaceAll(".", "__dot__").replaceAll("-", "__dash__").replaceAll("/", "__slash__");
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(escaped) ? escaped : undefined;
}

/** Declares the type of a schema, and of everything in it, under `name`; returns what it is called. */
export function declareType(env: Environment, schema: CelSchema, name: string): string {
  if (schema["x-kubernetes-int-or-string"]) return "dyn";
  if (schema.type === "array") return `list<${schema.items ? declareType(env, schema.items, `${name}.item`) : "dyn"}>`;
  if (schema.type === "object" && typeof schema.additionalProperties === "object") return `map<string, ${declareType(env, schema.additionalProperties, `${name}.value`)}>`;
  if (schema.type === "object" && schema.properties) return declareObject(env, schema, name);
  if (schema.type === "object") return schema["x-kubernetes-preserve-unknown-fields"] ? "dyn" : declareObject(env, schema, name);
  return scalarType(schema);
}

function scalarType({ type, format }: CelSchema): string {
  if (type === "integer") return "int";
  if (type === "number") return "double";
  if (type === "boolean") return "bool";
  if (type !== "string") return "dyn";
  if (format === "date-time") return "google.protobuf.Timestamp";
  if (format === "duration") return "google.protobuf.Duration";
  return format === "byte" ? "bytes" : "string";
}

/** What the values of one object schema are made of: the engine tells the type of a value by its class. */
type ObjectClass = new () => Record<string, unknown>;

const classes = new WeakMap<CelSchema, ObjectClass>();
const declared = new WeakMap<Environment, Map<CelSchema, string>>();

function classOf(schema: CelSchema): ObjectClass {
  const known = classes.get(schema);
  if (known) return known;
  const made: ObjectClass = class {
    [field: string]: unknown;
  };
  classes.set(schema, made);
  return made;
}

/** A schema that stands in several places is one type, called as where it was found first. */
function declareObject(env: Environment, schema: CelSchema, name: string): string {
  const types = declared.get(env) ?? new Map<CelSchema, string>();
  declared.set(env, types);
  const known = types.get(schema);
  if (known !== undefined) return known;
  const type = name.replace(/[^A-Za-z0-9_.]/g, "_");
  types.set(schema, type);
  const fields: Record<string, string> = {};
  const properties = { ...(schema["x-kubernetes-embedded-resource"] && EMBEDDED), ...schema.properties };
  for (const [property, inner] of Object.entries(properties)) {
    const escaped = escapeName(property);
    if (escaped !== undefined) fields[escaped] = declareType(env, inner, `${name}.${escaped}`);
  }
  env.registerType(type, { ctor: classOf(schema), fields });
  env.registerOperator(`${type} == ${type}`, equalCel);
  return type;
}

const EMBEDDED: Readonly<Record<string, CelSchema>> = {
  apiVersion: { type: "string" }, kind: { type: "string" }, metadata: { type: "object", properties: { name: { type: "string" }, generateName: { type: "string" } } },
};

/** The schema of a whole object: what every object has is in it. */
export function withObjectFields<S extends CelSchema>(schema: S): S {
  return { ...schema, properties: { ...schema.properties, ...EMBEDDED } };
}

/** A JSON value as CEL sees it; without a schema whole numbers are integers. */
export function toCel(value: unknown, schema?: CelSchema): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === "number") return schema?.type === "number" || !Number.isInteger(value) ? value : BigInt(value);
  if (typeof value === "string") return textToCel(value, schema);
  if (Array.isArray(value)) return value.map((item) => toCel(item, schema?.items));
  if (typeof value !== "object") return value;
  return objectToCel(value as Readonly<Record<string, unknown>>, schema);
}

function textToCel(value: string, schema: CelSchema | undefined): unknown {
  if (schema?.format === "date-time") return new Date(value);
  return schema?.format === "byte" ? Uint8Array.from(Buffer.from(value, "base64")) : value;
}

function objectToCel(value: Readonly<Record<string, unknown>>, schema: CelSchema | undefined): unknown {
  const additional = typeof schema?.additionalProperties === "object" ? schema.additionalProperties : undefined;
  if (additional) return new Map(Object.entries(value).map(([key, inner]) => [key, toCel(inner, additional)]));
  const known = schema?.type === "object" && (schema.properties || !schema["x-kubernetes-preserve-unknown-fields"]) ? schema : undefined;
  const result = known ? new (classOf(known))() : {};
  for (const [key, inner] of Object.entries(value)) {
    const property = schema?.properties?.[key];
    const name = known ? escapeName(key) : key;
    if (name !== undefined && (property || !known)) result[name] = toCel(inner, property);
  }
  return result;
}

/** Whether two CEL values are the same. */
export function equalCel(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if ((typeof a === "bigint" && typeof b === "number") || (typeof a === "number" && typeof b === "bigint")) return Number(a) === Number(b);
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, index) => equalCel(item, b[index]));
  const [left, right] = [entriesOf(a), entriesOf(b)];
  return left.size === right.size && [...left].every(([key, value]) => equalCel(value, right.get(key)));
}

/** What is there: a value of a declared type tells all fields of its type, undefined where they are not set. */
function entriesOf(value: object): Map<unknown, unknown> {
  return new Map([...(value instanceof Map ? value : Object.entries(value))].filter(([, inner]) => inner !== undefined));
}
