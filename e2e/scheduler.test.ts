// The scheduler as its users meet it, with kubectl on hollow nodes: where pods go, what they are told, profiles from a file, its numbers.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostExec } from "../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { HollowCluster, type Wire } from "./hollow.suite.ts";
import { BINARY, eventually } from "./support.ts";

const cluster = new HollowCluster();
const { kubectl } = cluster;
const config = join(cluster.directory, "scheduler.yaml");

beforeAll(async () => {
  writeFileSync(config, `
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
parallelism: 16
profiles:
- schedulerName: default-scheduler
- schedulerName: packer
  plugins: { score: { disabled: [{ name: NodeResourcesBalancedAllocation }] } }
  pluginConfig: [{ name: NodeResourcesFit, args: { scoringStrategy: { type: MostAllocated, resources: [{ name: cpu, weight: 1 }] } } }]
`);
  await cluster.start("--scheduler-config", config);
  await cluster.addNodes("node", 3);
}, TEST_TIMEOUT_MS);
afterAll(() => cluster.stop(), TEST_TIMEOUT_MS);

const pod = (name: string, spec: string, cpu = "0"): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, labels: { app: ${name} } }
spec:
  terminationGracePeriodSeconds: 0
  ${spec}
  containers: [{ name: c, image: i, resources: { requests: { cpu: "${cpu}" } } }]
