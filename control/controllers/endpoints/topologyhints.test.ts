import { expect, test } from "bun:test";
import type { Node } from "../../../api/types.ts";
import { topologyHints, zoneShares, type Placed } from "./topologyhints.ts";

const node = (zone: string | undefined, cpu: string, isReady = true): Node => ({ metadata: { name: "n", labels: zone ? { "topology.kubernetes.io/zone": zone } : {} }, status: { allocatable: { cpu }, conditions: [{ type: "Ready", status: isReady ? "True" : "False" }] } });
const placed = (...zones: string[]): Placed[] => zones.map((zone, index) => ({ id: `e${index}`, zone }));
const counts = (hints: ReturnType<typeof topologyHints>): unknown => (typeof hints === "string" ? hints : Object.fromEntries([...Map.groupBy(hints.values(), (zone) => zone)].sort().map(([zone, all]) => [zone, all.length])));

test("zones share by the CPU of their ready nodes", () => {
  expect(zoneShares([node("a", "3"), node("b", "1"), node("b", "4", false)])).toEqual(new Map([["a", 0.75], ["b", 0.25]]));
  expect(zoneShares([node("a", "3"), node(undefined, "1")])).toBeUndefined();
  expect(zoneShares([node("a", "3"), node("a", "1")])).toBeUndefined();
});

test("endpoints where the CPU is stay in their zones", () => {
  const even = new Map([["a", 0.5], ["b", 0.5]]);
  expect([...(topologyHints(placed("a", "b", "a", "b"), even) as Map<string, string>)]).toEqual([["e0", "a"], ["e1", "b"], ["e2", "a"], ["e3", "b"]]);
});

test("a zone with too many gives some to one with too few", () => {
  expect(counts(topologyHints(placed("a", "a", "a", "a", "a", "b"), new Map([["a", 0.5], ["b", 0.5]])))).toEqual({ a: 3, b: 3 });
  expect(counts(topologyHints(placed("a", "a", "a", "a"), new Map([["a", 0.5], ["b", 0.5]])))).toEqual({ a: 2, b: 2 });
});

test("without enough to go round there are no hints, and it is said why", () => {
  const three = new Map([["a", 0.4], ["b", 0.3], ["c", 0.3]]);
  expect(topologyHints(placed("a", "b"), three)).toBe("Insufficient number of endpoints (2 endpoints, 3 zones)");
  expect(topologyHints(placed("a", "b", "c"), three)).toBe("Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (3 endpoints, 3 zones)");
  expect(topologyHints(placed("a", ""), new Map([["a", 0.5], ["b", 0.5]]))).toBe("One or more endpoints do not have a zone specified");
  expect(topologyHints(placed("a"), undefined)).toStartWith("Insufficient Node information");
});
