import { describe, expect, test } from "bun:test";
import { builtinKind } from "../registry.ts";
import type { AnyObject } from "../types.ts";
import { SchemaEngine } from "./engine.ts";
import { difference, intersection, isEmptySet, pathsOf, setOf, union } from "./fieldset.ts";
import type { SchemaNode } from "./node.ts";

const engine = new SchemaEngine();
const kind = builtinKind("apps", "v1", "Deployment");
const schema = engine.schemaFor(kind) as SchemaNode;
const ROUNDS = 150;

/** A repeatable source of choices. */
function dice(seed: number): { pick: <T>(from: readonly T[]) => T; chance: (percent: number) => boolean; some: <T>(from: readonly T[]) => T[] } {
  let state = seed * 2_654_435_761 + 1;
  const next = (): number => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_507) + 0x9e3779b9) >>> 0;
    return state / 2 ** 32;
  };
  const chance = (percent: number): boolean => next() * 100 < percent;
  return {
    chance,
    pick: (from) => from[Math.floor(next() * from.length)] as never,
    some: (from) => from.filter(() => chance(60)).sort(() => next() - 0.5),
  };
}

/** A deployment with random labels, containers, env and ports; `d` decides. */
function aDeployment({ pick, some, chance }: ReturnType<typeof dice>): AnyObject {
  const map = (): Record<string, string> => Object.fromEntries(some(["a", "b", "c"]).map((key) => [key, pick(["1", "2"])]));
  const container = (name: string): Record<string, unknown> => ({
    name, image: pick(["x", "y"]),
    ...(chance(50) && { args: some(["p", "q", "r"]) }),
    ...(chance(60) && { env: some(["E", "F", "G"]).map((key) => ({ name: key, value: pick(["1", "2"]) })) }),
    ...(chance(40) && { ports: some([80, 81]).map((containerPort) => ({ containerPort, protocol: "TCP", ...(chance(50) && { name: pick(["m", "n"]) }) })) }),
    ...(chance(40) && { resources: { limits: { cpu: pick(["1", "2"]) } } }),
  });
  return {
    apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "d", namespace: "n", ...(chance(70) && { labels: map() }), ...(chance(30) && { finalizers: some(["f1", "f2", "f3"]) }) },
    spec: {
      ...(chance(50) && { replicas: pick([1, 2, 3]) }), selector: { matchLabels: { app: "d" } },
      template: { metadata: { labels: { app: "d", ...map() } }, spec: { containers: [...some(["c1", "c2"]), "c3", ...some(["c4"])].map(container), ...(chance(30) && { nodeSelector: map() }) } },
    },
  } as AnyObject;
}

const isPlain = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

/** The patch that turns one value into another, as kubectl writes it. */
function twoWayDiff(node: SchemaNode | undefined, from: Record<string, unknown>, to: Record<string, unknown>): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  for (const key of Object.keys(from)) if (!(key in to)) patch[key] = null;
  for (const [key, value] of Object.entries(to)) {
    const old = from[key];
    const child = node?.child(key);
    if (Bun.deepEquals(old, value)) continue;
    if (isPlain(old) && isPlain(value)) patch[key] = twoWayDiff(child, old, value);
    else if (Array.isArray(old) && Array.isArray(value) && child?.strategy.includes("merge")) listDiff(child, patch, { key, old, value });
    else patch[key] = value;
  }
  return patch;
}

function listDiff(node: SchemaNode, patch: Record<string, unknown>, { key, old, value }: { key: string; old: unknown[]; value: unknown[] }): void {
  const { mergeKey } = node;
  if (mergeKey === "") {
    patch[`$deleteFromPrimitiveList/${key}`] = old.filter((item) => !value.includes(item));
    patch[`$setElementOrder/${key}`] = value;
    patch[key] = value.filter((item) => !old.includes(item));
    return;
  }
  const id = (item: unknown): unknown => (item as Record<string, unknown>)[mergeKey];
  const kept = (value as Record<string, unknown>[]).flatMap((item) => {
    const before = old.find((other) => id(other) === id(item)) as Record<string, unknown> | undefined;
    const change = before ? twoWayDiff(node.items, before, item) : item;
    return Object.keys(change).length > 0 ? [{ ...change, [mergeKey]: id(item) }] : [];
  });
  const gone = old.filter((item) => !value.some((other) => id(other) === id(item))).map((item) => ({ $patch: "delete", [mergeKey]: id(item) }));
  patch[`$setElementOrder/${key}`] = value.map((item) => ({ [mergeKey]: id(item) }));
  patch[key] = [...kept, ...gone];
}

