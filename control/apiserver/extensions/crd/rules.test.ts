import { describe, expect, test } from "bun:test";
import type { AnyObject } from "../../../../api/types.ts";
import { compileRules, ruleErrors } from "./rules.ts";
import type { JsonSchema } from "./schema.ts";

const anObject = (spec: unknown): AnyObject => ({ apiVersion: "example.com/v1", kind: "Foo", metadata: { name: "x" }, spec });
const specOf = (properties: Record<string, JsonSchema>, ...rules: string[]): JsonSchema => ({ type: "object", properties: { spec: { type: "object", properties, "x-kubernetes-validations": rules.map((rule) => ({ rule })) } } });
const messages = (schema: JsonSchema, spec: unknown, old?: unknown): string[] => compileRules(schema).check(anObject(spec), old === undefined ? undefined : anObject(old)).map(({ field, message }) => `${field}: ${message}`);

describe("a rule", () => {
  const sum = specOf({ x: { type: "integer" }, y: { type: "integer" } }, "self.x + self.y > 0");

  test("that holds says nothing, and one that does not is quoted", () => {
    expect(messages(sum, { x: 1, y: 0 })).toEqual([]);
    expect(messages(sum, { x: 0, y: 0 })).toEqual(['spec: Invalid value: "object": failed rule: self.x + self.y > 0']);
  });

  test("that looks at a field that is not there fails with its name", () => {
    expect(messages(sum, { x: 1 })).toEqual(['spec: Invalid value: "object": no such key: y evaluating rule: self.x + self.y > 0']);
  });

  test("on a change is told only when there was something before", () => {
    const grows: JsonSchema = { type: "object", properties: { spec: { type: "object", properties: { num: { type: "integer", "x-kubernetes-validations": [{ rule: "self > oldSelf", message: "must grow" }] } } } } };
    expect(messages(grows, { num: 1 })).toEqual([]);
    expect(messages(grows, { num: 9 }, { num: 10 })).toEqual(['spec.num: Invalid value: "integer": must grow']);
  });

  test("is not held against what an update leaves as it was", () => {
    expect(messages(sum, { x: 0, y: 0 }, { x: 0, y: 0 })).toEqual([]);
  });

  test("may use what Kubernetes adds to the language", () => {
    const lists = { list: { type: "array", items: { type: "integer" } } };
    expect(messages(specOf(lists, "self.list.isSorted() && self.list.sum() % 2 == 0"), { list: [1, 3] })).toEqual([]);
    expect(messages(specOf(lists, "self.list.isSorted()"), { list: [3, 1] })).toHaveLength(1);
    expect(messages(specOf({ q: { type: "string" } }, "quantity(self.q).isLessThan(quantity('1Gi'))"), { q: "5Mi" })).toEqual([]);
    expect(messages(specOf({ q: { type: "string" } }, "isURL(self.q) && url(self.q).getHost() == 'a.b'"), { q: "https://a.b/c" })).toEqual([]);
    expect(messages(specOf({ q: { type: "string" } }, "cidr('10.0.0.0/8').containsIP(self.q)"), { q: "10.1.2.3" })).toEqual([]);
    expect(messages(specOf({ q: { type: "string" } }, "sets.contains(['a', 'b'], [self.q])"), { q: "c" })).toHaveLength(1);
    expect(messages(specOf({ q: { type: "string" } }, "!format.dns1123Label().validate(self.q).hasValue()"), { q: "ok" })).toEqual([]);
  });

  test("matches patterns as Go does, in linear time", () => {
    const q = { q: { type: "string" } };
    expect(messages(specOf(q, "self.q.matches('^(?i)warn$')"), { q: "WARN" })).toEqual([]);
    expect(messages(specOf(q, "matches(self.q, '^a+$')"), { q: "b" })).toHaveLength(1);
    expect(messages(specOf(q, "self.q.matches('^(a+)+$')"), { q: `${"a".repeat(5_000)}!` })).toHaveLength(1);
  });

  test("on items of lists and maps is told where it failed", () => {
    const rule = { "x-kubernetes-validations": [{ rule: "self.n > 0" }] };
    const item: JsonSchema = { type: "object", properties: { n: { type: "integer" } }, ...rule };
    expect(messages(specOf({ items: { type: "array", items: item } }), { items: [{ n: 1 }, { n: 0 }] })).toEqual(['spec.items[1]: Invalid value: "object": failed rule: self.n > 0']);
    expect(messages(specOf({ by: { type: "object", additionalProperties: item } }), { by: { a: { n: 0 } } })).toEqual(['spec.by[a]: Invalid value: "object": failed rule: self.n > 0']);
  });

  describe("compares objects", () => {
    const named: JsonSchema = { type: "object", properties: { name: { type: "string" }, port: { type: "integer" } } };
    const holder = (rule: string): JsonSchema => specOf({ first: named, list: { type: "array", items: named }, map: { type: "object", additionalProperties: named } }, rule);
    const [a, b] = [{ name: "a" }, { name: "a", port: 1 }];

    test("by what is in them, with before and with each other", () => {
      expect(messages(holder("self == oldSelf"), { first: a }, { first: b })).toHaveLength(1);
      expect(messages(holder("self.list == oldSelf.list"), { list: [a], first: a }, { list: [a] })).toEqual([]);
      expect(messages(holder("self.list.all(x, self.list.exists_one(y, x == y))"), { list: [a, b] })).toEqual([]);
      expect(messages(holder("self.list.all(x, self.list.exists_one(y, x == y))"), { list: [b, { ...b }] })).toHaveLength(1);
    });

    test("also those taken out of lists and maps", () => {
      expect(messages(holder("self.list[0].name == 'a' && self.map['k'].port == 1"), { list: [a], map: { k: b } })).toEqual([]);
      expect(messages(holder("self.list[0] in self.list && self.list[1] == self.list[1]"), { list: [a, b] })).toEqual([]);
    });
  });

  test("names properties that are words of the language by their escaped names", () => {
    expect(messages(specOf({ namespace: { type: "string" }, "a-b": { type: "string" } }, "self.__namespace__ == self.a__dash__b"), { namespace: "x", "a-b": "x" })).toEqual([]);
  });

  test("may say its own message", () => {
    const schema: JsonSchema = { type: "object", properties: { spec: { type: "object", properties: { n: { type: "integer" } }, "x-kubernetes-validations": [{ rule: "self.n < 3", messageExpression: "'n is ' + string(self.n)", fieldPath: ".n", reason: "FieldValueForbidden" }] } } };
    expect(messages(schema, { n: 5 })).toEqual(["spec.n: Forbidden: n is 5"]);
  });

  test("that costs too much is not run to its end", () => {
    const large = specOf({ large: { type: "array", maxItems: 725, items: { type: "integer" } } }, "self.large.all(x, self.large.all(y, y == x))");
    expect(ruleErrors(large, "schema")).toEqual([]);
    expect(messages(large, { large: Array.from({ length: 725 }, () => 20) })[0]).toContain("call cost exceeds limit for rule");
  });
});

