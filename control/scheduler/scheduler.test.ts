import { describe, expect, test } from "bun:test";
import { conflict } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod } from "../../api/types.ts";
import { aNode, aPod, NODE, POD, type FakeApi } from "./fakes.ts";
import { nodeOf, settle, start } from "./harness.ts";

const condition = (pod: Pod) => pod.status?.conditions?.find((c) => c.type === "PodScheduled");
const near = (app: string, topologyKey = "zone") => ({ topologyKey, labelSelector: { matchLabels: { app } } });
const requireDb = (term: object) => ({ affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ ...near("db"), ...term }] } } });
const wish = (kind: "podAffinity" | "podAntiAffinity") => ({ affinity: { [kind]: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: near("db") }] } } });

describe("placing", () => {
  test("a pod lands on the only node and an event says so", async () => {
    const { api, events } = start();
    api.put(NODE, aNode("a"));
    api.put(POD, aPod("web"));
    await settle();
    expect(nodeOf(api.pod("default/web"))).toBe("a");
    expect(events).toEqual([{ object: "web", reason: "Scheduled", message: "Successfully assigned default/web to a" }]);
  });

  test("a pod goes to the emptier node", async () => {
    const { api } = start();
    api.put(NODE, aNode("busy"));
    api.put(NODE, aNode("free"));
    api.put(POD, aPod("old", { cpu: "2", memory: "4Gi", spec: { nodeName: "busy" } }));
    api.put(POD, aPod("new", { cpu: "1", memory: "1Gi" }));
    await settle();
    expect(nodeOf(api.pod("default/new"))).toBe("free");
  });

  test("pods being bound count before the API says so, so a node is never overfilled", async () => {
    const { api } = start();
    for (const name of ["a", "b"]) api.put(NODE, aNode(name, { cpu: "2" }));
    for (let i = 0; i < 5; i++) api.put(POD, aPod(`p${i}`, { cpu: "1" }));
    await settle();
    const placed = [0, 1, 2, 3, 4].map((i) => nodeOf(api.pod(`default/p${i}`)));
    expect(placed.filter((n) => n === "a")).toHaveLength(2);
    expect(placed.filter((n) => n === "b")).toHaveLength(2);
    expect(placed.filter((n) => n === undefined)).toHaveLength(1);
  });

  test("a pod that asks for another scheduler is left alone", async () => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    api.put(POD, aPod("web", { spec: { schedulerName: "other" } }));
    await settle();
    expect(nodeOf(api.pod("default/web"))).toBeUndefined();
  });

  test("higher priority goes first", async () => {
    const { api } = start();
    api.put(POD, aPod("low", { cpu: "3", spec: { priority: 1 } }));
    api.put(POD, aPod("high", { cpu: "3", spec: { priority: 10 } }));
    await settle();
    api.put(NODE, aNode("a"));
    await settle();
    expect(nodeOf(api.pod("default/high"))).toBe("a");
    expect(nodeOf(api.pod("default/low"))).toBeUndefined();
  });

  test("the images a node holds draw pods to it", async () => {
    const { api } = start();
    for (const name of ["a", "b", "c"]) api.put(NODE, aNode(name, { images: name === "b" ? [{ names: ["app:1"], sizeBytes: 3e9 }] : [] }));
    api.put(POD, aPod("web"));
    await settle();
    expect(nodeOf(api.pod("default/web"))).toBe("b");
  });

  test("node affinity preferences decide between nodes that fit", async () => {
    const { api } = start();
    for (const name of ["a", "b", "c"]) api.put(NODE, aNode(name, { labels: { disk: name === "c" ? "ssd" : "hdd" } }));
    api.put(POD, aPod("db", { spec: { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: { matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }] } }] } } } }));
    await settle();
    expect(nodeOf(api.pod("default/db"))).toBe("c");
  });

  test("a node with a PreferNoSchedule taint comes last", async () => {
    const { api } = start();
    api.put(NODE, aNode("a", { taints: [{ key: "old", effect: "PreferNoSchedule" }] }));
    api.put(NODE, aNode("b"));
    for (const name of ["p", "q"]) api.put(POD, aPod(name));
    await settle();
    expect([nodeOf(api.pod("default/p")), nodeOf(api.pod("default/q"))]).toEqual(["b", "b"]);
  });

  test("replicas spread over nodes and zones by what owns them", async () => {
    const { api } = start();
    const set = builtinKind("apps", "v1", "ReplicaSet");
    api.put(set, { metadata: { name: "web", namespace: "default" }, spec: { selector: { matchLabels: { app: "web" } } } } as never);
    for (let i = 0; i < 6; i++) api.put(NODE, aNode(`n${i}`, { labels: { "topology.kubernetes.io/zone": `z${i % 3}` } }));
    const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "u", controller: true };
    for (let i = 0; i < 6; i++) api.put(POD, aPod(`w${i}`, { labels: { app: "web" }, metadata: { ownerReferences: [owner] } }));
    await settle();
    expect(new Set([0, 1, 2, 3, 4, 5].map((i) => nodeOf(api.pod(`default/w${i}`)))).size).toBe(6);
  });
});

