import { describe, expect, test } from "bun:test";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { parseJson, parseYaml } from "./body.ts";
import { readYaml } from "./yaml.ts";

describe("a YAML document", () => {
  test("means what Go's reader takes it to mean", () => {
    expect(readYaml("a: yes\nb: 'yes'\nc: 0644\nd: 2026-01-01\ne: ~\n")).toEqual({ json: '{"a":true,"b":"yes","c":420,"d":"2026-01-01","e":null}' });
  });

  test("tells of keys given twice, with their lines", () => {
    expect(readYaml("a: 1\nb:\n  c: 1\n  c: 2\na: 2\n")).toMatchObject({ repeated: 'error converting YAML to JSON: yaml: unmarshal errors:\n  line 5: key "a" already set in map\n  line 4: key "c" already set in map' });
  });

  test.each([
    ["a map for a key", "? {a: 1}\n: 2", "invalid map key"],
    ["keys in keys in keys", "? ".repeat(300), "invalid map key"],
    ["a missing anchor", "a: *b", "b"],
    ["aliases of aliases", ["a0: &a0 [x,x,x,x,x,x,x,x,x]", ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(9)}]`)].join("\n"), "alias"],
  ])("with %s is refused in words", (_, text, words) => {
    const reading = readYaml(text);
    expect("error" in reading && reading.error).toStartWith("error converting YAML to JSON: yaml: ");
    expect("error" in reading && reading.error).toContain(words);
  });
});

describe("a body", () => {
  test.each([["[", "]"], ['{"a":', "}"]])("of %s in each other too often is refused before anybody walks it", async (open, close) => {
    const deep = (depth: number): string => `${open.repeat(depth)}1${close.repeat(depth)}`;
    expect(() => parseJson(Buffer.from(deep(1001)), Error)).toThrow("exceeded max depth");
    expect(parseJson(Buffer.from(deep(900)), Error)).toBeDefined();
    expect(() => parseJson(Buffer.from(deep(300_000)), Error)).toThrow("exceeded max depth");
    const refused = await parseYaml(deep(50_000)).catch((error: Error) => error.message);
    expect(refused).toMatch(/exceeded max depth|takes too long/);
  }, TEST_TIMEOUT_MS);

  test("may hold any number of brackets in its strings", () => {
    expect(parseJson(Buffer.from(JSON.stringify({ a: "[{".repeat(5000), b: '"\\[' })), Error)).toMatchObject({ b: '"\\[' });
  });
});