describe("a definition's rule", () => {
  const problem = (schema: JsonSchema): string => ruleErrors(schema, "schema").map(({ message }) => message).join();

  test("that names an unknown field does not compile", () => {
    expect(problem(specOf({ x: { type: "integer" } }, "self.z == 100"))).toContain("undefined field 'z'");
  });

  test("with a syntax error does not compile", () => {
    expect(problem({ type: "object", properties: { spec: { type: "object", "x-kubernetes-validations": [{ rule: "self = 42" }] } } })).toContain("Syntax error");
  });

  test("that is not a condition is refused", () => {
    expect(problem(specOf({ x: { type: "integer" } }, "self.x"))).toContain("must evaluate to bool");
  });

  test("over a list of objects that must have some size is not too expensive", () => {
    const condition: JsonSchema = { type: "object", required: ["type", "lastTransitionTime"], properties: { type: { type: "string" }, lastTransitionTime: { type: "string", format: "date-time" } } };
    const rule = "self.list.exists(c, c.type == 'A' && c.type != 'B') || self.list.all(c, c.type != 'C' && c.type != 'D')";
    const errors = (item: JsonSchema): unknown[] => ruleErrors(specOf({ list: { type: "array", items: item } }, rule), "schema");
    expect(errors(condition)).toEqual([]);
    expect(errors({ ...condition, required: [] })).toHaveLength(1);
  });

  test("over unbounded lists of unbounded lists is too expensive", () => {
    expect(problem({ type: "object", properties: { spec: { type: "object", properties: { x: { type: "array", items: { type: "array", items: { type: "string" }, "x-kubernetes-validations": [{ rule: "self.all(s, s == 'string constant')" }] } } } } } })).toContain("exceeds budget");
  });
});
