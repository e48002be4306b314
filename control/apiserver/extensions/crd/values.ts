// Checks a custom resource against its schema, in upstream's words.
// Order and wording: k8s.io/kube-openapi/pkg/validation and apiextensions-apiserver/pkg/apiserver/validation.
import { field, type FieldError } from "../../../../api/errors.ts";
import { equalJson } from "../../json.ts";
import { goRegExp } from "../../../../lib/regexp.ts";
import { isFormat } from "./formats.ts";
import type { JsonSchema } from "./schema.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A value on its way through a schema. */
interface Place {
  readonly value: unknown;
  /** The same place before the update; undefined when there was none or it cannot be told which. */
  readonly old: unknown;
  readonly path: string;
}

/** Everything wrong with a value. What an update leaves as it was is not complained about. */
export function validateValue(schema: JsonSchema, value: unknown, options: { readonly path?: string; readonly old?: unknown } = {}): FieldError[] {
  const errors: FieldError[] = [];
  check(schema, { value, old: options.old, path: options.path ?? "" }, errors);
  return errors;
}

function check(schema: JsonSchema, place: Place, errors: FieldError[]): void {
  const { value, old } = place;
  if (old !== undefined && equalJson(value, old)) return;
  checkType(schema, place, errors);
  if (value === null || value === undefined) return checkEnum(schema, place, errors);
  checkCombinations(schema, place, errors);
  if (typeof value === "string") checkString(schema, value, { path: place.path, errors });
  if (typeof value === "number") checkNumber(schema, value, { path: place.path, errors });
  if (Array.isArray(value)) checkItems(schema, { ...place, value }, errors);
  checkEnum(schema, place, errors);
  if (isMap(value)) checkProperties(schema, { ...place, value }, errors);
}

function isMap(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `spec.replicas in body`, as upstream begins its sentences. */
const inBody = (path: string): string => `${path} in body`;

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function checkType(schema: JsonSchema, { value, path }: Place, errors: FieldError[]): void {
  const wanted = schema["x-kubernetes-int-or-string"] ? ["integer", "string"] : schema.type ? [schema.type] : [];
  if (wanted.length === 0) return;
  const found = typeOf(value);
  if (found === "null" && schema.nullable) return;
  if (wanted.includes(found) || (found === "integer" && wanted.includes("number"))) return;
  errors.push(field.typeInvalid(path || "<nil>", found, `${inBody(path)} must be of type ${wanted.join(",")}: ${JSON.stringify(found)}`));
}

function checkEnum({ enum: allowed, nullable }: JsonSchema, { value, path }: Place, errors: FieldError[]): void {
  if (!allowed || (value === null && nullable) || allowed.some((one) => equalJson(one, value))) return;
  errors.push(field.notSupported(path, value, allowed.map((one) => (typeof one === "string" ? one : JSON.stringify(one)))));
}

interface Found {
  readonly path: string;
  readonly errors: FieldError[];
}

function checkString(schema: JsonSchema, value: string, { path, errors }: Found): void {
  const length = [...value].length;
  if (schema.maxLength !== undefined && length > schema.maxLength) errors.push(field.tooLong(path, schema.maxLength));
  if (schema.minLength !== undefined && length < schema.minLength) errors.push(field.invalid(path, value, `${inBody(path)} should be at least ${schema.minLength} chars long`));
  if (schema.pattern !== undefined && !matches(schema.pattern, value)) errors.push(field.invalid(path, value, `${inBody(path)} should match '${schema.pattern}'`));
  if (schema.format && !isFormat(schema.format, value)) errors.push(field.typeInvalid(path, value, `${inBody(path)} must be of type ${schema.format}: ${JSON.stringify(value)}`));
}

/** Definitions from before patterns were checked may hold one that is none; nothing matches it. */
function matches(pattern: string, value: string): boolean {
  return patternProblem(pattern) === undefined && goRegExp(pattern).test(value);
}

/** Why a pattern is none. */
export function patternProblem(source: string): string | undefined {
  try {
    goRegExp(source);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function checkNumber(schema: JsonSchema, value: number, { path, errors }: Found): void {
  const { maximum, minimum, multipleOf } = schema;
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf)) errors.push(field.invalid(path, value, `${inBody(path)} should be a multiple of ${multipleOf}`));
  if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum)) errors.push(field.invalid(path, value, `${inBody(path)} should be less than ${schema.exclusiveMaximum ? "" : "or equal to "}${maximum}`));
  if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum)) errors.push(field.invalid(path, value, `${inBody(path)} should be greater than ${schema.exclusiveMinimum ? "" : "or equal to "}${minimum}`));
}

