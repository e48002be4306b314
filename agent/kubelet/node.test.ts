// The Node object: registered once, kept true, and fair to what others write on it.
import { afterEach, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { Lease, Node, Stored } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { eventually } from "../../lib/testing.ts";
import { FakeRuntime } from "../runtime/fake.ts";
import { FakeApi } from "./fakeapi.ts";
import { DEFAULT_CONFIGURATION } from "./configuration.ts";
import { createNode, type NodeComponent } from "./node.ts";
import type { Pressure } from "./nodestatus.ts";
import { settingsOf } from "./settings.ts";

const NODE = builtinKind("", "v1", "Node");
let node: NodeComponent;
afterEach(() => node.stop());

async function started(api = new FakeApi(), pressure: () => Pressure = () => ({ memory: false, disk: false, pid: false }), configuration: object = {}): Promise<{ api: FakeApi; events: string[] }> {
  const events: string[] = [];
  node = createNode({ client: api, runtime: new FakeRuntime(), clock: systemClock, recorder: { event: (_about, _type, reason) => void events.push(reason) }, nodeName: "n1", nodeIp: "10.0.0.1", dataDir: "/tmp", version: "v1.36.2", labels: { extra: "yes" }, pressure, settings: settingsOf({ ...DEFAULT_CONFIGURATION, kubeReserved: { cpu: "500m" }, ...configuration }) });
  await node.start();
  return { api, events };
}
const read = (api: FakeApi): Promise<Stored<Node>> => api.get<Node>(NODE, { name: "n1" });
const until = (api: FakeApi, holds: (node: Stored<Node>) => boolean): Promise<Stored<Node>> =>
  eventually("what the node says of itself", async () => {
    const found = await read(api);
    if (!holds(found)) throw new Error(JSON.stringify(found.status));
    return found;
  }, 5);
const condition = (found: Node, type: string): unknown => found.status?.conditions?.find((c) => c.type === type);

test("a node registers with what it has, and becomes Ready in upstream's words", async () => {
  const { api, events } = await started();
  const found = await until(api, (n) => n.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false);
  expect(found.metadata.labels).toMatchObject({ "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", extra: "yes" });
  expect(condition(found, "Ready")).toMatchObject({ reason: "KubeletReady", message: "kubelet is posting ready status" });
  expect(condition(found, "MemoryPressure")).toMatchObject({ status: "False", reason: "KubeletHasSufficientMemory" });
  expect(found.status?.addresses).toEqual([{ type: "InternalIP", address: "10.0.0.1" }, { type: "Hostname", address: "n1" }]);
  expect(found.status?.nodeInfo).toMatchObject({ kubeletVersion: "v1.36.2", operatingSystem: "linux", containerRuntimeVersion: "fake://1.0.0" });
  expect(Number(found.status?.capacity?.["cpu"]) * 1000 - 500).toBe(Number.parseFloat(found.status?.allocatable?.["cpu"]?.endsWith("m") ? found.status.allocatable["cpu"] : `${Number(found.status?.allocatable?.["cpu"]) * 1000}`));
  expect(events).toContain("Starting");
  const lease = await api.get<Lease>(builtinKind("coordination.k8s.io", "v1", "Lease"), { namespace: "kube-node-lease", name: "n1" });
  expect(lease.spec).toMatchObject({ holderIdentity: "n1", leaseDurationSeconds: 40 });
});

test("pressure is told at once, with an event", async () => {
  let memory = false;
  const { api, events } = await started(new FakeApi(), () => ({ memory, disk: false, pid: false }));
  await until(api, (n) => condition(n, "Ready") !== undefined);
  memory = true;
  node.refresh();
  await until(api, (n) => n.status?.conditions?.some((c) => c.type === "MemoryPressure" && c.status === "True") ?? false);
  expect(events).toContain("NodeHasInsufficientMemory");
});

test("what changes while a status is being made is told right after it", async () => {
  let asked = 0;
  const { api } = await started(new FakeApi(), () => {
    const memory = ++asked > 2;
    // The first time is for registering.
    if (asked === 2) node.refresh();
    return { memory, disk: false, pid: false };
  }, { nodeStatusUpdateFrequency: "1h" });
  await until(api, (n) => n.status?.conditions?.some((c) => c.type === "MemoryPressure" && c.status === "True") ?? false);
});

test("a device somebody adds to the capacity becomes allocatable, and goes again", async () => {
  const { api } = await started();
  const found = await until(api, (n) => condition(n, "Ready") !== undefined);
  await api.update<Node>(NODE, { ...found, status: { ...found.status, capacity: { ...found.status?.capacity, "example.com/widget": "3" } } });
  node.refresh();
  const with3 = await until(api, (n) => n.status?.allocatable?.["example.com/widget"] === "3");
  const { "example.com/widget": _gone, ...rest } = with3.status?.capacity ?? {};
  await api.update<Node>(NODE, { ...with3, status: { ...with3.status, capacity: rest } });
  node.refresh();
  await until(api, (n) => !("example.com/widget" in (n.status?.allocatable ?? {})));
});

test("a node that is deleted registers again, and one that is there is taken over", async () => {
  const { api } = await started();
  const first = await until(api, (n) => condition(n, "Ready") !== undefined);
  await api.delete(NODE, { name: "n1" }, { gracePeriodSeconds: 0 });
  node.refresh();
  const second = await until(api, (n) => n.metadata.uid !== first.metadata.uid);
  await node.stop();
  await started(api);
  expect((await read(api)).metadata.uid).toBe(second.metadata.uid);
});
