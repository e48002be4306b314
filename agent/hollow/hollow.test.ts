// Hollow nodes as a user of the API sees them, on the kubelet tests' API server in memory.
import { afterEach, expect, test } from "bun:test";
import type { Component } from "../../lib/component.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, Pod, Stored } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { FakeApi, fakeInformers } from "../kubelet/fakeapi.ts";
import { createHollow, type HollowOptions } from "./hollow.ts";
import { aContainer, aPod } from "../kubelet/builders.ts";

const POD = builtinKind("", "v1", "Pod");
const NODE = builtinKind("", "v1", "Node");
const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const START = Date.parse("2026-01-01T00:00:00Z");

let api: FakeApi;
let clock: FakeClock;
let hollow: Component | undefined;
afterEach(() => hollow?.stop());

async function start(options: Partial<HollowOptions> = {}): Promise<void> {
  clock = new FakeClock(START);
  api = new FakeApi();
  await startAgain(options);
}

async function startAgain(options: Partial<HollowOptions> = {}): Promise<void> {
  // The fake knows no `!=`; the whole list holds nothing that matters here.
  const informers = fakeInformers(api);
  hollow = createHollow({ client: api, informers: { ...informers, for: (kind) => informers.for(kind) }, clock, count: 3, namePrefix: "hollow", version: "v1.36.2", ...options });
  await hollow.start();
}

/** Everything that can happen at this moment happens. */
async function settle(ms = 0): Promise<void> {
  await clock.advance(ms);
  for (let turn = 0; turn < 20; turn++) await clock.advance(1);
}

async function pod(name = "p"): Promise<Stored<Pod> | undefined> {
  return api.get<Pod>(POD, { name, namespace: "default" }).catch(() => undefined);
}

const on = (nodeName: string, pod: Pod): Pod => ({ ...pod, spec: { ...pod.spec!, nodeName } });
const ready = (found: Stored<Pod> | undefined): string | undefined => found?.status?.conditions?.find(({ type }) => type === "Ready")?.status;

test("every node registers Ready, with capacity, a label to find it by, and a heartbeat", async () => {
  await start();
  await settle(10_000);
  const nodes = (await api.list<Node>(NODE)).items;
  expect(nodes.map(({ metadata }) => metadata.name).sort()).toEqual(["hollow-0", "hollow-1", "hollow-2"]);
  for (const { metadata, status } of nodes) {
    expect(metadata.labels).toMatchObject({ "minik8s.io/hollow": "true", "kubernetes.io/hostname": metadata.name });
    expect(status?.conditions?.find(({ type }) => type === "Ready")?.status).toBe("True");
    expect(status?.allocatable).toMatchObject({ cpu: "32", pods: "110" });
    expect(status?.addresses).toContainEqual({ type: "InternalIP", address: `100.64.${metadata.name.at(-1)}.0` });
    expect(status?.daemonEndpoints?.kubeletEndpoint?.Port).toBe(0);
  }
  expect((await api.list(LEASE)).items.map(({ metadata }) => metadata.name).sort()).toEqual(["hollow-0", "hollow-1", "hollow-2"]);
});

test("a bound pod becomes Ready with an address of its own; pods of other nodes are left alone", async () => {
  await start();
  await api.create(POD, on("hollow-1", aPod()));
  await api.create(POD, on("hollow-1", aPod({ metadata: { name: "q", namespace: "default" } })));
  await api.create(POD, on("real", aPod({ metadata: { name: "r", namespace: "default" } })));
  await settle();
  const [p, q, r] = await Promise.all([pod(), pod("q"), pod("r")]);
  expect(p?.status).toMatchObject({ phase: "Running", containerStatuses: [{ name: "app", ready: true, started: true, restartCount: 0 }] });
  expect([ready(p), ready(q)]).toEqual(["True", "True"]);
  expect(p?.status?.podIP).toBeDefined();
  expect(p?.status?.hostIP).toBe("100.64.1.0");
  expect(q?.status?.podIP).not.toBe(p?.status?.podIP as string);
  expect(r?.status?.phase).toBeUndefined();
});

test("a pod takes as long to start as it was told to", async () => {
  await start({ startLatencyMs: 5_000 });
  await api.create(POD, on("hollow-0", aPod()));
  await settle(4_000);
  expect((await pod())?.status).toMatchObject({ phase: "Pending", containerStatuses: [{ state: { waiting: { reason: "ContainerCreating" } } }] });
  await settle(1_000);
  expect(ready(await pod())).toBe("True");
});