function checkItems(schema: JsonSchema, { value, old, path }: Place & { value: readonly unknown[] }, errors: FieldError[]): void {
  const { items } = schema;
  if (items) value.forEach((item, index) => check(items, { value: item, old: oldItem(schema, item, old), path: `${path}[${index}]` }, errors));
  if (schema.minItems !== undefined && value.length < schema.minItems) errors.push(field.invalid(path, value.length, `${inBody(path)} should have at least ${schema.minItems} items`));
  if (schema.maxItems !== undefined && value.length > schema.maxItems) errors.push(field.tooMany(path, value.length, schema.maxItems));
  if (schema.uniqueItems && new Set(value.map((item) => JSON.stringify(item))).size < value.length) errors.push(field.invalid(path, "", `${inBody(path)} shouldn't contain duplicates`));
}

/** The item with the same keys before the update; only keyed lists can tell. */
export function oldItem(schema: JsonSchema, item: unknown, old: unknown): unknown {
  if (schema["x-kubernetes-list-type"] !== "map" || !Array.isArray(old) || !isMap(item)) return undefined;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  return (old as unknown[]).find((candidate) => isMap(candidate) && keys.every((key) => equalJson(candidate[key], item[key])));
}

function checkProperties(schema: JsonSchema, { value, old, path }: Place & { value: Fields }, errors: FieldError[]): void {
  const under = (key: string): string => (path === "" ? key : `${path}.${key}`);
  const size = Object.keys(value).length;
  if (schema.minProperties !== undefined && size < schema.minProperties) errors.push(field.invalid(path, size, `${inBody(path)} should have at least ${schema.minProperties} properties`));
  if (schema.maxProperties !== undefined && size > schema.maxProperties) errors.push(field.tooMany(path, size, schema.maxProperties));
  for (const key of schema.required ?? []) if (value[key] === undefined) errors.push(field.required(under(key)));
  const { properties = {}, additionalProperties } = schema;
  for (const key of Object.keys(value).sort()) {
    const inner = properties[key] ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
    if (inner) check(inner, { value: value[key], old: isMap(old) ? old[key] : undefined, path: under(key) }, errors);
    else if (additionalProperties === false) errors.push(field.invalid(path, key, `${path}.${key} in body is a forbidden property`));
  }
}

function checkCombinations(schema: JsonSchema, place: Place, errors: FieldError[]): void {
  const { path, value } = place;
  const failuresOf = (option: JsonSchema): FieldError[] => validateValue(option, value, { path });
  const complain = (why: string): void => void errors.push({ field: "<nil>", reason: "FieldValueInvalid", message: `Invalid value: "": "${path}" ${why}` });
  if (schema.anyOf) {
    const failures = schema.anyOf.map(failuresOf);
    if (!failures.some((found) => found.length === 0)) {
      complain("must validate at least one schema (anyOf)");
      errors.push(...(failures.toSorted((a, b) => a.length - b.length)[0] ?? []));
    }
  }
  if (schema.oneOf) {
    const failures = schema.oneOf.map(failuresOf);
    const valid = failures.filter((found) => found.length === 0).length;
    if (valid !== 1) complain(`must validate one and only one schema (oneOf). ${valid === 0 ? "Found none valid" : `Found ${valid} valid alternatives`}`);
    if (valid === 0) errors.push(...(failures.toSorted((a, b) => a.length - b.length)[0] ?? []));
  }
  for (const option of schema.allOf ?? []) errors.push(...failuresOf(option));
  if (schema.not && failuresOf(schema.not).length === 0) complain("must not validate the schema (not)");
}

/** Keys that appear twice in lists that are sets or maps. */
export function validateListTypes(schema: JsonSchema, value: unknown, path = ""): FieldError[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    return [...duplicates(schema, value, path), ...(items ? value.flatMap((item, index) => validateListTypes(items, item, `${path}[${index}]`)) : [])];
  }
  if (!isMap(value)) return [];
  const { properties = {}, additionalProperties } = schema;
  return Object.entries(value).flatMap(([key, inner]) => {
    const found = properties[key] ?? (typeof additionalProperties === "object" ? additionalProperties : undefined);
    return found ? validateListTypes(found, inner, path === "" ? key : properties[key] ? `${path}.${key}` : `${path}[${key}]`) : [];
  });
}

function duplicates(schema: JsonSchema, value: readonly unknown[], path: string): FieldError[] {
  const type = schema["x-kubernetes-list-type"];
  if (type !== "set" && type !== "map") return [];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const seen = new Set<string>();
  return value.flatMap((item, index) => {
    const identity = type === "set" ? item : Object.fromEntries(keys.filter((key) => isMap(item) && item[key] !== undefined).map((key) => [key, (item as Fields)[key]]));
    const text = JSON.stringify(identity);
    const isFirst = !seen.has(text);
    seen.add(text);
    return isFirst ? [] : [field.duplicate(`${path}[${index}]`, identity)];
  });
}
