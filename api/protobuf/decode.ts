// Reads objects that clients send as protobuf, into the JSON form everything else works with.
// Types come from the schema, numbers from the tables beside this file; replies are never written in this form.
import { badRequest, unsupportedMediaType } from "../errors.ts";
import { parseApiVersion, type GroupVersionKind } from "../kinds.ts";
import type { FieldData } from "../schema/data.ts";
import { Definitions, definitionName } from "../schema/node.ts";
import { microTimestamp, timestamp } from "../../lib/clock.ts";
import { numbersOf, type NumberTable } from "./numbers.ts";
import { BYTES, ProtobufError, Reader, VARINT } from "./reader.ts";

type Plain = Record<string, unknown>;

const MAGIC = Buffer.from("k8s\0");
/** Kinds that every group has and that are defined with metadata. */
const META_KINDS = new Set(["DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions"]);

/** Decodes protobuf bodies of built-in kinds. */
export class ProtobufDecoder {
  readonly #fields = new Map<string, Readonly<Record<string, FieldData>>>();

  constructor(private readonly definitions: Definitions = new Definitions()) {}

  /** The object in JSON form, `kind` and `apiVersion` as sent (or as expected, when not sent); throws 400 for anything unreadable, 415 for kinds that have no such form. */
  decode(body: Buffer, expected: GroupVersionKind): Plain {
    if (!this.definitions.has(definitionName(expected))) throw unsupportedMediaType("the body of the request was in an unknown format - accepted media types include: application/json, application/yaml");
    if (!body.subarray(0, 4).equals(MAGIC)) throw badRequest("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    try {
      return this.#envelope(new Reader(body, 4), expected);
    } catch (error) {
      if (error instanceof ProtobufError) throw badRequest(`unable to decode the protobuf body: ${error.message}`);
      throw error;
    }
  }

  #envelope(reader: Reader, expected: GroupVersionKind): Plain {
    const sent = { apiVersion: "", kind: "", contentType: "", raw: Buffer.alloc(0) };
    while (!reader.isDone) {
      const { number, wire } = reader.tag();
      if (number === 1) readTypeMeta(reader.message(), sent);
      else if (number === 2) sent.raw = reader.bytes() as Buffer<ArrayBuffer>;
      else if (number === 4) sent.contentType = reader.string();
      else reader.skip(wire);
    }
    if (sent.contentType === "application/json") return JSON.parse(sent.raw.toString()) as Plain;
    const gvk = sent.kind === "" ? expected : { ...parseApiVersion(sent.apiVersion), kind: sent.kind };
    const type = META_KINDS.has(gvk.kind) ? definitionName({ group: "meta.k8s.io", version: "v1", kind: gvk.kind }) : definitionName(gvk);
    if (!this.definitions.has(type)) throw badRequest(`no kind ${JSON.stringify(gvk.kind)} is registered for version ${JSON.stringify(sent.apiVersion)} in protobuf form`);
    return { ...(sent.kind !== "" && { kind: sent.kind, apiVersion: sent.apiVersion }), ...this.#message(new Reader(sent.raw), type) };
  }

