import { expect, test } from "bun:test";
import { Entry } from "./entry.ts";
import { OrderedEntries, positionAfter, type Place } from "./ordered.ts";

const entry = (namespace: string, name: string): Entry => new Entry(namespace, name, 1, { stored: Buffer.from("{}") });
const after = (entries: OrderedEntries, place: Place, namespace?: string): Iterable<Entry> => entries.sorted(namespace).slice(positionAfter(entries.sorted(namespace), place));
const names = (entries: Iterable<Entry>): string[] => [...entries].map((e) => `${e.namespace}/${e.name}`);

test("entries come in the store's order: a namespace sorts with its slash, so a-b is before a", () => {
  const entries = new OrderedEntries();
  for (const [namespace, name] of [["a", "z"], ["b", "m"], ["a-b", "x"], ["a", "a"], ["a", "m"]] as const) entries.set(entry(namespace, name));
  expect(names(entries.sorted())).toEqual(["a-b/x", "a/a", "a/m", "a/z", "b/m"]);
  expect(names(entries.sorted("a"))).toEqual(["a/a", "a/m", "a/z"]);
  expect(entries.size).toBe(5);
});

test("a walk can start after an entry that no longer exists, in its namespace or across them", () => {
  const entries = new OrderedEntries();
  for (const [namespace, name] of [["a", "1"], ["a", "3"], ["c", "1"]] as const) entries.set(entry(namespace, name));
  expect(names(after(entries, { namespace: "a", name: "2" }))).toEqual(["a/3", "c/1"]);
  expect(names(after(entries, { namespace: "a", name: "3" }))).toEqual(["c/1"]);
  expect(names(after(entries, { namespace: "b", name: "x" }))).toEqual(["c/1"]);
  expect(names(after(entries, { namespace: "a", name: "1" }, "a"))).toEqual(["a/3"]);
});

test("random sets and deletes agree with a sorted list", () => {
  const entries = new OrderedEntries();
  const model = new Set<string>();
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) % 2147483648) % below;
  for (let step = 0; step < 3000; step++) {
    const [namespace, name] = [`n${random(4)}`, `p${random(60)}`];
    if (random(3) === 0) {
      entries.delete(namespace, name);
      model.delete(`${namespace}/${name}`);
    } else {
      entries.set(entry(namespace, name));
      model.add(`${namespace}/${name}`);
    }
    if (random(50) === 0) expect(names(entries.sorted())).toEqual([...model].sort());
  }
  expect(names(entries.sorted())).toEqual([...model].sort());
  expect(entries.size).toBe(model.size);
});

test("a list stays as it was when the objects change, and is the same list while they do not", () => {
  const entries = new OrderedEntries();
  entries.set(entry("a", "1"));
  const before = entries.sorted();
  expect(entries.sorted()).toBe(before);
  entries.set(entry("a", "2"));
  expect([names(before), names(entries.sorted())]).toEqual([["a/1"], ["a/1", "a/2"]]);
});