describe("saying why not", () => {
  test("without nodes the pod says so and waits", async () => {
    const { api } = start();
    api.put(POD, aPod("web"));
    await settle();
    expect(condition(api.pod("default/web"))).toMatchObject({ status: "False", reason: "Unschedulable", message: "no nodes available to schedule pods" });
  });

  test("reasons are counted and sorted as upstream does", async () => {
    const { api, events } = start();
    api.put(NODE, aNode("a", { cpu: "1" }));
    api.put(NODE, aNode("b", { cpu: "1", memory: "1Gi" }));
    api.put(NODE, aNode("c", { taints: [{ key: "gpu", value: "yes", effect: "NoSchedule" }] }));
    api.put(NODE, aNode("d", { unschedulable: true }));
    api.put(NODE, aNode("e", { taints: [{ key: "x", effect: "NoExecute" }] }));
    api.put(POD, aPod("big", { cpu: "2", memory: "2Gi" }));
    await settle();
    const message = "0/5 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable, 2 Insufficient cpu, 2 node(s) had untolerated taint(s).";
    expect(condition(api.pod("default/big"))?.message).toStartWith(message);
    expect(events[0]).toMatchObject({ object: "big", reason: "FailedScheduling" });
    expect(events[0]?.message).toStartWith(message);
  });

  test.each<[string, Parameters<typeof aPod>[1], string]>([
    ["a node selector", { spec: { nodeSelector: { disk: "ssd" } } }, "1 node(s) didn't match Pod's node affinity/selector"],
    ["a host port in use", { ports: [80] }, "1 node(s) didn't have free ports for the requested pod ports"],
    ["an unknown extended resource", { extra: { "example.com/gpu": "1" } }, "1 Insufficient example.com/gpu"],
    ["too many pods", {}, "1 Too many pods"],
    ["affinity to pods that are not there", { spec: { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "none" } } }] } } } }, "1 node(s) didn't match pod affinity rules"],
    ["anti-affinity to a pod there", { spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "loner" } } }] } } } }, "1 node(s) didn't match pod anti-affinity rules"],
    ["a placed pod's anti-affinity", { labels: { app: "shunned" } }, "1 node(s) didn't satisfy existing pods anti-affinity rules"],
    ["a missing topology label", { labels: { app: "s" }, spec: { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", labelSelector: { matchLabels: { app: "s" } } }] } }, "1 node(s) didn't match pod topology spread constraints (missing required label)"],
  ])("%s is named", async (what, options, reason) => {
    const { api } = start();
    api.put(NODE, aNode("a", { pods: what === "too many pods" ? "1" : "10" }));
    api.put(POD, aPod("there", {
      ports: [80], labels: { app: "loner" },
      spec: { nodeName: "a", affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "shunned" } } }] } } },
    }));
    api.put(POD, aPod("new", options));
    await settle();
    expect(nodeOf(api.pod("default/new"))).toBeUndefined();
    expect(condition(api.pod("default/new"))?.message).toStartWith(`0/1 nodes are available: ${reason}.`);
  });

  test("nodes a daemon pod is not meant for are counted together", async () => {
    const { api } = start();
    for (const name of ["a", "b", "c"]) api.put(NODE, aNode(name, { cpu: "1" }));
    const term = { matchFields: [{ key: "metadata.name", operator: "In", values: ["b"] }] };
    api.put(POD, aPod("d", { cpu: "2", spec: { affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] } } } } }));
    await settle();
    expect(condition(api.pod("default/d"))?.message).toStartWith("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity].");
  });

  test("a spread constraint that would be broken keeps the pod waiting", async () => {
    const { api } = start();
    for (const name of ["a", "b"]) api.put(NODE, aNode(name, { labels: { zone: name }, cpu: name === "b" ? "1" : "8" }));
    const spec = { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule", labelSelector: { matchLabels: { app: "s" } } }] };
    for (let i = 0; i < 4; i++) api.put(POD, aPod(`s${i}`, { labels: { app: "s" }, cpu: "1", spec }));
    await settle();
    expect([0, 1, 2].map((i) => nodeOf(api.pod(`default/s${i}`))).toSorted()).toEqual(["a", "a", "b"]);
    expect(condition(api.pod("default/s3"))?.message).toStartWith("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints.");
  });
});

