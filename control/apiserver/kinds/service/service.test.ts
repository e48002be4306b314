import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Service, ServiceSpec, Stored } from "../../../../api/types.ts";
import { parseCidr } from "../../../../lib/cidr.ts";
import { openMemoryStore } from "../../../store/memory.ts";
import type { TestServer } from "../../testing.ts";
import { createStrategies } from "../index.ts";
import { aService, refusal, SERVICE, startKindServer } from "../testing.ts";
import { ClusterIPs } from "./cluster-ips.ts";
import { servicePrinter } from "./printer.ts";

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

test("a small range is handed out to its last address, and the first is the cluster's own", () => {
  const ips = new ClusterIPs(parseCidr("10.0.0.0/29") as never);
  expect(ips.first).toBe("10.0.0.1");
  const taken = Array.from({ length: 6 }, () => ips.takeAny());
  expect(taken.sort()).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
  expect(() => ips.takeAny()).toThrow("range is full");
});

test("kubectl get services shows addresses and ports", () => {
  const service = { metadata: { name: "s" }, spec: { type: "NodePort", clusterIPs: ["10.96.0.9"], ports: [{ port: 80, nodePort: 30001, protocol: "TCP" }], selector: { b: "2", a: "1" } } };
  expect(servicePrinter.cells(service as Service, 0)).toEqual(["s", "NodePort", "10.96.0.9", "<none>", "80:30001/TCP", "<unknown>", "a=1,b=2"]);
});
