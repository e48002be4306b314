import { expect, test } from "bun:test";
import { aNode, aPod, NODE, POD } from "./fakes.ts";
import { settle, start } from "./harness.ts";

/** The numbers of one family, by their labels. */
function family(text: string, name: string): Record<string, number> {
  const lines = text.split("\n").filter((line) => line.startsWith(`scheduler_${name}{`) || line.startsWith(`scheduler_${name} `));
  return Object.fromEntries(lines.map((line) => [line.slice(`scheduler_${name}`.length, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

test("what was done and what waits is counted under upstream's names", async () => {
  const { api, scheduler } = start();
  api.put(NODE, aNode("a"));
  api.put(POD, aPod("fits"));
  api.put(POD, aPod("big", { cpu: "9" }));
  api.put(POD, aPod("gated", { spec: { schedulingGates: [{ name: "x" }] } }));
  await settle();
  const text = scheduler.metrics();
  expect(family(text, "schedule_attempts_total")).toEqual({ '{profile="default-scheduler",result="scheduled"}': 1, '{profile="default-scheduler",result="unschedulable"}': 1 });
  expect(family(text, "pending_pods")).toEqual({ '{queue="active"}': 0, '{queue="backoff"}': 0, '{queue="unschedulable"}': 1, '{queue="gated"}': 1 });
  expect(family(text, "unschedulable_pods")).toEqual({ '{plugin="NodeResourcesFit",profile="default-scheduler"}': 1, '{plugin="SchedulingGates",profile="default-scheduler"}': 1 });
  expect(family(text, "cache_size")).toEqual({ '{type="nodes"}': 1, '{type="pods"}': 1, '{type="assumed_pods"}': 0 });
  expect(family(text, "pod_scheduling_attempts_bucket")['{le="1"}']).toBe(1);
  expect(family(text, "pod_scheduling_sli_duration_seconds_count")).toEqual({ '{attempts="1"}': 1 });
  expect(family(text, "scheduling_algorithm_duration_seconds_count")).toEqual({ "": 2 });
  // One attempt was of no use to anybody: nothing less important runs.
  expect(family(text, "preemption_attempts_total")).toEqual({ "": 1 });
});

test("pods are counted into queues with what brought them there", async () => {
  const { api, scheduler } = start();
  api.put(NODE, aNode("a"));
  api.put(POD, aPod("big", { cpu: "9" }));
  api.put(POD, aPod("gated", { spec: { schedulingGates: [{ name: "x" }] } }));
  await settle();
  api.put(NODE, aNode("a", { cpu: "10" }));
  await settle();
  const incoming = family(scheduler.metrics(), "queue_incoming_pods_total");
  expect(incoming).toMatchObject({
    '{event="UnschedulablePodAdd",queue="active"}': 1, '{event="UnschedulablePodAdd",queue="unschedulable"}': 1,
    '{event="ScheduleAttemptFailure",queue="unschedulable"}': 1, '{event="NodeUpdate",queue="backoff"}': 1, '{event="PopFromBackoffQ",queue="active"}': 1,
  });
});

test("extension points are timed, plugins counted, and what preemption does is told", async () => {
  const { api, scheduler } = start();
  for (const name of ["a", "b"]) api.put(NODE, aNode(name));
  api.put(POD, aPod("low", { cpu: "4" }));
  api.put(POD, aPod("low2", { cpu: "4" }));
  await settle();
  api.put(POD, aPod("high", { cpu: "4", spec: { priority: 10 } }));
  await settle();
  const text = scheduler.metrics();
  const points = family(text, "framework_extension_point_duration_seconds_count");
  const at = (point: string, status: string): number | undefined => points[`{extension_point="${point}",profile="default-scheduler",status="${status}"}`];
  expect([at("PreFilter", "Success"), at("Filter", "Unschedulable"), at("PostFilter", "Success"), at("Score", "Success")].every((count) => (count ?? 0) > 0)).toBe(true);
  expect(at("Bind", "Success")).toBeGreaterThanOrEqual(2);
  const asked = family(text, "plugin_evaluation_total");
  expect(asked['{extension_point="Filter",plugin="NodeResourcesFit",profile="default-scheduler"}']).toBeGreaterThan(2);
  expect(asked['{extension_point="PreFilter",plugin="VolumeBinding",profile="default-scheduler"}']).toBeGreaterThanOrEqual(3);
  expect(family(text, "preemption_victims_count")).toEqual({ "": 1 });
  expect(family(text, "preemption_goroutines_execution_total")).toEqual({ '{result="success"}': 1 });
});
