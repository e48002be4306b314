import { expect, test } from "bun:test";
import { LEAF, type FieldSet } from "./fieldset.ts";
import { sharedSet, shareSets, textOfSet } from "./sharedsets.ts";

const aSet = (name: string): FieldSet => ({ "f:spec": { ".": LEAF, [`f:${name}`]: LEAF } });

test("equal sets become one, others stay what they are", () => {
  const first = sharedSet(aSet("a"));
  expect(sharedSet(aSet("a"))).toBe(first);
  expect(sharedSet(first)).toBe(first);
  expect(sharedSet(aSet("b"))).toEqual(aSet("b"));
  expect(textOfSet(first)).toBe(JSON.stringify(aSet("a")));
  expect(textOfSet(aSet("never shared"))).toBe(JSON.stringify(aSet("never shared")));
});

test("however many there are, each keeps its content", () => {
  for (let index = 0; index < 5000; index++) expect(sharedSet(aSet(`n${index}`))).toEqual(aSet(`n${index}`));
  expect(textOfSet(sharedSet(aSet("n1")))).toBe(JSON.stringify(aSet("n1")));
});

test("entries without a set stay without", () => {
  const entries = [{ manager: "a" }, { manager: "b", fieldsV1: aSet("c") }];
  shareSets(entries);
  expect(entries).toEqual([{ manager: "a" }, { manager: "b", fieldsV1: aSet("c") }]);
  shareSets(undefined);
});
