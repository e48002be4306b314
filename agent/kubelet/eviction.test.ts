// Who goes when a node runs out, what they are told, and what the node's conditions say.
import { afterEach, expect, test } from "bun:test";
import type { Pod } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { aContainer, aPod, conditionOf, Rig } from "./builders.ts";
import { Eviction } from "./eviction.ts";
import { SignalReader, type Signal } from "./evictionsignals.ts";
import { localStorageBreach, lowResourceMessage, rankForDisk, rankForMemory, rankForPids, type PodUsage } from "./evictionrank.ts";

const MI = 1024 * 1024;
const usage = (name: string, memory: number, options: { request?: string; priority?: number } = {}): PodUsage => ({
  uid: name,
  pod: aPod({ name, uid: name, spec: { ...(options.priority !== undefined && { priority: options.priority }), containers: [aContainer({ ...(options.request && { resources: { requests: { memory: options.request } } }) })] } }),
  containers: [{ name: "app", memoryBytes: memory * MI, diskBytes: 0 }],
});

test("those over their request go first, then the less important, then the greedier", () => {
  const ranked = rankForMemory([usage("within", 50, { request: "100Mi" }), usage("important", 500, { priority: 10 }), usage("little", 10), usage("greedy", 90)]);
  expect(ranked.map(({ uid }) => uid)).toEqual(["greedy", "little", "important", "within"]);
});

test("what a pod keeps in its volumes and logs counts when the disk is full", () => {
  const ranked = rankForDisk([{ ...usage("little", 0), localBytes: MI }, { ...usage("much", 0), localBytes: 90 * MI }]);
  expect(ranked.map(({ uid }) => uid)).toEqual(["much", "little"]);
});

test("when process ids run out the less important goes first, then who has most of them", () => {
  const ranked = rankForPids([{ ...usage("few", 0), processes: 3 }, { ...usage("important", 0, { priority: 10 }), processes: 900 }, { ...usage("many", 0), processes: 30 }]);
  expect(ranked.map(({ uid }) => uid)).toEqual(["many", "few", "important"]);
});

test("the message tells the threshold and who used more than it asked for", () => {
  expect(lowResourceMessage({ resource: "memory", threshold: 100 * MI, available: 50 * MI }, usage("p", 60))).toBe("The node was low on resource: memory. Threshold quantity: 100Mi, available: 51200Ki. Container app was using 61440Ki, request is 0, has larger consumption of memory. ");
});

test("a pod that breaks its own storage limits is told which", () => {
  const pod: Pod = aPod({ spec: { volumes: [{ name: "v", emptyDir: { sizeLimit: "1Mi" } }], containers: [aContainer({ resources: { limits: { "ephemeral-storage": "2Mi" } } })] } });
  expect(localStorageBreach(pod, { emptyDirs: { v: MI }, containers: {} })).toBeUndefined();
  expect(localStorageBreach(pod, { emptyDirs: { v: MI + 1 }, containers: {} })).toBe(`Usage of EmptyDir volume "v" exceeds the limit "1Mi". `);
  expect(localStorageBreach(pod, { emptyDirs: {}, containers: { app: 3 * MI } })).toBe(`Container app exceeded its local ephemeral storage limit "2Mi". `);
  expect(localStorageBreach(pod, { emptyDirs: { v: MI }, containers: { app: 2 * MI } })).toBe("Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ");
});

let rig: Rig;
afterEach(() => rig?.close());

test("under pressure one pod at a time is evicted, and the condition outlasts its cause by five minutes", async () => {
  rig = await new Rig().start();
  await rig.create(aPod());
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  const clock = new FakeClock(0);
  let signals: Signal[] = [{ resource: "memory", available: 1, threshold: 2 }];
  const changes: string[] = [];
  const eviction = new Eviction({ node: rig.kubelet.node, pods: rig.kubelet.pods, stats: rig.kubelet.stats, clock, exec: async () => ({ exitCode: 0, stdout: "", stderr: "" }), freeImages: async () => 0, signals: async () => signals, onChange: () => void changes.push("changed") });
  await eviction.check();
  const pod = await rig.until((p) => p?.status?.phase === "Failed");
  expect(pod.status?.reason).toBe("Evicted");
  expect(pod.status?.conditions?.find((c) => c.type === "DisruptionTarget")).toMatchObject({ status: "True", reason: "TerminationByKubelet" });
  expect(eviction.pressure()).toEqual({ memory: true, disk: false, pid: false });
  signals = [];
  await clock.advance(299_000);
  expect(eviction.pressure().memory).toBe(true);
  await clock.advance(2_000);
  expect(eviction.pressure().memory).toBe(false);
  expect(changes).toEqual(["changed"]);
});

