// Whether a schema is structural: it says of every field what it is, outside of what merely validates it.
// Rules and wording: apiextensions-apiserver/pkg/apiserver/schema/validation.go.
import { field, type FieldError } from "../../../../api/errors.ts";
import { equalJson } from "../../json.ts";
import { patternProblem, validateValue } from "./values.ts";
import type { JsonSchema } from "./schema.ts";

type Level = "root" | "item" | "field";

const WHERE: Readonly<Record<Level, string>> = { root: "at the root", item: "for specified array items", field: "for specified object fields" };
const TYPES = ["array", "boolean", "integer", "number", "object", "string"];
const INT_OR_STRING = [{ type: "integer" }, { type: "string" }];
/** What may not stand below anyOf, allOf, oneOf and not. */
const FORBIDDEN_NESTED = ["title", "description", "default", "nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"] as const;
const FORBIDDEN = ["$ref", "definitions", "dependencies", "patternProperties", "id", "additionalItems"] as const;

/** Everything that keeps a schema from being structural, sorted. */
export function structuralErrors(schema: JsonSchema, path: string): FieldError[] {
  return invariants(schema, "root", path).toSorted((a, b) => (a.field + a.message < b.field + b.message ? -1 : 1));
}

function invariants(schema: JsonSchema, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.type === "array" && !schema.items) errors.push(field.required(`${path}.items`, "must be specified"));
  if (Array.isArray(schema.items)) return [field.forbidden(`${path}.items`, "items must be a schema object and not an array")];
  if (schema.items) errors.push(...invariants(schema.items, "item", `${path}.items`));
  for (const [name, inner] of Object.entries(schema.properties ?? {})) {
    const at = `${path}.properties[${name}]`;
    if (level === "root" && name === "metadata") errors.push(...metadataErrors(inner, at));
    else errors.push(...invariants(inner, "field", at));
  }
  const { additionalProperties: additional } = schema;
  if (additional && level === "root") errors.push(field.forbidden(`${path}.additionalProperties`, "must not be used at the root"));
  if (typeof additional === "object") errors.push(...invariants(additional, "field", `${path}.additionalProperties`));
  if (typeof additional === "object" && Object.keys(schema.properties ?? {}).length > 0) errors.push(field.forbidden(`${path}.additionalProperties`, "additionalProperties and properties are mutual exclusive"));
  for (const name of FORBIDDEN) if (name in schema) errors.push(field.forbidden(`${path}.${name}`, `${name} is not supported`));
  if (schema.uniqueItems) errors.push(field.forbidden(`${path}.uniqueItems`, "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"));
  return [...errors, ...typeErrors(schema, level, path), ...listErrors(schema, path), ...nestedErrors(schema, path), ...defaultErrors(schema, path), ...ruleErrors(schema, path), ...patternErrors(schema, path)];
}