describe("waiting", () => {
  test("a new node lets the pod in", async () => {
    const { api } = start();
    api.put(NODE, aNode("small", { cpu: "1" }));
    api.put(POD, aPod("big", { cpu: "2" }));
    await settle();
    api.put(NODE, aNode("large"));
    await settle();
    expect(nodeOf(api.pod("default/big"))).toBe("large");
  });

  test.each([
    ["a pod that leaves", (api: FakeApi) => api.remove(POD, "default/old")],
    ["a pod that finishes", (api: FakeApi) => void api.put(POD, { ...api.pod("default/old"), status: { phase: "Succeeded" } })],
    ["more allocatable", (api: FakeApi) => void api.put(NODE, aNode("a", { cpu: "16" }))],
  ])("%s makes room", async (_what, change) => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    api.put(POD, aPod("old", { cpu: "3", spec: { nodeName: "a" } }));
    api.put(POD, aPod("new", { cpu: "3" }));
    await settle();
    expect(nodeOf(api.pod("default/new"))).toBeUndefined();
    change(api);
    await settle();
    expect(nodeOf(api.pod("default/new"))).toBe("a");
  });

  test("a taint that goes lets the pod in", async () => {
    const { api } = start();
    api.put(NODE, aNode("a", { taints: [{ key: "node.kubernetes.io/not-ready", effect: "NoSchedule" }] }));
    api.put(POD, aPod("web"));
    await settle();
    expect(nodeOf(api.pod("default/web"))).toBeUndefined();
    api.put(NODE, aNode("a"));
    await settle();
    expect(nodeOf(api.pod("default/web"))).toBe("a");
  });

  test("a pod with gates is not tried until the last gate is gone", async () => {
    const { api, events } = start();
    api.put(NODE, aNode("a"));
    api.put(POD, aPod("gated", { spec: { schedulingGates: [{ name: "example.com/wait" }] } }));
    await settle();
    expect(events).toEqual([]);
    api.put(POD, aPod("gated", { spec: { schedulingGates: [] }, metadata: { generation: 2 } }));
    await settle();
    expect(nodeOf(api.pod("default/gated"))).toBe("a");
  });

  test("its own status update does not make a pod try again", async () => {
    const { api, events } = start();
    api.put(NODE, aNode("a", { cpu: "1" }));
    api.put(POD, aPod("big", { cpu: "2" }));
    await settle();
    expect(events.filter((e) => e.reason === "FailedScheduling")).toHaveLength(1);
  });

  test("a pod no event helps is tried again after five minutes", async () => {
    const { api, clock, events } = start();
    api.put(NODE, aNode("a", { cpu: "1" }));
    api.put(POD, aPod("big", { cpu: "2" }));
    await settle();
    await clock.advance(5 * 60_000 + 1);
    await settle();
    expect(events.filter((e) => e.reason === "FailedScheduling")).toHaveLength(2);
  });
});