const decoded = (object: unknown): AnyObject => engine.decode(kind, object, { mode: "Ignore" }).object;

describe("for any two deployments", () => {
  test("the strategic merge of their difference turns one into the other, lists in order", () => {
    for (let seed = 0; seed < ROUNDS; seed++) {
      const roll = dice(seed);
      const [from, to] = [aDeployment(roll), aDeployment(roll)];
      expect(decoded(engine.strategicMerge(kind, from, twoWayDiff(schema, from, to)))).toEqual(decoded(to));
    }
  });

  test("decoding what was decoded changes nothing, and neither do defaults set twice", () => {
    for (let seed = 0; seed < ROUNDS; seed++) {
      const once = decoded(aDeployment(dice(seed)));
      engine.applyDefaults(kind, once);
      const twice = decoded(once);
      engine.applyDefaults(kind, twice);
      expect(twice).toEqual(once);
    }
  });

  test("applying one and then the other leaves what applying the other alone gives", () => {
    for (let seed = 0; seed < ROUNDS; seed++) {
      const roll = dice(seed);
      const [first, second] = [aDeployment(roll), aDeployment(roll)];
      const request = { kind, manager: "m", subresource: "", now: "2026-01-01T00:00:00Z", force: false };
      const live = decoded(engine.apply({ ...request, live: undefined, applied: first }));
      const changed = engine.apply({ ...request, live, applied: second });
      const alone = engine.apply({ ...request, live: undefined, applied: second });
      expect(fieldPaths(changed)).toEqual(fieldPaths(alone));
      expect(withoutEmpty(decoded(changed))).toEqual(withoutEmpty(decoded(alone)));
    }
  });

  test("every field of an updated object has exactly one owner, the last to change it", () => {
    for (let seed = 0; seed < ROUNDS; seed++) {
      const roll = dice(seed);
      const before = decoded(aDeployment(roll));
      const after = decoded(aDeployment(roll));
      const track = (live: AnyObject | undefined, updated: AnyObject, manager: string): any[] => engine.trackUpdate({ kind, live, updated, manager, subresource: "", now: "2026-01-01T00:00:00Z" }) ?? [];
      const live = { ...before, metadata: { ...before.metadata, uid: "u", managedFields: track(undefined, before, "first") } } as AnyObject;
      const entries = track(live, { ...after, metadata: { ...after.metadata, uid: "u" } } as AnyObject, "second");
      const sets = entries.map((entry) => entry.fieldsV1);
      if (sets.length === 2) expect(isEmptySet(intersection(sets[0], sets[1]))).toBe(true);
      const all = sets.reduce((a, b) => union(a, b), {});
      expect(paths(all)).toEqual(paths(track(undefined, after, "x")[0]?.fieldsV1 ?? {}));
    }
  });
});

const paths = (set: any): string[] => pathsOf(set).map((path) => path.join("/")).sort();
const fieldPaths = (object: AnyObject): string[] => paths(object.metadata.managedFields?.[0]?.fieldsV1 ?? {});

/** Containers that lost everything stay behind empty, as they do upstream. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (!isPlain(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => key !== "managedFields").map(([key, inner]) => [key, withoutEmpty(inner)] as const).filter(([, inner]) => !(typeof inner === "object" && inner !== null && Object.keys(inner).length === 0)));
}

describe("sets of fields", () => {
  const universe = [["f:a"], ["f:a", "f:b"], ["f:a", "f:c"], ["f:d", "f:e", "f:g"], ["f:d"], ["f:h", 'k:{"name":"x"}'], ["f:h", 'k:{"name":"x"}', "f:i"]];
  const random = (seed: number): string[][] => dice(seed).some(universe);
  const text = (all: readonly (readonly string[])[]): string[] => all.map((path) => path.join("/")).sort();

  test("combine as sets of paths do", () => {
    for (let seed = 0; seed < ROUNDS; seed++) {
      const [a, b] = [random(seed), random(seed + ROUNDS)];
      const [inA, inB] = [new Set(text(a)), new Set(text(b))];
      expect(text(pathsOf(union(setOf(...a), setOf(...b))))).toEqual([...inA.union(inB)].sort());
      expect(text(pathsOf(intersection(setOf(...a), setOf(...b))))).toEqual([...inA.intersection(inB)].sort());
      expect(text(pathsOf(difference(setOf(...a), setOf(...b))))).toEqual([...inA.difference(inB)].sort());
    }
  });
});
