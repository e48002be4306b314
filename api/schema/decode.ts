// Turns parsed JSON into an object of a schema, the way Go's decoder and encoder together would: types checked, unknown
// fields reported and dropped, values normalised, absent values of plain Go fields filled in. Never touches its input.
import { badRequest } from "../errors.ts";
import { countKeys, countKeysInText, duplicatePaths } from "./duplicates.ts";
import type { SchemaNode } from "./node.ts";
import { ScalarError, fitsInteger, readBytes, readMicroTime, readQuantity, readTime } from "./scalars.ts";
import { isPlain, type Plain } from "./plain.ts";

/** What happens to fields that are unknown or spelled twice, as `?fieldValidation=` says. */
export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface DecodeOptions {
  readonly mode: FieldValidation;
  /** The text `raw` was parsed from, to find fields spelled twice. */
  readonly text?: string | undefined;
  /** `raw` is a value and not a text: wrong types are told as Go's converter tells them, not as its JSON decoder does. */
  readonly isConverted?: boolean;
}

/** A value of the wrong type; the message is Go's, without the sentence around it. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}

/** Upstream stops counting there. */
const MAX_STRICT_ERRORS = 100;

/** Decodes; throws DecodeError for a wrong type. `problems` are the strict errors, in upstream's words. */
export function decodeValue(node: SchemaNode, raw: unknown, options: DecodeOptions): { value: unknown; problems: string[] } {
  const decoder = new Decoder(options.mode !== "Ignore", options.isConverted ?? false);
  const value = decoder.value(node, raw) ?? (node.type === "object" ? decoder.object(node, {}) : undefined);
  if (decoder.error) throw decoder.error;
  const problems = decoder.problems;
  if (options.mode !== "Ignore" && options.text !== undefined && countKeysInText(options.text) !== countKeys(raw)) {
    for (const path of duplicatePaths(options.text)) if (isKnown(node, path)) problems.push(`duplicate field ${JSON.stringify(path)}`);
  }
  return { value, problems: problems.length === 0 ? problems : [...new Set(problems)].slice(0, MAX_STRICT_ERRORS) };
}

/** Decodes an object of a kind; throws the 400 upstream answers with, and returns what it would warn of. */
export function decodeObject(gvk: { readonly kind: string; readonly version: string }, node: SchemaNode, raw: { readonly value: unknown } & DecodeOptions): { object: Plain; warnings: string[] } {
  const sentence = `${gvk.kind} in version ${JSON.stringify(gvk.version)} cannot be handled as a ${gvk.kind}: `;
  try {
    const { value, problems } = decodeValue(node, raw.value, raw);
    if (raw.mode === "Strict" && problems.length > 0) throw new DecodeError(`strict decoding error: ${problems.join(", ")}`);
    return { object: value as Plain, warnings: problems };
  } catch (error) {
    if (error instanceof DecodeError) throw badRequest(`${sentence}${error.message}`);
    throw error;
  }
}

function conversionError({ type, goType }: SchemaNode, raw: unknown): string {
  const isList = Array.isArray(raw);
  const kind = isList ? "slice" : typeof raw === "object" ? "map" : typeof raw === "number" ? (Number.isInteger(raw) ? "int64" : "float64") : typeof raw === "boolean" ? "bool" : "string";
  if (type === "map") return `cannot restore map from ${kind}`;
  if (type === "list") return `cannot restore slice from ${kind}`;
  if (type === "object") return `cannot restore struct from: ${kind}`;
  return `cannot convert ${isList ? "[]interface {}" : kind === "map" ? "map[string]interface {}" : kind} to ${goType}`;
}

class Decoder {
  readonly problems: string[] = [];
  /** The first value of a wrong type, as Go reports only that. */
  error: DecodeError | undefined;
  /** Keys and indexes from the root, the Go struct they stand in last. */
  readonly #path: (string | number)[] = [];
  /** The struct fields among them, which is all that Go names in type errors. */
  readonly #names: string[] = [];
  #struct: SchemaNode | undefined;

  constructor(private readonly reportsUnknown: boolean, private readonly isConverted: boolean) {}

  /** The decoded value, or undefined for null and for what could not be read. */
  value(node: SchemaNode, raw: unknown): unknown {
    if (raw === null || raw === undefined) return node.isNullable && raw === null ? null : undefined;
    switch (node.type) {
      case "object":
        return isPlain(raw) ? this.object(node, raw) : this.#mismatch(node, raw);
      case "map":
        return isPlain(raw) ? this.#map(node, raw) : this.#mismatch(node, raw);
      case "list":
        return Array.isArray(raw) ? this.#list(node, raw) : this.#mismatch(node, raw);
      case "string":
        return typeof raw === "string" ? raw : this.#mismatch(node, raw);
      case "boolean":
        return typeof raw === "boolean" ? raw : this.#mismatch(node, raw);
      case "integer":
        return typeof raw === "number" && fitsInteger(raw, node.bits) ? raw : this.#mismatch(node, raw);
      case "number":
        return typeof raw === "number" ? raw : this.#mismatch(node, raw);
      default:
        return this.#special(node, raw);
    }
  }

