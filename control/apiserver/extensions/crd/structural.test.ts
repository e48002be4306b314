import { expect, test } from "bun:test";
import { findAll, parseJsonPath, type Step } from "./jsonpath.ts";
import { compareVersions, type JsonSchema } from "./schema.ts";
import { structuralErrors } from "./structural.ts";
import { validateListTypes, validateValue } from "./values.ts";

const said = (schema: JsonSchema): string[] => structuralErrors(schema, "schema").map(({ field, message }) => `${field}: ${message}`);
const found = (schema: JsonSchema, value: unknown, old?: unknown): string[] => validateValue(schema, value, { path: "spec", old }).map(({ field, message }) => `${field}: ${message}`);

test("a structural schema says of every field what it is", () => {
  expect(said({ type: "object", properties: { a: { type: "string" }, b: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] }, c: { "x-kubernetes-preserve-unknown-fields": true } } })).toEqual([]);
  expect(said({ type: "object", properties: { a: { type: "array" } } })).toEqual(["schema.properties[a].items: Required value: must be specified"]);
  expect(said({ type: "string" })).toEqual(['schema.type: Invalid value: "string": must be object at the root']);
  expect(said({ type: "object", properties: { a: { type: "string", anyOf: [{ type: "string" }] } } })).toEqual(["schema.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"]);
  expect(said({ type: "object", properties: { metadata: { type: "object", properties: { labels: { type: "object" } } } } })[0]).toContain("must not specify anything other than name and generateName");
});

test("keyed lists have keys that every item has", () => {
  const list = (items: JsonSchema): string[] => said({ type: "object", properties: { l: { type: "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], items } } });
  expect(list({ type: "object", required: ["name"], properties: { name: { type: "string" } } })).toEqual([]);
  expect(list({ type: "object", properties: { name: { type: "string" } } })[0]).toContain("must have a default or be a required property");
  expect(list({ type: "object", required: ["name"] })[0]).toContain("entries must all be names of item properties");
});

test("defaults must be valid themselves", () => {
  expect(said({ type: "object", properties: { a: { type: "integer", default: "x" } } })[0]).toContain("must be of type integer");
});

test("values are checked in upstream's words", () => {
  expect(found({ type: "string", maxLength: 2 }, "abc")).toEqual(["spec: Too long: may not be more than 2 bytes"]);
  expect(found({ type: "string", enum: ["a", "b"] }, "c")).toEqual(['spec: Unsupported value: "c": supported values: "a", "b"']);
  expect(found({ type: "integer", minimum: 3 }, 2)).toEqual(["spec: Invalid value: 2: spec in body should be greater than or equal to 3"]);
  expect(found({ type: "object", required: ["a"] }, {})).toEqual(["spec.a: Required value"]);
  expect(found({ type: "array", maxItems: 1, items: { type: "integer" } }, [1, 2])).toEqual(["spec: Too many: 2: must have at most 1 items"]);
  expect(found({ type: "string" }, null)).toEqual(['spec: Invalid value: "null": spec in body must be of type string: "null"']);
  expect(found({ type: "string", nullable: true }, null)).toEqual([]);
  expect(found({ type: "object", properties: { a: { type: "string" } }, oneOf: [{ required: ["a"] }, { required: ["b"] }] }, {})[0]).toContain("must validate one and only one schema (oneOf)");
});

test("patterns are read as Go reads them", () => {
  expect(said({ type: "object", properties: { a: { type: "string", pattern: "^(?i)(abort|warn)?$" } } })).toEqual([]);
  expect(said({ type: "object", properties: { a: { type: "string", pattern: "(?=a)" } } })).toEqual(['schema.properties[a].pattern: Invalid value: "(?=a)": must be a valid regular expression, but isn\'t: error parsing regexp: invalid or unsupported Perl syntax: `(?=`']);
  expect(found({ type: "string", pattern: "^(?i)warn$" }, "Warn")).toEqual([]);
  expect(found({ type: "string", pattern: "^(?i)warn$" }, "abort")).toEqual(['spec: Invalid value: "abort": spec in body should match \'^(?i)warn$\'']);
});

test("what an update leaves as it was is not complained about", () => {
  const schema: JsonSchema = { type: "object", properties: { a: { type: "integer", minimum: 3 }, b: { type: "integer", minimum: 3 } } };
  expect(found(schema, { a: 1, b: 2 }, { a: 1, b: 5 })).toEqual(["spec.b: Invalid value: 2: spec.b in body should be greater than or equal to 3"]);
});

test("sets and maps hold nothing twice", () => {
  expect(validateListTypes({ type: "array", "x-kubernetes-list-type": "set" }, ["a", "b", "a"], "spec").map(({ field, message }) => [field, message])).toEqual([["spec[2]", 'Duplicate value: "a"']]);
  expect(validateListTypes({ type: "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"], items: { type: "object" } }, [{ n: 1 }, { n: 1, x: 2 }], "spec")).toHaveLength(1);
});

test("paths find fields, items, and items by what is in them", () => {
  const object = { status: { conditions: [{ type: "Ready", status: "True" }, { type: "Other", status: "False" }] }, "a.b": { c: 1 } };
  const read = (path: string): unknown[] => findAll(object, parseJsonPath(path) as readonly Step[]);
  expect(read('.status.conditions[?(@.type=="Ready")].status')).toEqual(["True"]);
  expect(read(".status.conditions[*].type")).toEqual(["Ready", "Other"]);
  expect(read(".status.conditions[-1].type")).toEqual(["Other"]);
  expect(read(".a\\.b.c")).toEqual([1]);
  expect(read(".nothing.here")).toEqual([]);
  expect(parseJsonPath("..[")).toBeUndefined();
});

test("versions are offered the most stable and newest first", () => {
  expect(["v1beta1", "v10", "foo1", "v2", "v3alpha1", "v11beta2", "v1"].toSorted(compareVersions)).toEqual(["v10", "v2", "v1", "v11beta2", "v1beta1", "v3alpha1", "foo1"]);
});
