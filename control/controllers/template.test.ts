import { describe, expect, test } from "bun:test";
import { canonical, hashTemplate, isSame, isSameTemplate } from "./template.ts";

describe("sameness", () => {
  test.each([
    [{ a: 1, b: [{ c: "x" }] }, { b: [{ c: "x" }], a: 1 }],
    [{ a: undefined, b: null, c: [] }, {}],
    [undefined, null],
    [[{ a: null }], [{}]],
  ])("%p and %p say the same", (a, b) => {
    expect(isSame(a, b)).toBe(true);
    expect(isSame(b, a)).toBe(true);
    if (a !== undefined) expect(canonical(a)).toBe(canonical(b));
  });

  test.each([
    [{ a: {} }, {}],
    [{ a: 0 }, {}],
    [{ a: "" }, {}],
    [[1, 2], [2, 1]],
    [[1], [1, 2]],
    [{ a: [] }, { a: {} }],
    [{ a: 1 }, [1]],
    [{ toString: "x" }, {}],
    ["1", 1],
  ])("%p and %p differ", (a, b) => {
    expect(isSame(a, b)).toBe(false);
    expect(isSame(b, a)).toBe(false);
  });
});

test("a template's hash leaves its own label out of account when templates are compared, and has room for collisions", () => {
  const template = { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c" }] } };
  const labelled = { ...template, metadata: { labels: { app: "web", "pod-template-hash": "x" } } };
  expect(isSameTemplate(template as never, labelled as never)).toBe(true);
  expect(hashTemplate(template)).toBe(hashTemplate({ spec: template.spec, metadata: template.metadata }));
  expect(new Set([0, 1, 2].map((collisions) => hashTemplate(template, collisions))).size).toBe(3);
});
