import { describe, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { Pod } from "../../api/types.ts";
import { aNode, aPod, NODE, POD, type FakeApi } from "./fakes.ts";
import { nodeOf, settle, start } from "./harness.ts";

const PDB = builtinKind("policy", "v1", "PodDisruptionBudget");
const message = (pod: Pod): string | undefined => pod.status?.conditions?.find((c) => c.type === "PodScheduled")?.message;

/** A running pod on a node. */
function running(api: FakeApi, name: string, options: { node: string; cpu?: string; priority?: number; labels?: Record<string, string>; startedAt?: string }): void {
  const { node, cpu = "2", priority = 0, labels = {}, startedAt = "2026-01-01T00:00:00Z" } = options;
  api.put(POD, aPod(name, { cpu, labels, spec: { nodeName: node, priority }, status: { phase: "Running", startTime: startedAt } }));
}

const important = (name: string, options: Parameters<typeof aPod>[1] = {}) => aPod(name, { cpu: "3", ...options, spec: { priority: 100, ...options.spec } });

describe("preemption", () => {
  test("removes a less important pod, says so on it, and places the more important one", async () => {
    const { api, events } = start();
    api.put(NODE, aNode("a"));
    running(api, "low", { node: "a", cpu: "4" });
    api.put(POD, important("high"));
    await settle();
    expect(api.deleted).toEqual(["default/low"]);
    expect(nodeOf(api.pod("default/high"))).toBe("a");
    expect(events.filter((e) => e.reason === "Preempted")).toEqual([{ object: "low", reason: "Preempted", message: "Preempted by pod uid-default-high on node a" }]);
    expect(events[0]).toMatchObject({ reason: "FailedScheduling", message: "0/1 nodes are available: 1 Insufficient cpu." });
  });

  test("marks the victim as a target of disruption and nominates the preemptor", async () => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    running(api, "low", { node: "a", cpu: "4" });
    const patches: { name: string; status: object }[] = [];
    const patch = api.client.patch.bind(api.client);
    api.client.patch = (kind, name, body, options) => {
      patches.push({ name: name.name, status: (body as { status: object }).status });
      return patch(kind, name, body, options);
    };
    api.put(POD, important("high"));
    await settle();
    expect(patches.find((p) => p.name === "low")?.status).toMatchObject({ conditions: [{ type: "DisruptionTarget", status: "True", reason: "PreemptionByScheduler", message: "default-scheduler: preempting to accommodate a higher priority pod" }] });
    expect(patches.find((p) => p.name === "high")?.status).toMatchObject({ nominatedNodeName: "a" });
  });

  test("takes only as many pods as it must, sparing the important ones", async () => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    running(api, "minor", { node: "a", priority: 1 });
    running(api, "major", { node: "a", priority: 50 });
    api.put(POD, important("high", { cpu: "2" }));
    await settle();
    expect(api.deleted).toEqual(["default/minor"]);
  });

  test.each<[string, (api: FakeApi) => void, string[]]>([
    ["the least important victims", (api) => {
      running(api, "on-a", { node: "a", cpu: "4", priority: 10 });
      running(api, "on-b", { node: "b", cpu: "4", priority: 5 });
    }, ["default/on-b"]],
    ["fewer victims", (api) => {
      for (const i of [1, 2]) running(api, `on-a${i}`, { node: "a" });
      running(api, "on-b", { node: "b", cpu: "4" });
    }, ["default/on-b"]],
    ["victims that started last", (api) => {
      running(api, "old", { node: "a", cpu: "4", startedAt: "2026-01-01T00:00:00Z" });
      running(api, "young", { node: "b", cpu: "4", startedAt: "2026-02-01T00:00:00Z" });
    }, ["default/young"]],
    ["victims no budget protects", (api) => {
      api.put(PDB, { metadata: { name: "guard", namespace: "default" }, spec: { selector: { matchLabels: { app: "guarded" } } }, status: { disruptionsAllowed: 0 } } as never);
      running(api, "guarded", { node: "a", cpu: "4", priority: 1, labels: { app: "guarded" } });
      running(api, "free", { node: "b", cpu: "4", priority: 5 });
    }, ["default/free"]],
  ])("prefers the node with %s", async (_what, fill, deleted) => {
    const { api } = start();
    for (const name of ["a", "b"]) api.put(NODE, aNode(name));
    fill(api);
    api.put(POD, important("high"));
    await settle();
    expect(api.deleted).toEqual(deleted);
  });

  test("violates a budget when there is no other way", async () => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    api.put(PDB, { metadata: { name: "guard", namespace: "default" }, spec: { selector: { matchLabels: { app: "guarded" } } }, status: { disruptionsAllowed: 0 } } as never);
    running(api, "guarded", { node: "a", cpu: "4", labels: { app: "guarded" } });
    api.put(POD, important("high"));
    await settle();
    expect(api.deleted).toEqual(["default/guarded"]);
  });

  test("also ends anti-affinity and port conflicts", async () => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    api.put(POD, aPod("low", { ports: [80], labels: { app: "x" }, spec: { nodeName: "a", priority: 0 }, status: { phase: "Running" } }));
    api.put(POD, important("high", { ports: [80], spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "x" } } }] } } } }));
    await settle();
    expect(nodeOf(api.pod("default/high"))).toBe("a");
  });

  test("says on how many nodes it would not help, in upstream's words", async () => {
    const { api } = start();
    for (const name of ["a", "b"]) api.put(NODE, aNode(name));
    api.put(NODE, aNode("c", { taints: [{ key: "x", effect: "NoSchedule" }] }));
    running(api, "peer", { node: "a", cpu: "4", priority: 100 });
    running(api, "lesser", { node: "b", cpu: "1", priority: 1 });
    running(api, "greater", { node: "b", cpu: "3", priority: 200 });
    api.put(POD, important("high"));
    await settle();
    expect(message(api.pod("default/high"))).toBe("0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.");
    expect(api.deleted).toEqual([]);
  });

  test("is not for pods that say Never", async () => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    running(api, "low", { node: "a", cpu: "4" });
    api.put(POD, important("polite", { spec: { preemptionPolicy: "Never" } }));
    await settle();
    expect(api.deleted).toEqual([]);
    expect(message(api.pod("default/polite"))).toEndWith("preemption: not eligible due to preemptionPolicy=Never.");
  });

  test("waits for a victim that takes its time, and keeps the room from lesser pods", async () => {
    const { api, events } = start();
    api.put(NODE, aNode("a"));
    running(api, "slow", { node: "a", cpu: "4" });
    api.client.delete = async (_kind, name) => {
      const pod = api.pod(`default/${name.name}`);
      api.deleted.push(name.name);
      api.put(POD, { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2027-01-15T08:00:00Z" } });
    };
    api.put(POD, important("high"));
    await settle();
    expect(api.deleted).toEqual(["slow"]);
    expect(api.pod("default/high").status?.nominatedNodeName).toBe("a");
    expect(events.filter((e) => e.object === "high")).toHaveLength(1);
    api.put(POD, aPod("lesser", { cpu: "2", spec: { priority: 50 } }));
    await settle();
    api.remove(POD, "default/slow");
    await settle();
    expect(nodeOf(api.pod("default/high"))).toBe("a");
    expect(nodeOf(api.pod("default/lesser"))).toBeUndefined();
    expect(api.deleted).toEqual(["slow"]);
  });
});