---`;
const nodeOf = (name: string): Promise<string> => kubectl.value("{.spec.nodeName}", "pod", name);
const runs = (name: string): Promise<string> => kubectl.run("wait", "--for=condition=Ready", `pod/${name}`, "--timeout=120s");
const told = async (name: string, message: string): Promise<unknown> => eventually(`${name} is told`, async () => (await cluster.get(`/api/v1/namespaces/default/pods/${name}`)).status.conditions?.find(({ type, status }: Wire) => type === "PodScheduled" && status === "False")?.message === message);

describe("a pod that fits nowhere is told why, node by node", () => {
  test("in upstream's words", async () => {
    await kubectl.run("taint", "node", "node-0", "team=a:NoSchedule");
    await kubectl.run("cordon", "node-1");
    await kubectl.apply(pod("huge", "", "1000"));
    await told("huge", "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.");
    expect(await cluster.events("huge")).toContainEqual(expect.stringMatching(/^FailedScheduling: 0\/3 nodes are available: /));
    await kubectl.run("taint", "node", "node-0", "team-");
    await kubectl.run("uncordon", "node-1");
    await kubectl.run("delete", "pod", "huge");
  }, TEST_TIMEOUT_MS);

  test("and comes to rest where it can once the reason is gone", async () => {
    await kubectl.apply(pod("choosy", "nodeSelector: { disk: fast }"));
    await told("choosy", "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.");
    await kubectl.run("label", "node", "node-2", "disk=fast");
    await runs("choosy");
    expect(await nodeOf("choosy")).toBe("node-2");
  }, TEST_TIMEOUT_MS);

  test("when nodes do not say that they can do what it needs", async () => {
    await Promise.all([0, 1].map((i) => cluster.setStatus(`/api/v1/nodes/node-${i}`, { declaredFeatures: [] })));
    await cluster.request("POST", "/api/v1/namespaces/default/pods", { apiVersion: "v1", kind: "Pod", metadata: { name: "needy" }, spec: { containers: [{ name: "c", image: "i", restartPolicy: "Never", restartPolicyRules: [{ action: "RestartAllContainers", exitCodes: { operator: "In", values: [1] } }] }] } });
    await runs("needy");
    expect(await nodeOf("needy")).toBe("node-2");
  }, TEST_TIMEOUT_MS);
});

test("a gated pod waits for its gates, without being tried", async () => {
  await kubectl.apply(pod("gated", "schedulingGates: [{ name: example.com/first }]"));
  await eventually("it is gated", async () => (await kubectl.run("get", "pod", "gated")).includes("SchedulingGated"));
  await told("gated", "Scheduling is blocked due to non-empty scheduling gates");
  expect((await cluster.get("/metrics")).includes('scheduler_pending_pods{queue="gated"} 1\n')).toBe(true);
  await cluster.request("PATCH", "/api/v1/namespaces/default/pods/gated", { spec: { schedulingGates: [] } }, "application/merge-patch+json");
  await runs("gated");
}, TEST_TIMEOUT_MS);

test("a profile of the file packs what the default one spreads", async () => {
  await kubectl.apply(pod("heavy", "nodeName: node-1", "16"));
  await runs("heavy");
  await kubectl.apply(["p1", "p2"].map((name) => pod(name, "schedulerName: packer", "1")).join("") + pod("s1", "", "1"));
  for (const name of ["p1", "p2", "s1"]) await runs(name);
  expect([await nodeOf("p1"), await nodeOf("p2")]).toEqual(["node-1", "node-1"]);
  expect(await nodeOf("s1")).not.toBe("node-1");
  await kubectl.apply(pod("nobody", "schedulerName: unheard-of"));
  expect(await nodeOf("nobody")).toBe("");
}, TEST_TIMEOUT_MS);

test("a more important pod is nominated to the node it makes room on, and gets it though others want it too", async () => {
  const classOf = (name: string, value: number): string => `\napiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: { name: ${name} }\nvalue: ${value}\npreemptionPolicy: ${name === "high" ? "PreemptLowerPriority" : "Never"}\n---`;
  await kubectl.apply(classOf("low", 1) + classOf("middle", 50) + classOf("high", 100));
  await kubectl.run("delete", "pod", "--ignore-not-found", "heavy", "p1", "p2", "s1", "nobody");
  // They go slowly: until then the room is promised, not there.
  await kubectl.apply([0, 1, 2].map((i) => pod(`low-${i}`, `priorityClassName: low\n  nodeName: node-${i}`, "30").replace("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 10").replace("image: i,", "image: i, lifecycle: { preStop: { exec: { command: [sleep, '5'] } } },")).join(""));
  for (const i of [0, 1, 2]) await runs(`low-${i}`);
  await kubectl.apply(pod("vip", "priorityClassName: high", "30"));
  const promised = await eventually("it is promised a node", () => kubectl.value("{.status.nominatedNodeName}", "pod", "vip"));
  await kubectl.apply(pod("rival", "priorityClassName: middle", "30"));
  await runs("vip");
  expect(await nodeOf("vip")).toBe(promised);
  expect(await nodeOf("rival")).toBe("");
  expect((await cluster.get("/api/v1/namespaces/default/events?fieldSelector=reason%3DPreempted")).items.map(({ message }: Wire) => message)).toEqual([expect.stringMatching(new RegExp(`^Preempted by pod [-0-9a-f]+ on node ${promised}$`))]);
}, TEST_TIMEOUT_MS);

test("its numbers are served under upstream's names", async () => {
  const text: string = await cluster.get("/metrics");
  for (const name of ["schedule_attempts_total", "scheduling_attempt_duration_seconds", "pending_pods", "unschedulable_pods", "queue_incoming_pods_total", "framework_extension_point_duration_seconds", "plugin_evaluation_total", "preemption_attempts_total", "preemption_victims", "pod_scheduling_sli_duration_seconds", "cache_size"]) {
    expect([name, text.includes(`# TYPE scheduler_${name} `)]).toEqual([name, true]);
  }
  expect(text.split("\n").filter((line) => line.startsWith("scheduler_schedule_attempts_total"))).toContain('scheduler_schedule_attempts_total{profile="packer",result="scheduled"} 2');
}, TEST_TIMEOUT_MS);

test("a file that cannot be meant is refused at the start, with every field that is wrong", async () => {
  writeFileSync(config, "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nparallelism: 0\nprofiles: [{ pluginConfig: [{ name: InterPodAffinity, args: { hardPodAffinityWeight: 101 } }] }]\n");
  const { exitCode, stderr } = await hostExec([BINARY, "control", "--init", "--data-dir", join(cluster.directory, "never"), "--scheduler-config", config], { timeoutMs: 90_000 });
  expect(exitCode).toBe(2);
  expect(stderr).toContain("[parallelism: Invalid value: 0: should be an integer value greater than zero, profiles[0].pluginConfig[0].args.hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]]");
}, TEST_TIMEOUT_MS);
