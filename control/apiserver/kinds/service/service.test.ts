import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { IPAddress, Service, ServiceCIDR, ServiceSpec, Stored } from "../../../../api/types.ts";
import { openMemoryStore } from "../../../store/memory.ts";
import type { TestServer } from "../../testing.ts";
import { createStrategies } from "../index.ts";
import { aService, refusal, SERVICE, startKindServer } from "../testing.ts";
import { addressObject, IP_ADDRESS } from "./addresses.ts";
import { IpRange } from "./ip-range.ts";
import { servicePrinter } from "./printer.ts";
import { repairAddresses } from "./repair.ts";

const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");

let server: TestServer;
beforeEach(async () => {
  server = await startKindServer();
});
afterEach(() => server.stop());
const create = (spec: Partial<ServiceSpec> = {}, name?: string): Promise<Stored<Service>> => server.client.create(SERVICE, aService(spec, name));
const update = (service: Stored<Service>, spec: Partial<ServiceSpec>): Promise<Stored<Service>> => server.client.update(SERVICE, { ...service, spec: { ...service.spec, ...spec } });

describe("a new service", () => {
  test("gets an address and everything its type implies", async () => {
    const { spec, status } = await create();
    expect(spec?.clusterIP).toMatch(/^10\.96\.\d+\.\d+$/);
    expect(spec).toEqual({
      clusterIP: spec?.clusterIP as string, clusterIPs: [spec?.clusterIP as string], type: "ClusterIP", sessionAffinity: "None", ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack", internalTrafficPolicy: "Cluster",
      ports: [{ port: 80, targetPort: 80, protocol: "TCP" }],
    });
    expect(status).toEqual({ loadBalancer: {} });
  });

  test("gets the address it asks for, once", async () => {
    expect((await create({ clusterIP: "10.96.0.10" })).spec?.clusterIPs).toEqual(["10.96.0.10"]);
    expect(await refusal(create({ clusterIP: "10.96.0.10" }, "t"))).toContain('spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated');
    expect(await refusal(create({ clusterIP: "10.1.0.1" }, "t"))).toContain("failed to allocate IP 10.1.0.1: the provided network does not match the current range");
  });

  test("without address has none", async () => {
    expect((await create({ clusterIP: "None", selector: { a: "b" } })).spec).toMatchObject({ clusterIP: "None", clusterIPs: ["None"], ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack" });
    expect((await create({ clusterIP: "None" }, "t")).spec).toMatchObject({ ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "RequireDualStack" });
  });

  test("of type NodePort opens ports on nodes, one number for both protocols", async () => {
    const { spec } = await create({ type: "NodePort", ports: [{ name: "a", port: 53, protocol: "TCP" }, { name: "b", port: 53, protocol: "UDP" }, { name: "c", port: 80 }] });
    const ports = (spec?.ports ?? []).map(({ nodePort }) => nodePort as number);
    expect(ports[0]).toBe(ports[1] as number);
    expect(ports[2]).not.toBe(ports[0] as number);
    for (const port of ports) expect(port >= 30000 && port <= 32767).toBeTrue();
    expect(spec?.externalTrafficPolicy).toBe("Cluster");
    expect(await refusal(create({ type: "NodePort", ports: [{ port: 80, nodePort: ports[0] as number }] }, "t"))).toContain(`spec.ports[0].nodePort: Invalid value: ${ports[0]}: provided port is already allocated`);
    expect(await refusal(create({ type: "NodePort", ports: [{ port: 80, nodePort: 80 }] }, "t"))).toContain("provided port is not in the valid range. The range of valid ports is 30000-32767");
  });

  test("of type LoadBalancer with local traffic gets a port for its health", async () => {
    const { spec } = await create({ type: "LoadBalancer", externalTrafficPolicy: "Local" });
    expect(spec?.healthCheckNodePort).toBeGreaterThanOrEqual(30000);
    expect(spec).toMatchObject({ allocateLoadBalancerNodePorts: true });
  });

  test("sticks to clients for three hours unless told otherwise", async () => {
    expect((await create({ sessionAffinity: "ClientIP" })).spec?.sessionAffinityConfig).toEqual({ clientIP: { timeoutSeconds: 10800 } });
  });

  test.each<[string, Partial<ServiceSpec>, string]>([
    ["no ports", { ports: [] }, "spec.ports: Required value"],
    ["nameless ports", { ports: [{ port: 1 }, { port: 2 }] }, "spec.ports[0].name: Required value"],
    ["a port twice", { ports: [{ name: "a", port: 1 }, { name: "b", port: 1 }] }, 'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}'],
    ["an unknown type", { type: "Magic" }, 'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"'],
    ["an external name that is none", { type: "ExternalName", ports: [] }, "spec.externalName: Required value"],
    ["a bad address", { clusterIP: "1.2.3" }, 'spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
    ["two families where there is one", { ipFamilyPolicy: "RequireDualStack" }, "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services"],
    ["a node port inside", { ports: [{ port: 80, nodePort: 30001 }] }, "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ["an external loopback", { externalIPs: ["127.0.0.1"] }, 'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ])("with %s is refused", async (_what, spec, message) => expect(await refusal(create(spec))).toContain(message));
});

describe("an existing service", () => {
  test("keeps its address and ports when they are left out", async () => {
    const service = await create({ type: "NodePort" });
    const { clusterIP: _ip, clusterIPs: _ips, ...spec } = service.spec as ServiceSpec;
    const next = await server.client.update<Service>(SERVICE, { ...service, spec: { ...spec, ports: [{ port: 80, targetPort: 8080 }] } });
    expect(next.spec?.clusterIP).toBe(service.spec?.clusterIP as string);
    expect(next.spec?.ports?.[0]?.nodePort).toBe(service.spec?.ports?.[0]?.nodePort as number);
  });

  test("cannot change its address", async () => {
    const service = await create();
    expect(await refusal(update(service, { clusterIP: "10.96.0.99", clusterIPs: ["10.96.0.99"] }))).toContain('spec.clusterIPs[0]: Invalid value: ["10.96.0.99"]: may not change once set');
  });

  test("gives back what its new type does not need", async () => {
    const service = await create({ type: "NodePort", ports: [{ port: 80, nodePort: 30500 }] });
    const inside = await update(service, { type: "ClusterIP" });
    expect(inside.spec?.ports?.[0]?.nodePort).toBeUndefined();
    expect(inside.spec?.externalTrafficPolicy).toBeUndefined();
    await create({ type: "NodePort", ports: [{ port: 80, nodePort: 30500 }] }, "t");
    const outside = await update(inside, { type: "ExternalName", externalName: "example.com" });
    expect([inside.spec?.internalTrafficPolicy, outside.spec?.internalTrafficPolicy]).toEqual(["Cluster", undefined]);
    expect(outside.spec?.clusterIP).toBeUndefined();
    await create({ clusterIP: service.spec?.clusterIP as string }, "u");
  });

  test("gives everything back when it is deleted", async () => {
    const service = await create({ type: "NodePort", ports: [{ port: 80, nodePort: 30500 }] });
    await server.client.delete(SERVICE, { name: "s", namespace: "default" });
    await create({ type: "NodePort", clusterIP: service.spec?.clusterIP as string, ports: [{ port: 80, nodePort: 30500 }] }, "t");
  });

  test("that never came to be holds nothing", async () => {
    await server.client.create(SERVICE, aService({ clusterIP: "10.96.3.3" }, "dry"), { dryRun: true });
    await create({ clusterIP: "10.96.3.3" });
    expect(await refusal(create({ clusterIP: "10.96.4.4" }))).toBe('services "s" already exists');
    await create({ clusterIP: "10.96.4.4" }, "t");
  });

  test("is remembered across a restart", async () => {
    const store = await openMemoryStore();
    const first = await startKindServer({ store });
    await first.client.create(SERVICE, aService({ type: "NodePort", clusterIP: "10.96.5.5", ports: [{ port: 80, nodePort: 30600 }] }));
    await first.server.stop();
    const second = await startKindServer({ store, strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }) });
    expect(await refusal(second.client.create(SERVICE, aService({ clusterIP: "10.96.5.5" }, "t")))).toContain("already allocated");
    expect(await refusal(second.client.create(SERVICE, aService({ type: "NodePort", ports: [{ port: 80, nodePort: 30600 }] }, "t")))).toContain("already allocated");
    await second.stop();
  });
});

describe("the addresses of services", () => {
  const cidr = (name: string, ...cidrs: string[]): Promise<Stored<ServiceCIDR>> => server.client.create<ServiceCIDR>(SERVICE_CIDR, { metadata: { name }, spec: { cidrs } });
  const ready = async (range: Stored<ServiceCIDR>): Promise<unknown> =>
    server.client.update<ServiceCIDR>(SERVICE_CIDR, { ...range, status: { conditions: [{ type: "Ready", status: "True", reason: "", message: "", lastTransitionTime: "2026-01-01T00:00:00Z" }] } }, { subresource: "status" });
  const names = async (): Promise<string[]> => (await server.client.list<IPAddress>(IP_ADDRESS)).items.map(({ metadata }) => metadata.name).toSorted();

  test("are objects that say whose they are", async () => {
    const { spec } = await create();
    const address = await server.client.get<IPAddress>(IP_ADDRESS, { name: spec?.clusterIP as string });
    expect(address.metadata.labels).toEqual({ "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io" });
    expect(address.spec?.parentRef).toEqual({ resource: "services", namespace: "default", name: "s" });
    await server.client.delete(SERVICE, { name: "s", namespace: "default" });
    expect(await names()).toEqual([]);
  });

  test("come from added ranges as soon as those are ready", async () => {
    const range = await cidr("more", "10.200.0.0/29");
    expect(await refusal(create({ clusterIP: "10.200.0.3" }))).toContain("the provided network does not match the current range");
    await ready(range);
    expect((await create({ clusterIP: "10.200.0.3" })).spec?.clusterIPs).toEqual(["10.200.0.3"]);
    expect(await refusal(create({ clusterIP: "10.200.0.0" }, "t"))).toContain("the provided IP (10.200.0.0) is not in the valid range. The range of valid IPs is 10.200.0.0/29");
  });

  test("are all handed out before a range is full, and none twice", async () => {
    await server.stop();
    server = await startKindServer({ strategies: createStrategies({ serviceCidrs: ["10.0.0.0/29"] }) });
    const taken = await Promise.all(["a", "b", "c", "d", "e", "f"].map(async (name) => (await create({}, name)).spec?.clusterIP));
    expect(taken.toSorted()).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    expect(await refusal(create({}, "g"))).toContain('failed to allocate a serviceIP for Service "g": range is full');
  });

  test("are repaired: missing ones made, leaked ones removed once they are old enough", async () => {
    const { spec } = await create();
    const ip = spec?.clusterIP as string;
    await server.client.delete(IP_ADDRESS, { name: ip });
    await server.client.create(IP_ADDRESS, addressObject(aService({}, "gone"), "10.96.9.9"));
    const now = Date.now();
    expect(await repairAddresses({ client: server.client, now, graceMs: 60_000 })).toEqual({ made: [ip], removed: [] });
    expect(await repairAddresses({ client: server.client, now: now + 60_000, graceMs: 60_000 })).toEqual({ made: [], removed: ["10.96.9.9"] });
    expect(await names()).toEqual([ip]);
  });

  test("that say another owner are given to the one who has them", async () => {
    const { spec } = await create();
    const name = spec?.clusterIP as string;
    await server.client.delete(IP_ADDRESS, { name });
    await server.client.create(IP_ADDRESS, addressObject(aService({}, "other"), name));
    expect((await repairAddresses({ client: server.client, now: 0, graceMs: 60_000 })).made).toEqual([name]);
    expect((await server.client.get<IPAddress>(IP_ADDRESS, { name })).spec?.parentRef?.name).toBe("s");
  });
});

test("a range offers all but the network's own and its broadcast address, the low end last", () => {
  const range = IpRange.parse("10.0.0.0/24") as IpRange;
  const all = [...range.candidates()];
  expect(new Set(all).size).toBe(254);
  expect(all.slice(-16).every((ip) => Number(ip.split(".")[3]) <= 16)).toBeTrue();
  expect([range.offers("10.0.0.0"), range.offers("10.0.0.1"), range.offers("10.0.0.254"), range.offers("10.0.0.255"), range.offers("10.0.1.1")]).toEqual([false, true, true, false, false]);
  expect([...(IpRange.parse("fd00::/126") as IpRange).candidates()]).toHaveLength(3);
});

test("kubectl get services shows addresses and ports", () => {
  const service = { metadata: { name: "s" }, spec: { type: "NodePort", clusterIPs: ["10.96.0.9"], ports: [{ port: 80, nodePort: 30001, protocol: "TCP" }], selector: { b: "2", a: "1" } } };
  expect(servicePrinter.cells(service as Service, 0)).toEqual(["s", "NodePort", "10.96.0.9", "<none>", "80:30001/TCP", "<unknown>", "a=1,b=2"]);
});