  #message(reader: Reader, type: string): Plain {
    const numbers = numbersOf(shortName(type));
    if (!numbers) throw new ProtobufError(`${type} has no protobuf form`);
    const object: Plain = {};
    this.#fill(object, reader, { numbers, fields: this.#fieldsOf(type) });
    return object;
  }

  #fieldsOf(type: string): Readonly<Record<string, FieldData>> {
    let fields = this.#fields.get(type);
    if (!fields) this.#fields.set(type, (fields = this.definitions.data(type).f));
    return fields;
  }

  #fill(object: Plain, reader: Reader, { numbers, fields }: { numbers: NumberTable; fields: Readonly<Record<string, FieldData>> }): void {
    while (!reader.isDone) {
      const { number, wire } = reader.tag();
      const found = numbers.get(number);
      if (found === undefined) reader.skip(wire);
      else if (typeof found !== "string") this.#fill(object, reader.message(), { numbers: found, fields });
      else this.#field(object, found, { reader, wire, data: fields[found] as FieldData });
    }
  }

  #field(object: Plain, name: string, { reader, wire, data }: { reader: Reader; wire: number; data: FieldData }): void {
    const { t: type } = data;
    if (type.startsWith("[]")) {
      const list = (object[name] ??= []) as unknown[];
      return this.#item(list, type.slice(2), { reader, wire });
    }
    if (type.startsWith("{}")) {
      const map = (object[name] ??= {}) as Plain;
      return this.#pair(map, type.slice(2), reader.message());
    }
    const value = this.#value(type, reader, wire);
    // Go's encoder writes zeros of plain fields, which JSON leaves out.
    if (value !== undefined && !(data.p === "value" && isZero(value))) object[name] = value;
  }

  #item(list: unknown[], type: string, { reader, wire }: { reader: Reader; wire: number }): void {
    const isPacked = wire === BYTES && (type === "i32" || type === "i64" || type === "b");
    if (!isPacked) return void list.push(this.#value(type, reader, wire));
    for (const packed = reader.message(); !packed.isDone; ) list.push(this.#value(type, packed, VARINT));
  }

  #pair(map: Plain, type: string, reader: Reader): void {
    let key = "";
    let value: unknown = type === "s" || type === "B" ? "" : {};
    while (!reader.isDone) {
      const { number, wire } = reader.tag();
      if (number === 1) key = reader.string();
      else if (number === 2) value = type === "[]s" ? strings(reader.message()) : this.#value(type, reader, wire);
      else reader.skip(wire);
    }
    map[key] = value;
  }

  #value(type: string, reader: Reader, wire: number): unknown {
    if (type === "s") return reader.string();
    if (type === "b") return reader.varint() !== 0;
    if (type === "i32" || type === "i64") return reader.varint();
    if (type === "f64") return wire === 5 ? reader.float() : reader.double();
    if (type === "B") return reader.bytes().toString("base64");
    if (type === "*") return this.#special("JSONSchemaPropsOrStringArray", reader.message());
    const definition = type.slice(1);
    const name = definition.slice(definition.lastIndexOf(".") + 1);
    return SPECIAL.has(name) ? this.#special(name, reader.message()) : this.#message(reader.message(), definition);
  }

  #special(name: string, reader: Reader): unknown {
    const parts = new Map<number, unknown>();
    const schemas: unknown[] = [];
    while (!reader.isDone) {
      const { number, wire } = reader.tag();
      if (name.startsWith("JSONSchemaPropsOr") && wire === BYTES && isSchema(name, number)) schemas.push(this.#message(reader.message(), SCHEMA_PROPS));
      else if (wire === BYTES) parts.set(number, name === "JSONSchemaPropsOrStringArray" ? [...((parts.get(number) as string[]) ?? []), reader.string()] : reader.bytes());
      else if (wire === VARINT) parts.set(number, reader.varint());
      else reader.skip(wire);
    }
    return specialValue(name, parts, schemas);
  }
}

const SCHEMA_PROPS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
const SPECIAL = new Set(["Quantity", "IntOrString", "Time", "MicroTime", "RawExtension", "FieldsV1", "JSON", "JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray", "CustomResourceSubresourceStatus"]);

function isSchema(name: string, number: number): boolean {
  return name === "JSONSchemaPropsOrArray" || number === (name === "JSONSchemaPropsOrBool" ? 2 : 1);
}

function specialValue(name: string, parts: ReadonlyMap<number, unknown>, schemas: readonly unknown[]): unknown {
  const text = (number: number): string => ((parts.get(number) as Buffer | undefined) ?? Buffer.alloc(0)).toString();
  switch (name) {
    case "Quantity": return text(1) === "" ? "0" : text(1);
    case "IntOrString": return parts.get(1) === 1 ? text(3) : ((parts.get(2) as number | undefined) ?? 0);
    case "Time":
    case "MicroTime": return timeOf(name, parts);
    case "CustomResourceSubresourceStatus": return {};
    case "JSONSchemaPropsOrBool": return schemas[0] ?? parts.get(1) === 1;
    case "JSONSchemaPropsOrArray": return schemas.length > 1 ? schemas : schemas[0];
    case "JSONSchemaPropsOrStringArray": return schemas[0] ?? parts.get(2) ?? [];
    default: return text(1) === "" ? undefined : (JSON.parse(text(1)) as unknown);
  }
}

/** The zero time is written as an empty message and means none. */
function timeOf(name: string, parts: ReadonlyMap<number, unknown>): string | undefined {
  const seconds = (parts.get(1) as number | undefined) ?? 0;
  const nanos = (parts.get(2) as number | undefined) ?? 0;
  if (seconds === 0 && nanos === 0) return undefined;
  if (name === "Time") return timestamp(seconds * 1000);
  return `${microTimestamp(seconds * 1000).slice(0, 20)}${String(Math.floor(nanos / 1000)).padStart(6, "0")}Z`;
}

function readTypeMeta(reader: Reader, sent: { apiVersion: string; kind: string }): void {
  while (!reader.isDone) {
    const { number, wire } = reader.tag();
    if (number === 1) sent.apiVersion = reader.string();
    else if (number === 2) sent.kind = reader.string();
    else reader.skip(wire);
  }
}

function strings(reader: Reader): string[] {
  const list: string[] = [];
  while (!reader.isDone) {
    const { number, wire } = reader.tag();
    if (number === 1) list.push(reader.string());
    else reader.skip(wire);
  }
  return list;
}

function isZero(value: unknown): boolean {
  return value === "" || value === 0 || value === false;
}

/** `core.v1.Pod` for `io.k8s.api.core.v1.Pod`. */
function shortName(definition: string): string {
  return definition.split(".").slice(-3).join(".");
}
