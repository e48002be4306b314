import { expect, test } from "bun:test";
import { row } from "../kinds.ts";
import { customNode } from "./custom.ts";
import { SchemaEngine } from "./engine.ts";

const widgets = row("example.com", "v1", "widgets", "Widget", true, { subresources: { status: {} } });
const engine = new SchemaEngine();
engine.add(widgets, customNode({
  type: "object",
  properties: {
    spec: {
      type: "object",
      properties: {
        size: { type: "integer", default: 3 }, note: { type: "string", nullable: true }, port: { "x-kubernetes-int-or-string": true },
        parts: { type: "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], items: { type: "object", properties: { name: { type: "string" }, weight: { type: "integer", default: 1 } } } },
        free: { type: "object", "x-kubernetes-preserve-unknown-fields": true }, tags: { type: "object", additionalProperties: { type: "string" } },
      },
    },
    status: { type: "object", properties: { ready: { type: "boolean" } } },
  },
}, engine.definitions));

const aWidget = (spec: Record<string, unknown>): any => ({ apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "w", namespace: "n", nonsense: 1 }, spec });

test("a custom resource is pruned by its schema, and keeps what that says to keep", () => {
  const { object, warnings } = engine.decode(widgets, aWidget({ size: 0, bogus: true, note: null, port: "http", free: { any: [1] }, tags: { a: "b" }, parts: [{ name: "x", other: 1 }] }));
  expect(object.spec).toEqual({ size: 0, note: null, port: "http", free: { any: [1] }, tags: { a: "b" }, parts: [{ name: "x" }] });
  expect(object.metadata).toEqual({ name: "w", namespace: "n" });
  expect(warnings).toEqual(['unknown field "metadata.nonsense"', 'unknown field "spec.bogus"', 'unknown field "spec.parts[0].other"']);
});

test("values of a wrong type are left to validation", () => {
  expect(engine.decode(widgets, aWidget({ size: "big" })).object.spec).toEqual({ size: "big" });
});

test("its defaults are set where something is missing, and a null that is allowed stays", () => {
  const { object } = engine.decode(widgets, aWidget({ note: null, parts: [{ name: "x" }] }));
  engine.applyDefaults(widgets, object);
  expect(object.spec).toEqual({ note: null, size: 3, parts: [{ name: "x", weight: 1 }] });
});

test("its keyed lists merge when applied", () => {
  const request = { kind: widgets, subresource: "", now: "2026-01-01T00:00:00Z", force: false };
  const live = engine.apply({ ...request, manager: "one", live: undefined, applied: { ...aWidget({ parts: [{ name: "x", weight: 1 }] }), metadata: { name: "w" } } });
  const both = engine.apply({ ...request, manager: "two", live, applied: { ...aWidget({ parts: [{ name: "y" }] }), metadata: { name: "w" } } });
  expect((both["spec"].parts as { name: string }[]).map(({ name }) => name).sort()).toEqual(["x", "y"]);
});

test("without a schema everything is kept", () => {
  const anything = row("example.com", "v1", "things", "Thing", true);
  engine.add(anything, customNode(undefined, engine.definitions));
  expect(engine.decode(anything, { metadata: { name: "t" }, deep: { er: [1, { x: null }] } }).object).toEqual({ metadata: { name: "t" }, deep: { er: [1, { x: null }] } } as any);
});

test("a kind that is removed has no schema any more", () => {
  const gone = row("example.com", "v1", "gones", "Gone", true);
  engine.add(gone, customNode({ type: "object" }, engine.definitions));
  engine.remove(gone);
  expect(engine.schemaFor(gone)).toBeUndefined();
});
