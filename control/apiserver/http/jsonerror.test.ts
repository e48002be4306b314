import { expect, test } from "bun:test";
import { jsonError, summaryOf } from "./jsonerror.ts";

test.each([
  ["", "unexpected end of JSON input"], ["{", "unexpected end of JSON input"], ['{"a":', "unexpected end of JSON input"], ['"x', "unexpected end of JSON input"],
  ["apiVersion: v1", "invalid character 'a' looking for beginning of value"], ["{a: 1}", "invalid character 'a' looking for beginning of object key string"], ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b"}', "invalid character '\"' after object key:value pair"], ["[1 2]", "invalid character '2' after array element"], ["{} x", "invalid character 'x' after top-level value"],
  ["tru]", "invalid character ']' in literal true (expecting 'e')"], ['"a\nb"', "invalid character '\\n' in string literal"], ['"\\x"', "invalid character 'x' in string escape code"], ['"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"],
  ["-x", "invalid character 'x' in numeric literal"], ["1.x", "invalid character 'x' after decimal point in numeric literal"], ["1e+x", "invalid character 'x' in exponent of numeric literal"], ["01", "invalid character '1' after top-level value"], ["'a'", "invalid character '\\'' looking for beginning of value"],
])("%p is wrong in Go's words", (text, message) => {
  expect(jsonError(text)).toBe(message);
});

test("what is JSON has no mistake", () => {
  for (const text of ['{"a": [1, -0.5e3, true, false, null, "\\u0041\\n", {}, []]}', " 1 ", '""']) expect(jsonError(text)).toBeUndefined();
});

test("a summary shows the beginning, in hexadecimal unless it may be an object", () => {
  expect([summaryOf(Buffer.from("")), summaryOf(Buffer.from("ab")), summaryOf(Buffer.from(`{"a${"x".repeat(40)}`))]).toEqual(["<empty>", "6162", `{"a${"x".repeat(27)} ...`]);
});
