import { expect, test } from "bun:test";
import type { Pod, Service, Stored } from "../../../api/types.ts";
import { TRIGGER_TIME, TriggerTimes, withTriggerTime } from "./triggertimes.ts";

const at = (second: number): string => `2026-03-01T12:00:${String(second).padStart(2, "0")}Z`;
const service = { metadata: { name: "web", namespace: "default", creationTimestamp: at(0) } } as Stored<Service>;
const pod = (name: string, second: number): Stored<Pod> => ({ metadata: { name, namespace: "default" }, status: { conditions: [{ type: "Ready", status: "True", lastTransitionTime: at(second) }] } }) as Stored<Pod>;

test("a service seen for the first time changed when it was made", () => {
  expect(new TriggerTimes().of("default/web", service, [pod("a", 5)])).toBe(at(0));
});

test("later the oldest change of a pod since the last look counts, and nothing when there was none", () => {
  const times = new TriggerTimes();
  times.of("default/web", service, [pod("a", 5), pod("b", 6)]);
  expect(times.of("default/web", service, [pod("a", 5), pod("b", 6)])).toBeUndefined();
  expect(times.of("default/web", service, [pod("a", 9), pod("b", 8), pod("c", 7)])).toBe(at(7));
  expect(times.of("default/web", service, [pod("a", 9)])).toBeUndefined();
});

test("an annotation of an earlier change does not stay", () => {
  expect(withTriggerTime({ a: "b", [TRIGGER_TIME]: at(1) }, undefined)).toEqual({ a: "b" });
  expect(withTriggerTime({ a: "b" }, at(2))).toEqual({ a: "b", [TRIGGER_TIME]: at(2) });
});