  object(node: SchemaNode, raw: Plain): Plain {
    const outer = this.#struct;
    this.#struct = node;
    const result: Plain = {};
    const fields = node.fields;
    for (const key of Object.keys(raw)) {
      const field = fields.get(key);
      if (!field) {
        if (node.preservesUnknown) put(result, key, raw[key]);
        else if (this.reportsUnknown) this.problems.push(`unknown field ${JSON.stringify(this.#pathTo(key))}`);
        continue;
      }
      this.#path.push(key);
      this.#names.push(key);
      const value = this.value(field, raw[key]);
      this.#path.pop();
      this.#names.pop();
      if (value !== undefined && !(field.presence === "value" && isZero(value))) put(result, key, value);
    }
    for (const [key, field] of node.alwaysFields) if (!(key in result)) this.#fill(result, key, field);
    this.#struct = outer;
    return result;
  }

  /** Plain Go fields are written even when nothing was given for them; nulls are the same as absence to every client. */
  #fill(result: Plain, key: string, field: SchemaNode): void {
    if (field.presence === "null") return;
    const zero = field.type === "object" ? this.object(field, {}) : zeroOf(field);
    if (zero !== undefined) result[key] = zero;
  }

  #map(node: SchemaNode, raw: Plain): Plain {
    const items = node.items as SchemaNode;
    const result: Plain = {};
    for (const key of Object.keys(raw)) {
      this.#path.push(key);
      const value = this.value(items, raw[key]);
      this.#path.pop();
      put(result, key, value ?? this.#zeroItem(items));
    }
    return result;
  }

  #list(node: SchemaNode, raw: readonly unknown[]): unknown[] {
    const items = node.items as SchemaNode;
    return raw.map((item, index) => {
      this.#path.push(index);
      const value = this.value(items, item);
      this.#path.pop();
      return value ?? this.#zeroItem(items);
    });
  }

  #zeroItem(items: SchemaNode): unknown {
    return items.type === "object" ? this.object(items, {}) : (zeroOf(items) ?? null);
  }

  #special(node: SchemaNode, raw: unknown): unknown {
    try {
      switch (node.type) {
        case "quantity":
          return typeof raw === "string" || typeof raw === "number" ? readQuantity(raw) : readQuantity(JSON.stringify(raw));
        case "intOrString":
          if (typeof raw === "string" || (typeof raw === "number" && fitsInteger(raw, 32))) return raw;
          throw new ScalarError(`json: cannot unmarshal ${nameOf(raw, true)} into Go value of type int32`);
        case "time":
        case "microTime":
          if (typeof raw !== "string") throw new ScalarError(`json: cannot unmarshal ${nameOf(raw, false)} into Go value of type string`);
          return raw === "" ? undefined : node.type === "time" ? readTime(raw) : readMicroTime(raw);
        case "bytes":
          return typeof raw === "string" ? readBytes(raw) : this.#mismatch(node, raw);
        default:
          return raw;
      }
    } catch (error) {
      if (!(error instanceof ScalarError)) throw error;
      this.error ??= new DecodeError(error.message, { cause: error });
      return undefined;
    }
  }

  #mismatch(node: SchemaNode, raw: unknown): unknown {
    if (node.isLenient) return raw;
    if (this.isConverted) this.error ??= new DecodeError(conversionError(node, raw));
    const what = nameOf(raw, node.type === "integer");
    const struct = this.#struct?.goType.split(".").at(-1);
    const into = struct === undefined ? `Go value of type ${node.goType}` : `Go struct field ${struct}.${this.#names.join(".")} of type ${node.goType}`;
    this.error ??= new DecodeError(`json: cannot unmarshal ${what} into ${into}`);
    return undefined;
  }

  #pathTo(key: string): string {
    let path = "";
    for (const step of this.#path) path += typeof step === "number" ? `[${step}]` : path === "" ? step : `.${step}`;
    return path === "" ? key : `${path}.${key}`;
  }
}

/** Assigns without ever reaching the prototype. */
function put(target: Plain, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

/** Go's zero where it is written as something other than null. */
export function zeroOf(node: SchemaNode): unknown {
  switch (node.type) {
    case "string":
    case "bytes":
      return "";
    case "integer":
    case "number":
    case "intOrString":
      return 0;
    case "boolean":
      return false;
    case "quantity":
      return "0";
    default:
      return undefined;
  }
}

/** Whether Go's `omitempty` leaves a plain value out. */
export function isZero(value: unknown): boolean {
  if (value === "" || value === 0 || value === false) return true;
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.length === 0;
  for (const key in value) if (Object.hasOwn(value, key)) return false;
  return true;
}

function nameOf(raw: unknown, isIntegerWanted: boolean): string {
  if (Array.isArray(raw)) return "array";
  if (typeof raw === "number") return isIntegerWanted ? `number ${raw}` : "number";
  return typeof raw === "boolean" ? "bool" : typeof raw;
}

/** Whether a path leads through fields the schema knows; what is unknown is reported as that. */
function isKnown(root: SchemaNode, path: string): boolean {
  let node: SchemaNode | undefined = root;
  for (const step of path.match(/[^.[\]]+/g) ?? []) {
    if (!node) return false;
    if (node.type === "map") return true;
    node = node.type === "list" ? node.items : node.fields.get(step);
  }
  return node !== undefined;
}
