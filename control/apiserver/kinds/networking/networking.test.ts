import { afterAll, beforeAll, expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { AnyObject, Ingress, NetworkPolicy, Stored } from "../../../../api/types.ts";
import type { TestServer } from "../../testing.ts";
import { refusal, startKindServer } from "../testing.ts";
import { ingressClassStrategy, ingressStrategy } from "./ingress.ts";

const GROUP = "networking.k8s.io";
let server: TestServer;
let made = 0;
beforeAll(async () => {
  server = await startKindServer();
});
afterAll(() => server.stop());

const create = (kind: string, spec: object, name = `n${++made}`): Promise<Stored<AnyObject>> => {
  const known = builtinKind(GROUP, "v1", kind);
  return server.client.create<AnyObject>(known, { metadata: { name, ...(known.namespaced && { namespace: "default" }) }, spec });
};
const web = { service: { name: "web", port: { number: 80 } } };
const route = (path: object): object => ({ rules: [{ host: "a.example", http: { paths: [{ path: "/", pathType: "Prefix", backend: web, ...path }] } }] });

test("an ingress leads somewhere, by absolute paths without tricks", async () => {
  expect((await create("Ingress", route({}))).metadata.generation).toBe(1);
  expect(await refusal(create("Ingress", {}))).toContain("spec: Invalid value: []: either `defaultBackend` or `rules` must be specified");
  expect(await refusal(create("Ingress", route({ path: "x/../y" })))).toContain('spec.rules[0].http.paths[0].path: Invalid value: "x/../y": must be an absolute path');
  expect(await refusal(create("Ingress", route({ path: "/a/../b" })))).toContain("must not contain '/../'");
  expect(await refusal(create("Ingress", route({ pathType: "Regex" })))).toContain('pathType: Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix"');
  expect(await refusal(create("Ingress", route({ backend: { service: { name: "web", port: {} } } })))).toContain("spec.rules[0].http.paths[0].backend: Required value: port name or number is required");
  expect(await refusal(create("Ingress", { rules: [{ host: "10.0.0.1" }] }))).toContain("must be a DNS name, not an IP address");
  expect(await refusal(create("Ingress", { defaultBackend: { service: { name: "web", port: { name: "http", number: 80 } } } }))).toContain("cannot set both port name & port number");
});

test("an ingress is shown with its hosts and addresses", () => {
  const ingress: Ingress = { metadata: { name: "i" }, spec: { ingressClassName: "nginx", rules: ["a", "b", "c", "d"].map((host) => ({ host })), tls: [{}] }, status: { loadBalancer: { ingress: [{ ip: "10.0.0.2" }, { hostname: "lb" }] } } };
  expect(ingressStrategy.printer?.cells(ingress, 0).slice(0, 5)).toEqual(["i", "nginx", "a,b,c + 1 more...", "10.0.0.2,lb", "80, 443"]);
  expect(ingressStrategy.printer?.cells({ metadata: { name: "i" }, spec: { rules: [{}] } }, 0).slice(1, 5)).toEqual(["<none>", "*", "", "80"]);
});

test("an ingress class names its controller for life", async () => {
  const known = builtinKind(GROUP, "v1", "IngressClass");
  const made = await create("IngressClass", { controller: "example.com/c", parameters: { kind: "K", name: "n" } });
  expect(made["spec"]).toEqual({ controller: "example.com/c", parameters: { kind: "K", name: "n", scope: "Cluster" } });
  expect(await refusal(server.client.update(known, { ...made, spec: { controller: "example.com/d" } }))).toContain('spec.controller: Invalid value: "example.com/d": field is immutable');
  expect(await refusal(create("IngressClass", { controller: "c" }))).toContain('must be a domain-prefixed path (such as "acme.io/foo")');
  expect(ingressClassStrategy.printer?.cells({ ...made, metadata: { name: "n", annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } } }, 0).slice(0, 3)).toEqual(["n (default)", "example.com/c", "K/n"]);
});

test("a network policy is about what it has rules for", async () => {
  const policy = async (spec: NetworkPolicy["spec"]): Promise<unknown> => (await create("NetworkPolicy", spec ?? {}))["spec"];
  expect(await policy({ podSelector: {} })).toMatchObject({ policyTypes: ["Ingress"] });
  expect(await policy({ podSelector: {}, egress: [{ ports: [{ port: 53 }] }] })).toMatchObject({ policyTypes: ["Ingress", "Egress"], egress: [{ ports: [{ port: 53, protocol: "TCP" }] }] });
  expect(await refusal(policy({ podSelector: {}, ingress: [{ from: [{}] }] }))).toContain("spec.ingress[0].from[0]: Required value: must specify a peer");
  expect(await refusal(policy({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/16"] } }] }] }))).toContain("must be a strict subset of `cidr`");
  expect(await refusal(policy({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.1/8" } }] }] }))).toContain("must not have bits set beyond the prefix length");
  expect(await refusal(policy({ podSelector: {}, egress: [{ ports: [{ port: 90, endPort: 80 }] }] }))).toContain("must be greater than or equal to `port`");
});

test("service ranges may gain a second family and nothing else", async () => {
  const known = builtinKind(GROUP, "v1", "ServiceCIDR");
  const range = await create("ServiceCIDR", { cidrs: ["10.200.0.0/16"] });
  const update = (cidrs: string[]): Promise<unknown> => server.client.update(known, { ...range, spec: { cidrs } });
  expect(await refusal(update(["10.201.0.0/16"]))).toContain('spec.cidrs[0]: Invalid value: "10.201.0.0/16": field is immutable');
  expect(await refusal(update(["10.200.0.0/16", "10.201.0.0/16"]))).toContain("may specify no more than one IP for each IP family");
  await update(["10.200.0.0/16", "fd00::/112"]);
  expect(await refusal(create("ServiceCIDR", { cidrs: ["10.200.0.1/16"] }))).toContain("must not have bits set beyond the prefix length");
});

test("an address is named after itself and belongs to one parent", async () => {
  const parentRef = { resource: "services", namespace: "default", name: "s" };
  await create("IPAddress", { parentRef }, "10.200.0.5");
  expect(await refusal(create("IPAddress", { parentRef }, "FD00::1".toLowerCase().replace("::", ":0::")))).toContain('must be in canonical form (\\"fd00::1\\")'.replaceAll("\\", ""));
  expect(await refusal(create("IPAddress", {}, "10.200.0.6"))).toContain("spec.parentRef: Required value");
});