test("a deleted pod shows how it ended and is gone", async () => {
  await start();
  await api.create(POD, on("hollow-0", aPod()));
  await settle();
  const seen: unknown[] = [];
  api.listen((_kind, { object }) => seen.push((object as unknown as Pod).status?.containerStatuses?.[0]?.state?.terminated?.exitCode));
  await api.delete(POD, { name: "p", namespace: "default" });
  await settle();
  expect(seen).toContain(0);
  expect(await pod()).toBeUndefined();
});

test("a deleted pod runs on while its containers' preStop takes, and no longer than its grace period", async () => {
  await start();
  const base = aPod();
  const stopping = (name: string, preStop: object, command: string[]): Pod => on("hollow-0", { ...base, metadata: { name, namespace: "default" }, spec: { ...base.spec!, terminationGracePeriodSeconds: 10, containers: [aContainer({ command, lifecycle: { preStop } })] } });
  await api.create(POD, stopping("p", { sleep: { seconds: 5 } }, ["run"]));
  await api.create(POD, stopping("q", { exec: { command: ["sleep", "100"] } }, ["run"]));
  await api.create(POD, stopping("stubborn", {}, ["sh", "-c", "trap '' TERM; run"]));
  await settle();
  for (const name of ["p", "q", "stubborn"]) await api.delete(POD, { name, namespace: "default" }, { gracePeriodSeconds: 10 });
  await settle(4_000);
  expect((await pod())?.status?.containerStatuses?.[0]?.state?.running).toBeDefined();
  await settle(1_100);
  expect(await pod()).toBeUndefined();
  expect((await pod("q"))?.status?.containerStatuses?.[0]?.state?.running).toBeDefined();
  // The fake API gives every deleted pod until a minute after its creation.
  await settle(55_000);
  expect([await pod("q"), await pod("stubborn")]).toEqual([undefined, undefined]);
});

test("nodes carry the labels they are given", async () => {
  await start({ labels: { "topology.kubernetes.io/zone": "a" } });
  expect((await api.get<Node>(NODE, { name: "hollow-2" })).metadata.labels).toMatchObject({ "topology.kubernetes.io/zone": "a", "minik8s.io/hollow": "true" });
});

test("a command that ends completes its pod", async () => {
  await start();
  const base = aPod();
  await api.create(POD, on("hollow-0", { ...base, spec: { ...base.spec!, restartPolicy: "Never", containers: [aContainer({ command: ["sleep", "3"] })] } }));
  await settle(2_000);
  expect((await pod())?.status?.phase).toBe("Running");
  await settle(2_000);
  expect((await pod())?.status).toMatchObject({ phase: "Succeeded", containerStatuses: [{ state: { terminated: { exitCode: 0, reason: "Completed" } } }] });
});

test("a container that fails is started again, then in CrashLoopBackOff, then tried again", async () => {
  let failures = 2;
  await start({ failureRate: 0.5, random: () => (failures-- > 0 ? 0 : 1) });
  await api.create(POD, on("hollow-0", aPod()));
  await settle();
  expect((await pod())?.status?.containerStatuses?.[0]).toMatchObject({ ready: false, restartCount: 1, state: { waiting: { reason: "CrashLoopBackOff" } }, lastState: { terminated: { exitCode: 1, reason: "Error" } } });
  await settle(10_000);
  expect((await pod())?.status?.containerStatuses?.[0]).toMatchObject({ ready: true, restartCount: 2, state: { running: {} } });
});

test("init containers come first, and one that fails with policy Never fails the pod", async () => {
  await start();
  const base = aPod();
  const init = (name: string, command: string[]): Pod => on("hollow-0", { ...base, metadata: { name, namespace: "default" }, spec: { ...base.spec!, restartPolicy: "Never", initContainers: [{ name: "first", image: "i", command }] } });
  await api.create(POD, init("p", ["sleep", "2"]));
  await api.create(POD, init("q", ["false"]));
  await settle();
  expect((await pod())?.status).toMatchObject({ phase: "Pending", containerStatuses: [{ state: { waiting: { reason: "PodInitializing" } } }] });
  expect((await pod("q"))?.status?.phase).toBe("Failed");
  await settle(2_000);
  expect(ready(await pod())).toBe("True");
});

test("started again, hollow nodes adopt their pods and restart none", async () => {
  await start();
  await api.create(POD, on("hollow-0", aPod()));
  await settle();
  const before = await pod();
  await hollow?.stop();
  await clock.advance(60_000);
  await startAgain();
  await settle();
  expect((await pod())?.status).toEqual(before?.status as NonNullable<Pod["status"]>);
});

test("a node somebody deleted comes back with its next report", async () => {
  await start();
  await api.delete(NODE, { name: "hollow-1" });
  await settle(300_000);
  expect((await api.list<Node>(NODE)).items).toHaveLength(3);
});
