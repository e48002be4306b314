import { describe, expect, test } from "bun:test";
import { ApiError } from "../errors.ts";
import { jsonPatch } from "./json-patch.ts";

type Patch = Record<string, unknown>[];

/** What a patch that does not fit is told, below the sentence all of them get. */
function problem(current: Record<string, unknown>, patch: Patch): string | undefined {
  try {
    jsonPatch(current, patch);
  } catch (error) {
    if (error instanceof ApiError) return error.details?.causes?.[0]?.message;
    throw error;
  }
  return undefined;
}

describe("a JSON patch", () => {
  test("replaces a key that is not there yet, as long as its object is", () => {
    expect(jsonPatch({ a: {} }, [{ op: "replace", path: "/a/b~1c", value: 1 }])).toEqual({ a: { "b/c": 1 } });
    expect(problem({}, [{ op: "replace", path: "/a/b", value: 1 }])).toBe("replace operation does not apply: doc is missing path: /a/b: missing value");
  });

  test("counts negative indices from the end, and refuses what is beyond either end", () => {
    const current = { list: [1, 2, 3] };
    expect(jsonPatch(current, [{ op: "remove", path: "/list/-1" }])).toEqual({ list: [1, 2] });
    expect(jsonPatch(current, [{ op: "replace", path: "/list/-3", value: 0 }])).toEqual({ list: [0, 2, 3] });
    expect(jsonPatch(current, [{ op: "add", path: "/list/3", value: 4 }, { op: "add", path: "/list/0", value: 0 }])).toEqual({ list: [0, 1, 2, 3, 4] });
    expect(problem(current, [{ op: "add", path: "/list/4", value: 0 }])).toBe("error in add for path: '/list/4': Unable to access invalid index: 4: invalid index referenced");
    expect(problem(current, [{ op: "remove", path: "/list/-4" }])).toBe("error in remove for path: '/list/-4': Unable to access invalid index: -4: invalid index referenced");
  });

  test("moves and copies values, and a copy is a value of its own", () => {
    expect(jsonPatch({ a: { x: [1] }, b: {} }, [{ op: "move", from: "/a/x", path: "/b/y" }])).toEqual({ a: {}, b: { y: [1] } });
    expect(jsonPatch({ a: { x: 1 } }, [{ op: "copy", from: "/a", path: "/b" }, { op: "replace", path: "/b/x", value: 2 }])).toEqual({ a: { x: 1 }, b: { x: 2 } });
    expect(problem({ a: {} }, [{ op: "move", from: "/a/x", path: "/b" }])).toBe("error in move for path: '/a/x': Unable to remove nonexistent key: x: missing value");
  });

  test("tests for a value, and for nothing where a key is missing", () => {
    const current = { a: { b: [1, { c: null }] } };
    expect(jsonPatch(current, [{ op: "test", path: "/a/b", value: [1, { c: null }] }, { op: "test", path: "/a/none", value: null }])).toEqual(current);
    expect(problem(current, [{ op: "test", path: "/a/none", value: 1 }])).toBe("testing value /a/none failed: test failed");
  });

  test("takes a key named __proto__ for a key", () => {
    const patched = jsonPatch({ a: {} }, [{ op: "add", path: "/a/__proto__", value: { isAdmin: true } }]) as { a: { isAdmin?: boolean } };
    expect(patched.a.isAdmin).toBeUndefined();
    expect(Object.hasOwn(patched.a, "__proto__")).toBe(true);
  });

  test("copies no more than upstream lets it", () => {
    const doubling = Array.from({ length: 24 }, (_, index) => ({ op: "copy", from: "/a", path: `/a/${index}` }));
    expect(problem({ a: { seed: "x".repeat(10) } }, doubling)).toContain("exceeding the limit 3145728");
  });

  test("refuses an operation that is none", () => {
    expect(problem({}, [{ op: "toString", path: "/a" }])).toBe("Unexpected kind: toString");
    expect(problem({}, [{ op: "add", value: 1 }])).toBe("add operation failed to decode path: missing value");
  });
});
