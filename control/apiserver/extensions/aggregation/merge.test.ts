import { expect, test } from "bun:test";
import { filtered, merged } from "./merge.ts";

const ref = (name: string, place = "definitions"): Record<string, unknown> => ({ $ref: `#/${place}/${name}` });
const gvk = (version: string): Record<string, string> => ({ group: "g", version, kind: "K" });

test("a path that two documents have is the first one's, and what only the second one's needs is left out", () => {
  const first = { paths: { "/a": ref("A") }, definitions: { A: { type: "object" } } };
  const second = { paths: { "/a": ref("B"), "/c": ref("C") }, definitions: { B: {}, C: {}, neverUsed: {} } };
  expect(merged(first, [second])).toEqual({ paths: { "/a": ref("A"), "/c": ref("C") }, definitions: { A: { type: "object" }, C: {}, neverUsed: {} }, parameters: {} });
});

test("definitions that mean something else are renamed, and all that refer to them", () => {
  const first = { paths: { "/a": ref("A") }, definitions: { A: { type: "object" }, Same: { type: "string" } } };
  const second = { paths: { "/b": ref("A") }, definitions: { A: { properties: { $ref: { type: "string" }, list: { items: ref("A") } } }, Same: { type: "string" } } };
  const third = { paths: { "/c": ref("A") }, definitions: { A: { type: "integer" } } };
  const { paths, definitions } = merged(first, [second, third]);
  expect(paths).toEqual({ "/a": ref("A"), "/b": ref("A_v2"), "/c": ref("A_v3") });
  expect(definitions).toEqual({ A: { type: "object" }, Same: { type: "string" }, A_v2: { properties: { $ref: { type: "string" }, list: { items: ref("A_v2") } } }, A_v3: { type: "integer" } });
});

test("a definition renamed before is used again, and a name the second document has itself is not taken", () => {
  const one = { type: "string" };
  const two = { type: "integer" };
  const three = { type: "number" };
  const first = { paths: { "/a": {} }, definitions: { A: one, A_v2: two } };
  expect(merged(first, [{ paths: { "/b": ref("A") }, definitions: { A: two } }])).toMatchObject({ paths: { "/b": ref("A_v2") }, definitions: { A: one, A_v2: two } });
  expect(merged({ paths: { "/a": {} }, definitions: { A: one } }, [{ paths: { "/b": [ref("A"), ref("A_v2")] }, definitions: { A: two, A_v2: three } }])).toMatchObject({ paths: { "/b": [ref("A_v3"), ref("A_v2")] }, definitions: { A: one, A_v2: three, A_v3: two } });
});

test("definitions that differ only in the kinds they stand for are one, of all these kinds", () => {
  const definition = (...versions: string[]): Record<string, unknown> => ({ type: "object", "x-kubernetes-group-version-kind": versions.map(gvk) });
  const { definitions } = merged({ paths: { "/a": {} }, definitions: { Options: definition("v1", "v3") } }, [{ paths: { "/b": ref("Options") }, definitions: { Options: definition("v2", "v1") } }]);
  expect(definitions).toEqual({ Options: definition("v1", "v2", "v3") });
});

test("parameters that mean something else are renamed as definitions are", () => {
  const first = { paths: { "/a": ref("p", "parameters") }, parameters: { p: { name: "p" } } };
  const second = { paths: { "/b": ref("p", "parameters") }, parameters: { p: { name: "q" } } };
  expect(merged(first, [second])).toMatchObject({ paths: { "/b": ref("p_v2", "parameters") }, parameters: { p: { name: "p" }, p_v2: { name: "q" } } });
});

test("of a document only the wanted paths stay, with the definitions they need", () => {
  const document = { paths: { "/apis/g/v1/x": ref("X"), "/apis/": ref("Y") }, definitions: { X: { items: ref("Z") }, Y: {}, Z: {} } };
  expect(filtered(document, (path) => path.startsWith("/apis/g/v1/"))).toEqual({ paths: { "/apis/g/v1/x": ref("X") }, definitions: { X: { items: ref("Z") }, Z: {} } });
});