function typeErrors(schema: JsonSchema, level: Level, path: string): FieldError[] {
  const { type = "" } = schema;
  const at = `${path}.type`;
  const isEmbedded = schema["x-kubernetes-embedded-resource"] === true;
  if (isEmbedded && type !== "object") return [type === "" ? field.required(at, "must be object if x-kubernetes-embedded-resource is true") : field.invalid(at, type, "must be object if x-kubernetes-embedded-resource is true")];
  if (type === "" && !schema["x-kubernetes-int-or-string"] && !schema["x-kubernetes-preserve-unknown-fields"]) return [field.required(at, `must not be empty ${WHERE[level]}`)];
  if (level === "root" && type !== "" && type !== "object") return [field.invalid(at, type, "must be object at the root")];
  if (type !== "" && !TYPES.includes(type)) return [field.notSupported(at, type, TYPES)];
  if (schema["x-kubernetes-preserve-unknown-fields"] === false) return [field.invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined")];
  const isEmpty = Object.keys(schema.properties ?? {}).length === 0;
  return isEmbedded && isEmpty && !schema["x-kubernetes-preserve-unknown-fields"] ? [field.required(`${path}.properties`, "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields")] : [];
}

function metadataErrors({ type, properties = {}, ...rest }: JsonSchema, path: string): FieldError[] {
  if (type !== "object") return [field.invalid(`${path}.type`, type ?? "", "must be object")];
  const isPlain = Object.keys(properties).every((name) => name === "name" || name === "generateName") && Object.keys(rest).every((name) => name === "description");
  return isPlain ? [] : [field.forbidden(path, "must not specify anything other than name and generateName, but metadata is implicitly specified")];
}

function listErrors(schema: JsonSchema, path: string): FieldError[] {
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const mapType = schema["x-kubernetes-map-type"];
  const errors: FieldError[] = [];
  if (listType !== undefined && schema.type !== "array") errors.push(field.invalid(`${path}.type`, schema.type ?? "", "must be array if x-kubernetes-list-type is specified"));
  if (listType !== undefined && !["atomic", "set", "map"].includes(listType)) errors.push(field.notSupported(`${path}.x-kubernetes-list-type`, listType, ["atomic", "map", "set"]));
  if (keys.length > 0 && listType !== "map") errors.push(field.invalid(`${path}.x-kubernetes-list-type`, listType ?? "", "must be map if x-kubernetes-list-map-keys is non-empty"));
  if (listType === "map") errors.push(...mapErrors(schema, keys, path));
  if (mapType !== undefined && schema.type !== "object") errors.push(field.invalid(`${path}.type`, schema.type ?? "", "must be object if x-kubernetes-map-type is specified"));
  if (mapType !== undefined && !["atomic", "granular"].includes(mapType)) errors.push(field.notSupported(`${path}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
  return errors;
}

function mapErrors({ items }: JsonSchema, keys: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (keys.length === 0) errors.push(field.required(`${path}.x-kubernetes-list-map-keys`, "must not be empty if x-kubernetes-list-type is map"));
  if (items && items.type !== "object") errors.push(field.invalid(`${path}.items.type`, items.type ?? "", "must be object if parent array's x-kubernetes-list-type is map"));
  if (items?.nullable) errors.push(field.forbidden(`${path}.items.nullable`, "cannot be nullable when x-kubernetes-list-type is map"));
  const seen = new Set<string>();
  keys.forEach((key, index) => {
    const at = `${path}.x-kubernetes-list-map-keys`;
    const inner = items?.properties?.[key];
    if (seen.has(key)) errors.push(field.duplicate(`${at}[${index}]`, key));
    seen.add(key);
    if (!inner) return void errors.push(field.invalid(`${at}[${index}]`, key, "entries must all be names of item properties"));
    if (inner.type === "object" || inner.type === "array") errors.push(field.invalid(`${path}.items.properties[${key}].type`, inner.type, "must be a scalar type if parent array's x-kubernetes-list-type is map"));
    if (inner.nullable) errors.push(field.forbidden(`${path}.items.properties[${key}].nullable`, "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"));
    if (inner.default === undefined && !items?.required?.includes(key)) errors.push(field.required(`${path}.items.properties[${key}].default`, "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"));
  });
  return errors;
}

/** What stands below anyOf, allOf, oneOf and not validates only what is specified outside of them. */
function nestedErrors(schema: JsonSchema, path: string): FieldError[] {
  const isIntOrString = schema["x-kubernetes-int-or-string"] === true;
  const groups = [["anyOf", schema.anyOf], ["allOf", schema.allOf], ["oneOf", schema.oneOf], ["not", schema.not && [schema.not]]] as const;
  return groups.flatMap(([name, options]) => (options ?? []).flatMap((option, index) => {
    if (isIntOrString && name === "anyOf" && equalJson(options, INT_OR_STRING)) return [];
    if (isIntOrString && name === "allOf" && index === 0 && equalJson(option.anyOf, INT_OR_STRING)) return [];
    return nested(option, schema, name === "not" ? `${path}.not` : `${path}.${name}[${index}]`);
  }));
}

function nested(option: JsonSchema, outside: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (option.type) errors.push(field.forbidden(`${path}.type`, "must be empty to be structural"));
  if (option.additionalProperties !== undefined) errors.push(field.forbidden(`${path}.additionalProperties`, "must be undefined to be structural"));
  for (const name of FORBIDDEN_NESTED) if (option[name]) errors.push(field.forbidden(`${path}.${name}`, name === "description" || name === "title" ? "must be empty to be structural" : name.startsWith("x-") ? "must be false to be structural" : "must be undefined to be structural"));
  for (const [name, inner] of Object.entries(option.properties ?? {})) {
    const known = outside.properties?.[name];
    if (!known && !(typeof outside.additionalProperties === "object")) errors.push(field.required(`${path.replace(/\.(anyOf|allOf|oneOf)\[\d+\].*$|\.not.*$/, "")}.properties[${name}]`, `because it is defined in ${path}.properties[${name}]`));
    errors.push(...nested(inner, known ?? {}, `${path}.properties[${name}]`));
  }
  if (option.items) errors.push(...nested(option.items, outside.items ?? {}, `${path}.items`));
  return [...errors, ...[...(option.anyOf ?? []), ...(option.allOf ?? []), ...(option.oneOf ?? [])].flatMap((inner, index) => nested(inner, outside, `${path}.allOf[${index}]`))];
}

function defaultErrors(schema: JsonSchema, path: string): FieldError[] {
  if (schema.default === undefined) return [];
  if (schema.default === null && !schema.nullable) return [field.invalid(`${path}.default`, null, "must not be null unless nullable is true")];
  return validateValue(schema, schema.default, { path: `${path}.default` });
}

function ruleErrors(schema: JsonSchema, path: string): FieldError[] {
  return (schema["x-kubernetes-validations"] ?? []).flatMap(({ rule }, index) => (rule?.trim() ? [] : [field.required(`${path}.x-kubernetes-validations[${index}].rule`, "rule is not specified")]));
}

function patternErrors({ pattern }: JsonSchema, path: string): FieldError[] {
  if (pattern === undefined) return [];
  const problem = patternProblem(pattern);
  return problem === undefined ? [] : [field.invalid(`${path}.pattern`, pattern, `must be a valid regular expression, but isn't: ${problem}`)];
}
