// Encodes an OpenAPI 2 document as the protobuf message that older clients ask for: gnostic's openapi.v2.Document.
// Fields of schemas, parameters and responses are known whole, because documents of other API servers come through here;
// what no message has a place for is left out, as it is of no use to who reads them.
import { Writer } from "./protowriter.ts";
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

const FIXED_64 = 1;
const LENGTH_DELIMITED = 2;

const string = (number: number): Field => ({ number, encode: (out, value) => writeString(out, number, value as string) });
const strings = (number: number): Field => ({ number, encode: (out, value) => (value as string[]).forEach((item) => writeString(out, number, item)) });
const boolean = (number: number): Field => ({ number, encode: (out, value) => value === true && (out.varint(number << 3), out.varint(1)) });
const one = (number: number, encode: () => Encode): Field => ({ number, encode: (out, value) => writeMessage(out, number, () => encode()(out, value)) });
const many = (number: number, encode: () => Encode): Field => ({ number, encode: (out, value) => (value as unknown[]).forEach((item) => writeMessage(out, number, () => encode()(out, item))) });
const integer = (number: number): Field => ({ number, encode: (out, value) => (out.varint(number << 3), out.varint(value as number)) });
const double = (number: number): Field => ({ number, encode: (out, value) => (out.varint((number << 3) | FIXED_64), out.double(value as number)) });
const any = (number: number): Field => one(number, () => writeYaml);
const anys = (number: number): Field => many(number, () => writeYaml);
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
      const field = item === undefined ? undefined : fields[key];
      if (field) field.encode(out, item);
      else if (extensions !== undefined && key.startsWith("x-")) writeExtension(out, extensions, key, item);
    }
  };
}

// The four are one entry: where, under which number, name and value.
// oxlint-disable-next-line max-params
function writeExtension(out: Writer, number: number, name: string, value: unknown): void {
  writeMessage(out, number, () => {
    writeString(out, 1, name);
    writeMessage(out, 2, () => writeYaml(out, value));
  });
}

/** `Any` carries YAML, of which JSON is a part. */
function writeYaml(out: Writer, value: unknown): void {
  writeString(out, 2, `${JSON.stringify(value)}\n`);
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
const typeItem: Encode = (out, value) => [value].flat().forEach((type) => writeString(out, 1, type as string));
const schemaItem: Encode = (out, value) => writeMessage(out, 1, () => schema(out, value));
const itemsItem: Encode = (out, value) => [value].flat().forEach((item) => schemaItem(out, item));
const additional: Encode = (out, value) => (typeof value === "boolean" ? value && (out.varint(2 << 3), out.varint(1)) : schemaItem(out, value));
const stringArray: Encode = (out, value) => (value as string[]).forEach((item) => writeString(out, 1, item));
const DOCS: Readonly<Record<string, Field>> = { description: string(1), url: string(2) };
const docs = (number: number): Field => one(number, () => message(DOCS, 3));

const SCHEMA: Readonly<Record<string, Field>> = {
  $ref: string(1), format: string(2), title: string(3), description: string(4), default: any(5), multipleOf: double(6), maximum: double(7), exclusiveMaximum: boolean(8), minimum: double(9), exclusiveMinimum: boolean(10),
  maxLength: integer(11), minLength: integer(12), pattern: string(13), maxItems: integer(14), minItems: integer(15), uniqueItems: boolean(16), maxProperties: integer(17), minProperties: integer(18),
  required: strings(19), enum: anys(20), additionalProperties: one(21, () => additional), type: one(22, () => typeItem), items: one(23, () => itemsItem), allOf: many(24, () => schema), properties: named(25, () => schema),
  discriminator: string(26), readOnly: boolean(27), externalDocs: docs(29), example: any(30),
};

/** What all values beside schemas may say of themselves, numbered one after the other. */
function primitive(first: number): Readonly<Record<string, Field>> {
  const at = (offset: number): number => first + offset;
  return {
    type: string(at(0)), format: string(at(1)), items: one(at(2), () => message(primitive(1), 18)), collectionFormat: string(at(3)), default: any(at(4)), maximum: double(at(5)), exclusiveMaximum: boolean(at(6)), minimum: double(at(7)),
    exclusiveMinimum: boolean(at(8)), maxLength: integer(at(9)), minLength: integer(at(10)), pattern: string(at(11)), maxItems: integer(at(12)), minItems: integer(at(13)), uniqueItems: boolean(at(14)), enum: anys(at(15)), multipleOf: double(at(16)),
  };
}

const NAMED: Readonly<Record<string, Field>> = { required: boolean(1), in: string(2), description: string(3), name: string(4) };
/** Where a parameter may be beside the body: its message's number, and its fields. */
const PLACES: Readonly<Record<string, { number: number; encode: Encode }>> = {
  header: { number: 1, encode: message({ ...NAMED, ...primitive(5) }, 22) },
  formData: { number: 2, encode: message({ ...NAMED, allowEmptyValue: boolean(5), ...primitive(6) }, 23) },
  query: { number: 3, encode: message({ ...NAMED, allowEmptyValue: boolean(5), ...primitive(6) }, 23) },
  path: { number: 4, encode: message({ ...NAMED, ...primitive(5) }, 22) },
};
const BODY: Readonly<Record<string, Field>> = { description: string(1), name: string(2), in: string(3), required: boolean(4), schema: one(5, () => schema) };

const parameter: Encode = (out, value) => {
  const place = (value as Json)["in"] as string;
  if (place === "body") return writeMessage(out, 1, () => message(BODY, 6)(out, value));
  const found = PLACES[place];
  if (found) writeMessage(out, 2, () => writeMessage(out, found.number, () => found.encode(out, value)));
};
const parametersItem: Encode = (out, value) => {
  if ("$ref" in (value as Json)) writeMessage(out, 2, () => writeString(out, 1, (value as Json)["$ref"] as string));
  else writeMessage(out, 1, () => parameter(out, value));
};
const RESPONSE: Readonly<Record<string, Field>> = { description: string(1), schema: one(2, () => schemaItem), headers: named(3, () => message({ ...primitive(1), description: string(18) }, 19)) };
const responseValue: Encode = (out, value) => {
  if ("$ref" in (value as Json)) writeMessage(out, 2, () => writeString(out, 1, (value as Json)["$ref"] as string));
  else writeMessage(out, 1, () => message(RESPONSE, 5)(out, value));
};
const OPERATION: Readonly<Record<string, Field>> = {
  tags: strings(1), summary: string(2), description: string(3), externalDocs: docs(4), operationId: string(5), produces: strings(6), consumes: strings(7), parameters: many(8, () => parametersItem), responses: named(9, () => responseValue), schemes: strings(10), deprecated: boolean(11),
};
const operation = (number: number): Field => one(number, () => message(OPERATION, 13));
const PATH_ITEM: Readonly<Record<string, Field>> = {
  get: operation(2), put: operation(3), post: operation(4), delete: operation(5), options: operation(6), head: operation(7), patch: operation(8), parameters: many(9, () => parametersItem),
};
const API_KEY: Readonly<Record<string, Field>> = { type: string(1), name: string(2), in: string(3), description: string(4) };
const DOCUMENT: Readonly<Record<string, Field>> = {
  swagger: string(1), info: one(2, () => message({ title: string(1), version: string(2) })),
  paths: one(8, () => entries(2, () => message(PATH_ITEM, 10))), definitions: named(9, () => schema), parameters: named(10, () => parameter),
  security: many(12, () => entries(1, () => stringArray)), securityDefinitions: named(13, () => (out, value) => writeMessage(out, 2, () => message(API_KEY)(out, value))),
};