describe("binding", () => {
  test("a refused binding gives the room back and is tried again after a rest", async () => {
    const { api, clock, events } = start();
    api.put(NODE, aNode("a"));
    api.bindError = conflict(POD, "web", "busy");
    api.put(POD, aPod("web"));
    await settle();
    expect(events[0]).toEqual({ object: "web", reason: "FailedScheduling", message: 'binding rejected: Operation cannot be fulfilled on pods "web": busy' });
    expect(condition(api.pod("default/web"))).toMatchObject({ reason: "SchedulerError" });
    expect(nodeOf(api.pod("default/web"))).toBeUndefined();
    await clock.advance(1_000);
    await settle();
    expect(nodeOf(api.pod("default/web"))).toBe("a");
  });

  test("a pod deleted while it is bound leaves nothing behind", async () => {
    const { api } = start();
    api.put(NODE, aNode("a"));
    api.put(POD, aPod("brief", { cpu: "4" }));
    api.remove(POD, "default/brief");
    api.put(POD, aPod("next", { cpu: "4" }));
    await settle();
    expect(nodeOf(api.pod("default/next"))).toBe("a");
  });
});

describe("pods among pods", () => {
  test("the first pod of a group that wants to be together may begin anywhere, the rest join it", async () => {
    const { api } = start();
    for (const name of ["a", "b", "c"]) api.put(NODE, aNode(name, { labels: { zone: name } }));
    const spec = { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [near("g")] } } };
    for (let i = 0; i < 3; i++) api.put(POD, aPod(`g${i}`, { labels: { app: "g" }, spec }));
    await settle();
    expect(new Set([0, 1, 2].map((i) => nodeOf(api.pod(`default/g${i}`)))).size).toBe(1);
  });

  test("affinity looks into other namespaces only by name or by their labels", async () => {
    const { api } = start();
    for (const name of ["a", "b"]) api.put(NODE, aNode(name, { labels: { zone: name } }));
    api.put(builtinKind("", "v1", "Namespace"), { metadata: { name: "team", labels: { kind: "shared" } } });
    api.put(POD, aPod("db", { namespace: "team", labels: { app: "db" }, spec: { nodeName: "b" } }));
    api.put(POD, aPod("own", { spec: requireDb({}) }));
    api.put(POD, aPod("named", { spec: requireDb({ namespaces: ["team"] }) }));
    api.put(POD, aPod("selected", { spec: requireDb({ namespaceSelector: { matchLabels: { kind: "shared" } } }) }));
    await settle();
    expect(["own", "named", "selected"].map((name) => nodeOf(api.pod(`default/${name}`)))).toEqual([undefined, "b", "b"]);
  });

  test("a preference for company is followed, one against it too", async () => {
    const { api } = start();
    for (const name of ["a", "b", "c"]) api.put(NODE, aNode(name, { labels: { zone: name } }));
    api.put(POD, aPod("db", { labels: { app: "db" }, spec: { nodeName: "b" } }));
    api.put(POD, aPod("friend", { spec: wish("podAffinity") }));
    api.put(POD, aPod("stranger", { spec: wish("podAntiAffinity") }));
    await settle();
    expect(nodeOf(api.pod("default/friend"))).toBe("b");
    expect(nodeOf(api.pod("default/stranger"))).not.toBe("b");
  });
});
