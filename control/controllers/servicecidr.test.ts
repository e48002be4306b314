import { afterEach, beforeEach, expect, test } from "bun:test";
import type { IPAddress, ServiceCIDR } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { becomes, consistently, TestCluster } from "./cluster.suite.ts";
import { IP_ADDRESS, SERVICE_CIDR, serviceCidrController } from "./servicecidr.ts";

let clock: FakeClock;
let cluster: TestCluster;
beforeEach(async () => {
  clock = new FakeClock(Date.parse("2026-03-01T12:00:00Z"));
  cluster = new TestCluster({ clock });
  await cluster.start(serviceCidrController);
});
afterEach(() => cluster.stop());

const range = (name: string, ...cidrs: string[]): Promise<unknown> => cluster.create<ServiceCIDR>(SERVICE_CIDR, { metadata: { name }, spec: { cidrs } });
const address = (name: string): Promise<unknown> => cluster.create<IPAddress>(IP_ADDRESS, { metadata: { name, labels: { "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io" } }, spec: { parentRef: { resource: "services", namespace: "default", name: "s" } } });
const names = async (): Promise<string[]> => (await cluster.list(SERVICE_CIDR)).map(({ metadata }) => metadata.name).toSorted();
const ready = async (name: string): Promise<unknown> => (await cluster.get<ServiceCIDR>(SERVICE_CIDR, name)).status?.conditions?.map(({ type, status, message }) => [type, status, message]);
const remove = (name: string): Promise<void> => cluster.client.delete(SERVICE_CIDR, { name });

test("a range is ready as soon as there is one, and goes a moment after it is deleted", async () => {
  await range("new", "10.97.0.0/24");
  await becomes(() => ready("new"), [["Ready", "True", "Kubernetes Service CIDR is ready"]]);
  await remove("new");
  await consistently(async () => (await names()).includes("new"));
  await clock.advance(10_000);
  await becomes(names, []);
});

test("a range whose addresses are in use stays until they are not", async () => {
  await range("new", "10.97.0.0/24");
  await address("10.97.0.7");
  await becomes(() => ready("new"), [["Ready", "True", "Kubernetes Service CIDR is ready"]]);
  await remove("new");
  await becomes(() => ready("new"), [["Ready", "False", "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"]]);
  await clock.advance(60_000);
  expect(await names()).toEqual(["new"]);
  await cluster.client.delete(IP_ADDRESS, { name: "10.97.0.7" });
  await becomes(names, []);
});

test("a range inside another one goes although its addresses are in use", async () => {
  await range("all", "10.97.0.0/16");
  await range("part", "10.97.0.0/24");
  await address("10.97.0.7");
  await becomes(() => ready("part"), [["Ready", "True", "Kubernetes Service CIDR is ready"]]);
  await remove("part");
  await Bun.sleep(10);
  await clock.advance(10_000);
  await becomes(names, ["all"]);
});
