// Encodes an OpenAPI 2 document as the protobuf message that older clients ask for: gnostic's openapi.v2.Document.
// Only the messages and fields that occur in our documents are known; anything else is a programming error.
import type { Json } from "./schemas.ts";

type Encode = (out: Writer, value: unknown) => void;
interface Field {
  readonly number: number;
  readonly encode: Encode;
}

/** The bytes of `openapi.v2.Document`. */
export function encodeDocument(document: Json): Uint8Array {
  const out = new Writer();
  message(DOCUMENT)(out, document);
  return out.bytes();
}

/** A growing buffer that writes lengths after the fact. */
class Writer {
  #buffer = new Uint8Array(1 << 16);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  varint(value: number): void {
    this.#reserve(5);
    while (value > 127) {
      this.#buffer[this.#length++] = (value & 127) | 128;
      value >>>= 7;
    }
    this.#buffer[this.#length++] = value;
  }

  text(text: string): void {
    const bytes = UTF8.encode(text);
    this.varint(bytes.length);
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Writes what `body` writes, with its length before it. */
  nested(body: () => void): void {
    const start = this.#length;
    body();
    const length = this.#length - start;
    const size = length < 1 << 7 ? 1 : length < 1 << 14 ? 2 : length < 1 << 21 ? 3 : 4;
    this.#reserve(size);
    this.#buffer.copyWithin(start + size, start, start + length);
    this.#length = start;
    this.varint(length);
    this.#length = start + size + length;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + count));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

const UTF8 = new TextEncoder();
const LENGTH_DELIMITED = 2;

const string = (number: number): Field => ({ number, encode: (out, value) => writeString(out, number, value as string) });
const strings = (number: number): Field => ({ number, encode: (out, value) => (value as string[]).forEach((item) => writeString(out, number, item)) });
const boolean = (number: number): Field => ({ number, encode: (out, value) => value === true && (out.varint(number << 3), out.varint(1)) });
const one = (number: number, encode: () => Encode): Field => ({ number, encode: (out, value) => writeMessage(out, number, () => encode()(out, value)) });
const many = (number: number, encode: () => Encode): Field => ({ number, encode: (out, value) => (value as unknown[]).forEach((item) => writeMessage(out, number, () => encode()(out, item))) });
/** A map, as gnostic writes them: a message of named entries. */
const named = (number: number, encode: () => Encode): Field => one(number, () => entries(1, encode));

function entries(number: number, encode: () => Encode): Encode {
  return (out, value) => {
    for (const [name, item] of Object.entries(value as Json)) {
      writeMessage(out, number, () => {
        writeString(out, 1, name);
        writeMessage(out, 2, () => encode()(out, item));
      });
    }
  };
}

function message(fields: Readonly<Record<string, Field>>, extensions?: number): Encode {
  return (out, value) => {
    for (const [key, item] of Object.entries(value as Json)) {
      const field = fields[key];
      if (field) field.encode(out, item);
      else if (extensions !== undefined && key.startsWith("x-")) writeExtension(out, extensions, key, item);
      else throw new Error(`OpenAPI in protobuf has no place for ${key}`);
    }
  };
}

/** `Any` carries YAML, of which JSON is a part. */
// The four are one entry: where, under which number, name and value.
// oxlint-disable-next-line max-params
function writeExtension(out: Writer, number: number, name: string, value: unknown): void {
  writeMessage(out, number, () => {
    writeString(out, 1, name);
    writeMessage(out, 2, () => writeString(out, 2, `${JSON.stringify(value)}\n`));
  });
}

function writeString(out: Writer, number: number, text: string): void {
  out.varint((number << 3) | LENGTH_DELIMITED);
  out.text(text);
}

function writeMessage(out: Writer, number: number, body: () => void): void {
  out.varint((number << 3) | LENGTH_DELIMITED);
  out.nested(body);
}

const schema: Encode = (out, value) => message(SCHEMA, 31)(out, value);
const typeItem: Encode = (out, value) => writeString(out, 1, value as string);
const schemaItem: Encode = (out, value) => writeMessage(out, 1, () => schema(out, value));
const stringArray: Encode = (out, value) => (value as string[]).forEach((item) => writeString(out, 1, item));

const SCHEMA: Readonly<Record<string, Field>> = {
  $ref: string(1), format: string(2), description: string(4), default: { number: 5, encode: (out, value) => writeMessage(out, 5, () => writeString(out, 2, `${JSON.stringify(value)}\n`)) },
  required: strings(19), additionalProperties: one(21, () => schemaItem), type: one(22, () => typeItem), items: one(23, () => schemaItem), properties: named(25, () => schema),
};
const QUERY: Readonly<Record<string, Field>> = { required: boolean(1), in: string(2), description: string(3), name: string(4), type: string(6), format: string(7), uniqueItems: boolean(20) };
const PATH: Readonly<Record<string, Field>> = { required: boolean(1), in: string(2), description: string(3), name: string(4), type: string(5), format: string(6), uniqueItems: boolean(19) };
const BODY: Readonly<Record<string, Field>> = { description: string(1), name: string(2), in: string(3), required: boolean(4), schema: one(5, () => schema) };

const parameter: Encode = (out, value) => {
  const place = (value as Json)["in"];
  if (place === "body") return writeMessage(out, 1, () => message(BODY)(out, value));
  writeMessage(out, 2, () => writeMessage(out, place === "query" ? 3 : 4, () => message(place === "query" ? QUERY : PATH)(out, value)));
};
const parametersItem: Encode = (out, value) => {
  if ("$ref" in (value as Json)) writeMessage(out, 2, () => writeString(out, 1, (value as Json)["$ref"] as string));
  else writeMessage(out, 1, () => parameter(out, value));
};
const RESPONSE: Readonly<Record<string, Field>> = { description: string(1), schema: one(2, () => schemaItem) };
const responseValue: Encode = (out, value) => writeMessage(out, 1, () => message(RESPONSE)(out, value));
const OPERATION: Readonly<Record<string, Field>> = {
  tags: strings(1), description: string(3), operationId: string(5), produces: strings(6), consumes: strings(7), parameters: many(8, () => parametersItem), responses: named(9, () => responseValue), schemes: strings(10),
};
const operation = (number: number): Field => one(number, () => message(OPERATION, 13));
const PATH_ITEM: Readonly<Record<string, Field>> = {
  get: operation(2), put: operation(3), post: operation(4), delete: operation(5), options: operation(6), head: operation(7), patch: operation(8), parameters: many(9, () => parametersItem),
};
const API_KEY: Readonly<Record<string, Field>> = { type: string(1), name: string(2), in: string(3), description: string(4) };
const DOCUMENT: Readonly<Record<string, Field>> = {
  swagger: string(1), info: one(2, () => message({ title: string(1), version: string(2) })),
  paths: one(8, () => entries(2, () => message(PATH_ITEM))), definitions: named(9, () => schema), parameters: named(10, () => parameter),
  security: many(12, () => entries(1, () => stringArray)), securityDefinitions: named(13, () => (out, value) => writeMessage(out, 2, () => message(API_KEY)(out, value))),
};
