// Two API servers on one store, as control planes on a shared etcd are: what one writes reaches the other late.
import { expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { ConfigMap, Endpoints, Lease, Service } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { becomes as untilEqual } from "../../lib/testing.ts";
import { openMemoryStore } from "../store/memory.ts";
import type { Store } from "../store/store.ts";
import { ServedAddresses } from "./addresses.ts";
import { createStrategies } from "./kinds/index.ts";
import { NODE_PORT_RANGE, NodePorts } from "./kinds/service/node-ports.ts";
import { startTestServer } from "./testing.ts";

const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const ENDPOINTS = builtinKind("", "v1", "Endpoints");
const LEASES = builtinKind("coordination.k8s.io", "v1", "Lease");
const NAMESPACES = builtinKind("", "v1", "Namespace");
const SERVICES = builtinKind("", "v1", "Service");

/** The same store as another process sees it: changes arrive a moment later. */
function fromAfar(store: Store): Store {
  return {
    get revision() { return store.revision; },
    get compactRevision() { return store.compactRevision; },
    get: (key) => store.get(key),
    list: (prefix) => store.list(prefix),
    write: (write) => store.write(write),
    watch: (options) => store.watch({ ...options, onChanges: (changes) => void Bun.sleep(20).then(() => options.onChanges(changes)) }),
    latest: () => Promise.resolve(store.revision),
    compact: () => store.compact(),
    close: () => Promise.resolve(),
  };
}

test("a read through one server shows what was written through the other before it", async () => {
  const store = await openMemoryStore();
  const near = await startTestServer({ store });
  const far = await startTestServer({ store: fromAfar(store) });
  await near.client.create(NAMESPACES, { metadata: { name: "default" } });
  await near.client.create<ConfigMap>(CONFIG_MAPS, { metadata: { name: "a", namespace: "default" } });
  expect((await far.client.get<ConfigMap>(CONFIG_MAPS, { namespace: "default", name: "a" })).metadata.name).toBe("a");
  await near.client.create<ConfigMap>(CONFIG_MAPS, { metadata: { name: "b", namespace: "default" } });
  expect((await far.client.list<ConfigMap>(CONFIG_MAPS, { namespace: "default" })).items).toHaveLength(2);
  await far.stop();
  await near.stop();
});

test("no address is handed out by two servers, and what one gives back the other can take", async () => {
  const store = await openMemoryStore();
  // Six addresses, so that a server that does not know of the other's would soon take one of them.
  const strategies = () => createStrategies({ serviceCidrs: ["10.96.0.0/29"], nodePorts: new NodePorts(NODE_PORT_RANGE, true) });
  const near = await startTestServer({ store, strategies: strategies() });
  const far = await startTestServer({ store: fromAfar(store), strategies: strategies() });
  await near.client.create(NAMESPACES, { metadata: { name: "default" } });
  const make = async (server: typeof near, name: string): Promise<string> => (await server.client.create<Service>(SERVICES, { metadata: { name, namespace: "default" }, spec: { ports: [{ port: 80 }] } })).spec?.clusterIP as string;
  const taken: string[] = [];
  for (let i = 0; i < 6; i++) taken.push(await make(i % 2 ? near : far, `s${i}`));
  expect(new Set(taken).size).toBe(6);
  await near.client.delete(SERVICES, { namespace: "default", name: "s0" });
  expect(await make(far, "again")).toBe(taken[0] as string);
  await far.stop();
  await near.stop();
});

test("default/kubernetes leads to every server that renews its lease, and to none that fell silent or left", async () => {
  const server = await startTestServer();
  const { client } = server;
  const clock = new FakeClock(1_800_000_000_000);
  for (const name of ["default", "kube-system"]) await client.create(NAMESPACES, { metadata: { name } });
  const [one, two] = ["10.0.0.1", "10.0.0.2"].map((address) => new ServedAddresses(client, { address, port: 6443 }, clock)) as [ServedAddresses, ServedAddresses];
  const stop = [new AbortController(), new AbortController()] as const;
  const running = [one.run(stop[0].signal), two.run(stop[1].signal)];
  const published = async (): Promise<string[]> => ((await client.get<Endpoints>(ENDPOINTS, { namespace: "default", name: "kubernetes" }).catch(() => undefined))?.subsets?.[0]?.addresses ?? []).map(({ ip }) => ip);
  const becomes = async (wanted: string[]): Promise<void> => {
    await untilEqual(wanted, async () => {
      await clock.advance(1000);
      return published();
    });
  };
  await becomes(["10.0.0.1", "10.0.0.2"]);
  stop[1].abort();
  await becomes(["10.0.0.1"]);
  stop[0].abort();
  await Promise.all(running);
  const late = new ServedAddresses(client, { address: "10.0.0.2", port: 6443 }, clock);
  await late.leave();
  expect((await client.list<Lease>(LEASES, { namespace: "kube-system" })).items).toHaveLength(1);
  await server.stop();
});