test("once something was low it stays so until the minimum is reclaimed too", async () => {
  rig = await new Rig().start();
  const clock = new FakeClock(0);
  let available = 1;
  const eviction = new Eviction({ node: rig.kubelet.node, pods: rig.kubelet.pods, stats: rig.kubelet.stats, clock, exec: async () => ({ exitCode: 0, stdout: "", stderr: "" }), freeImages: async () => 0, signals: async () => [{ resource: "pids", available, threshold: 10, reclaim: 5 }], onChange: () => {} });
  const isLow = async (now: number): Promise<boolean> => {
    available = now;
    await clock.advance(301_000);
    await eviction.check();
    return eviction.pressure().pid;
  };
  expect(await isLow(12)).toBe(false);
  expect(await isLow(9)).toBe(true);
  expect(await isLow(12)).toBe(true);
  expect(await isLow(15)).toBe(false);
  expect(await isLow(12)).toBe(false);
});

test("images on a file system of their own have signals of their own", async () => {
  rig = await new Rig().start();
  const names = async (imagePath: string): Promise<(string | undefined)[]> => {
    const { node } = rig.kubelet;
    const runtime = { ...node.runtime, images: { ...node.runtime.images, usage: async () => ({ usedBytes: 0, inodesUsed: 0, path: imagePath }) } };
    return (await new SignalReader().read({ ...node, runtime })).map(({ name }) => name).filter((name) => name?.endsWith("available"));
  };
  expect(await names(rig.dir)).toEqual(["memory.available", "nodefs.available", "pid.available"]);
  expect(await names("/proc")).toEqual(["memory.available", "nodefs.available", "imagefs.available", "pid.available"]);
});

test("a soft threshold waits for its grace whatever is done to the date, gives the pod its time and tells the node what is reclaimed", async () => {
  rig = await new Rig().start();
  await rig.create(aPod({ spec: { terminationGracePeriodSeconds: 60 } }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
  const clock = new FakeClock(0);
  const events: string[] = [];
  const node = { ...rig.kubelet.node, recorder: { event: (about: { kind?: string }, type: string, reason: string, message: string) => void events.push(`${about.kind} ${type} ${reason} ${message}`) } };
  const eviction = new Eviction({ node, pods: rig.kubelet.pods, stats: rig.kubelet.stats, clock, exec: async () => ({ exitCode: 0, stdout: "", stderr: "" }), freeImages: async () => 0, signals: async () => [{ resource: "memory", available: 1, threshold: 2, soft: { graceMs: 60_000, maxGraceSeconds: 7 } }], onChange: () => {} });
  await eviction.check();
  expect(eviction.pressure().memory).toBe(true);
  clock.jump(3_600_000);
  await eviction.check();
  expect(events).toEqual([]);
  await clock.advance(60_000);
  await eviction.check();
  expect(events[0]).toBe("Node Warning EvictionThresholdMet Attempting to reclaim memory");
  expect(events[1]).toStartWith("Pod Warning Evicted The node was low on resource: memory. ");
});

test("the memory of all pods is a signal of its own where it is limited, with the node's threshold", async () => {
  rig = await new Rig().start();
  const { node } = rig.kubelet;
  const figures = await node.cgroups.allFigures();
  const memory = { ...figures.memory, limitBytes: 1000 * MI, workingSetBytes: 950 * MI };
  const signals = await new SignalReader().read({ ...node, cgroups: { ...node.cgroups, allFigures: async () => ({ ...figures, memory }) } });
  expect(signals.find(({ name }) => name === "allocatableMemory.available")).toMatchObject({ resource: "memory", available: 50 * MI, threshold: 100 * MI });
});
