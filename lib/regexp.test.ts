import { expect, test } from "bun:test";
import { findAll, goRegExp } from "./regexp.ts";

test("patterns are Go's: flags inside, no look-ahead, the end of the text as \\z", () => {
  expect(goRegExp("^((?i)january|1[0-2])$").test("JANUARY")).toBe(true);
  expect(goRegExp("^a\\z").test("a\n")).toBe(false);
  expect(() => goRegExp("(?=x)")).toThrow("error parsing regexp: invalid or unsupported Perl syntax: `(?=`");
});

test("matches come in order and no more than asked for", () => {
  expect(findAll("[0-9]+", "a1b22c333")).toEqual(["1", "22", "333"]);
  expect(findAll("[0-9]+", "a1b22c333", 2)).toEqual(["1", "22"]);
});

test("a pattern made to backtrack for ever is answered all the same", () => {
  expect(goRegExp("^(a+)+$").test(`${"a".repeat(5_000)}!`)).toBe(false);
});
