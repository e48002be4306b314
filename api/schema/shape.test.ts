import { expect, test } from "bun:test";
import { builtinKind } from "../registry.ts";
import type { AnyObject } from "../types.ts";
import { compareObjects } from "./compare.ts";
import { SchemaEngine } from "./engine.ts";
import type { SchemaNode } from "./node.ts";
import { shapeOf } from "./shape.ts";

const engine = new SchemaEngine();
const pods = builtinKind("", "v1", "Pod");
const configMaps = builtinKind("", "v1", "ConfigMap");
const now = "2026-01-01T00:00:00Z";

/** Every combination of one value for each field. */
function* combined(fields: Readonly<Record<string, readonly unknown[]>>): Generator<Record<string, unknown>> {
  const [first, ...rest] = Object.entries(fields);
  if (!first) return yield {};
  for (const value of first[1]) for (const others of combined(Object.fromEntries(rest))) yield value === undefined ? others : { [first[0]]: value, ...others };
}

const somePods = (): AnyObject[] => [...combined({
  labels: [undefined, null, {}, { a: "" }, { a: "1" }, { b: "1" }], finalizers: [undefined, [], ["f"], ["g"], ["f", "f"]],
  containers: [undefined, [], [{ name: "a" }], [{ name: "a", image: "x" }], [{ name: "b", image: "x" }], [{ name: "a", image: "" }, { name: "a" }], [{ image: "x" }]],
  args: [undefined, [], ["x"]], hostNetwork: [undefined, false, true], nodeSelector: [undefined, {}, { a: "1" }],
})].map(({ labels, finalizers, containers, ...spec }) => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "p", labels, finalizers }, spec: { containers, ...spec } }) as unknown as AnyObject);

test("objects of one shape are owned alike, whatever they say", () => {
  const node = engine.schemaFor(pods) as SchemaNode;
  const known = new Map<string, string>();
  const all = somePods();
  for (const pod of all) {
    const shape = shapeOf(node, pod);
    const owned = JSON.stringify(compareObjects(node, {}, pod));
    expect([shape, known.get(shape) ?? owned]).toEqual([shape, owned]);
    known.set(shape, owned);
  }
  expect(known.size).toBeLessThan(all.length);
});

test("a name that looks like other fields is no other shape's", () => {
  const node = engine.schemaFor(configMaps) as SchemaNode;
  const shapes = [{ a: "1", b: "2" }, { "as1:b": "2" }, { "a}": "1" }, { a: "" }].map((data) => shapeOf(node, { metadata: {}, data }));
  expect(new Set(shapes).size).toBe(4);
});

test("a creator owns the fields of its own object, also when others of the same kind were created before", () => {
  const track = (data: Record<string, string>): unknown => engine.trackUpdate({ kind: configMaps, live: undefined, updated: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data } as AnyObject, manager: "m", subresource: "", now });
  const owned = (...keys: string[]): unknown => [{ manager: "m", operation: "Update", apiVersion: "v1", time: now, fieldsType: "FieldsV1", fieldsV1: { "f:data": { ".": {}, ...Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) } } }];
  expect(track({ a: "1" })).toEqual(owned("a"));
  expect(track({ a: "2" })).toEqual(owned("a"));
  expect(track({ b: "1", a: "1" })).toEqual(owned("a", "b"));
});
