// What a pod counts for while it is resized as a whole.
import { expect, test } from "bun:test";
import type { Pod, PodStatus } from "../../api/types.ts";
import { demandOf, resizeKey } from "./requests.ts";

const aPod = (cpu: string, status: PodStatus = {}, overhead?: Record<string, string>): Pod => ({ metadata: { name: "p" }, spec: { containers: [{ name: "c" }], resources: { requests: { cpu } }, ...(overhead && { overhead }) }, status });
const holding = (actual: string, allocated: string): PodStatus => ({ resources: { requests: { cpu: actual } }, allocatedResources: { cpu: allocated } });
const infeasible: PodStatus = { conditions: [{ type: "PodResizePending", status: "True", reason: "Infeasible" }] };

test.each<[string, Pod, number]>([
  ["without a status, what it asks for", aPod("1"), 1000],
  ["while it grows, what it asks for", aPod("2", holding("1", "1")), 2000],
  ["while it shrinks, what it still holds", aPod("1", holding("2", "1")), 2000],
  ["when what it asks for can never be, what it holds", aPod("64", { ...holding("1", "1"), ...infeasible }), 1000],
  ["with overhead, which its status includes, that once", aPod("1", holding("1100m", "1100m"), { cpu: "100m" }), 1100],
])("%s", (_what, pod, milliCpu) => {
  expect(demandOf(pod).requests.milliCpu).toBe(milliCpu);
});

test("pods of the same shape are told apart while one is resized as a whole", () => {
  expect(resizeKey(aPod("1", holding("1", "1")))).toBe("");
  expect(resizeKey(aPod("2", holding("1", "1")))).not.toBe("");
});
