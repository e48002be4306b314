import { afterAll, beforeAll, expect, test } from "bun:test";
import type { EventRecorder } from "../../../../api/client/recorder.ts";
import { builtinKind } from "../../../../api/registry.ts";
import type { Service } from "../../../../api/types.ts";
import { FakeClock } from "../../../../lib/clock.ts";
import { startTestServer, type TestServer } from "../../testing.ts";
import { createStrategies } from "../index.ts";
import { IP_ADDRESS } from "./addresses.ts";
import { watchLosses } from "./losses.ts";
import { NodePorts } from "./node-ports.ts";
import { startAddressRepair } from "./repair.ts";
import { RepairFigures } from "./repairfigures.ts";

const SERVICE = builtinKind("", "v1", "Service");
const nodePorts = new NodePorts([30_000, 30_019], false);
const running = new AbortController();
const clock = new FakeClock(Date.now());
const told: string[] = [];
const recorderFor = (component: string): EventRecorder => ({ event: (about: { metadata: { name?: string } }, _type: string, reason: string) => void told.push(`${component} ${about.metadata.name} ${reason}`) }) as unknown as EventRecorder;
let server: TestServer;
let figures: RepairFigures;

beforeAll(async () => {
  server = await startTestServer({ strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"], nodePorts }) });
  figures = new RepairFigures(nodePorts, () => server.server.engine);
  await startAddressRepair({ client: server.client, clock, signal: running.signal, isAlone: true, nodePorts, figures, recorderFor, onLoss: (lost) => watchLosses(server.server.engine, lost, running.signal) });
});
afterAll(async () => {
  running.abort();
  await server.stop();
});

/** Lets time pass until it holds. */
async function until(holds: () => Promise<boolean> | boolean, stepMs: number): Promise<void> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    if (await holds()) return;
    await clock.advance(stepMs);
    await Bun.sleep(1);
  }
  throw new Error("it never came true");
}

const take = (name: string, nodePort: number): Service => ({ metadata: { name, namespace: "default" }, spec: { type: "NodePort", ports: [{ port: 80, nodePort }] } });

test("a node port that nobody gave back is free again after three passes, and not before", async () => {
  nodePorts.take(take("crashed", 30_005), undefined);
  const service = await server.client.create<Service>(SERVICE, take("kept", 30_006));
  expect([nodePorts.repair([service]).freed, nodePorts.repair([service]).freed]).toEqual([[], []]);
  expect(await server.client.create<Service>(SERVICE, take("next", 30_005)).then(() => "made", (error: Error) => error.message)).toContain("provided port is already allocated");
  await until(() => (figures.ports.leak ?? 0) === 1, 180_000);
  await server.client.create<Service>(SERVICE, take("next", 30_005));
  expect(nodePorts.held).toBe(2);
});

test("a port that a service holds without anybody knowing is taken, and told of", async () => {
  nodePorts.release(take("kept", 30_006));
  await until(() => figures.ports.repair === 1, 180_000);
  expect(told).toContain("portallocator-repair-controller kept PortNotAllocated");
  expect(() => nodePorts.take(take("other", 30_006), undefined)).toThrow("provided port is already allocated");
});

test("an address deleted under a service is its own again at once", async () => {
  const { spec } = await server.client.get<Service>(SERVICE, { namespace: "default", name: "kept" });
  const name = spec?.clusterIP as string;
  await server.client.delete(IP_ADDRESS, { name });
  await until(async () => (await server.client.list(IP_ADDRESS)).items.some(({ metadata }) => metadata.name === name), 500);
});

test("what is held, free, taken and repaired shows in the metrics", () => {
  const text = figures.text();
  for (const line of ['apiserver_nodeport_repair_port_errors_total{type="leak"} 1', 'apiserver_nodeport_repair_port_errors_total{type="repair"} 1', "kube_apiserver_nodeport_allocator_allocated_ports 2", "kube_apiserver_nodeport_allocator_available_ports 18", 'kube_apiserver_nodeport_allocator_allocation_total{scope="static"}']) expect(text).toContain(line);
});
