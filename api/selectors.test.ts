import { describe, expect, test } from "bun:test";
import { escapeFieldValue, formatLabelSelector, matcherOf, matcherOfLabels, parseFieldSelector, parseLabelSelector } from "./selectors.ts";

const web = { app: "web", tier: "front", size: "12" };

describe("a label selector in text selects", () => {
  const cases: [string, boolean][] = [
    ["", true], ["app=web", true], ["app==web", true], ["app=db", false], ["app!=db", true], ["missing!=x", true], ["app", true], ["!app", false], ["!missing", true],
    ["app in (web,db)", true], ["app notin (web)", false], ["missing notin (a)", true], ["app=web,tier=front", true], ["app=web,tier=back", false],
    ["size>10", true], ["size<10", false], ["app>1", false], ["app in (in,notin)", false], ["in=web", false], ["app=", false], [" app = web , tier in ( front ) ", true], ["x in ()", false],
  ];
  for (const [text, wanted] of cases) test(`${JSON.stringify(text)} ${wanted ? "a web pod" : "no web pod"}`, () => expect(parseLabelSelector(text).matches(web)).toBe(wanted));
});

test("requirements come sorted by key, and print as upstream prints them", () => {
  const matcher = parseLabelSelector("tier notin (b,a),app==web,!gone,here,n>3");
  expect(matcher.requirements.map((r) => r.key)).toEqual(["app", "gone", "here", "n", "tier"]);
  expect(matcher.toString()).toBe("app==web,!gone,here,n>3,tier notin (a,b)");
});

describe("a malformed label selector is refused in upstream's words:", () => {
  const cases: [string, string][] = [
    ["app in web", "unable to parse requirement: found 'web' expected: '('"],
    ["app=web,", "found '', expected: identifier after ','"],
    [",app", "found ',', expected: !, identifier, or 'end of string'"],
    ["app web", "unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt"],
    ["app=(x)", "unable to parse requirement: found '(', expected: identifier"],
    ["app=web x", "found 'x', expected: ',' or 'end of string'"],
    ["a b=c", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ["-a=c", "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"],
    ["a=-c", "unable to parse requirement: values[0][a]: Invalid value: \"-c\": a valid label must be an empty string or consist of"],
    ["a>b", "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer"],
  ];
  for (const [text, message] of cases) test(text, () => expect(() => parseLabelSelector(text)).toThrow(message));
});

test("a LabelSelector object combines labels and expressions; absent matches nothing, empty everything", () => {
  const selector = { matchLabels: { app: "web" }, matchExpressions: [{ key: "tier", operator: "In", values: ["front", "mid"] }] };
  expect(matcherOf(selector).matches(web)).toBe(true);
  expect(matcherOf(selector).matches({ app: "web" })).toBe(false);
  expect(matcherOf({}).matches({})).toBe(true);
  expect(matcherOf(undefined).matches(web)).toBe(false);
  expect(() => matcherOf({ matchExpressions: [{ key: "a", operator: "Near" }] })).toThrow('"Near" is not a valid label selector operator');
  expect(() => matcherOf({ matchExpressions: [{ key: "a", operator: "In", values: [] }] })).toThrow("for 'in', 'notin' operators, values set can't be empty");
});

test("a LabelSelector prints for people", () => {
  expect(formatLabelSelector({ matchLabels: { b: "2", a: "1" } })).toBe("a=1,b=2");
  expect(formatLabelSelector(undefined)).toBe("<none>");
  expect(formatLabelSelector({})).toBe("<none>");
  expect(formatLabelSelector({ matchExpressions: [{ key: "a", operator: "?" }] })).toBe("<error>");
});

test("a plain map of labels matches as upstream's sets do", () => {
  expect(matcherOfLabels({ app: "web" }).matches(web)).toBe(true);
  expect(matcherOfLabels({ toString: "x" }).matches(web)).toBe(false);
  expect(matcherOfLabels(undefined).matches(undefined)).toBe(true);
});

test("field selectors split into sorted terms", () => {
  expect(parseFieldSelector("status.phase!=Failed,spec.nodeName==a")).toEqual([
    { field: "spec.nodeName", operator: "=", value: "a" }, { field: "status.phase", operator: "!=", value: "Failed" },
  ]);
  expect(parseFieldSelector("")).toEqual([]);
  expect(parseFieldSelector("metadata.name=")).toEqual([{ field: "metadata.name", operator: "=", value: "" }]);
  expect(parseFieldSelector("a=1,,b=2,")).toHaveLength(2);
});

test("escaped field values come back as written", () => {
  const value = "a=b,c\\d";
  expect(parseFieldSelector(`x=${escapeFieldValue(value)},y=1`)).toEqual([{ field: "x", operator: "=", value }, { field: "y", operator: "=", value: "1" }]);
});

test("a malformed field selector is refused in upstream's words", () => {
  expect(() => parseFieldSelector("metadata.name")).toThrow("invalid selector: 'metadata.name'; can't understand 'metadata.name'");
  expect(() => parseFieldSelector("a=b=c")).toThrow("invalid field selector: unescaped character in value: 61");
  expect(() => parseFieldSelector("a=\\z")).toThrow("invalid field selector: invalid escape sequence: \\z");
});
