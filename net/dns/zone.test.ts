import { describe, expect, test } from "bun:test";
import type { Answer } from "dns-packet";
import type { EndpointSlice, Service } from "../../api/types.ts";
import { aService, aSlice } from "../testing.ts";
import { lookup, type ClusterView } from "./zone.ts";

const options = { clusterDomain: "cluster.local", dnsIp: "10.96.0.10" };

function view(services: readonly Service[], slices: readonly EndpointSlice[] = []): ClusterView {
  return {
    service: (namespace, name) => services.find((service) => service.metadata.namespace === namespace && service.metadata.name === name),
    slices: (namespace, name) => slices.filter((slice) => slice.metadata.namespace === namespace && slice.metadata.labels?.["kubernetes.io/service-name"] === name),
    hasNamespace: (name) => ["ns", "default"].includes(name),
    servicesAt: (ip) => services.filter((service) => service.spec?.clusterIPs?.includes(ip)),
    slicesAt: (ip) => slices.filter((slice) => slice.endpoints?.some((endpoint) => endpoint.addresses.includes(ip))),
  };
}

const headless = aService({ clusterIP: "None", clusterIPs: ["None"] });
const endpoints = aSlice([{ ip: "10.244.1.2", hostname: "web-0" }, "10.244.1.3", { ip: "10.244.1.4", conditions: { ready: false } }]);

/** Data of the answers, `absent`, or `others` when the name is none of the cluster's. */
function ask(cluster: ClusterView, name: string, type = "A"): unknown {
  const reply = lookup(cluster, name, type, options);
  if (!reply) return "others";
  return reply.kind === "absent" ? "absent" : reply.answers.map((answer: Answer) => ("data" in answer ? answer.data : undefined));
}

describe("a Service with a cluster IP", () => {
  const cluster = view([aService({ clusterIPs: ["10.96.0.80", "fd00:96::80"] })], [endpoints]);

  test("has its addresses by family", () => {
    expect(ask(cluster, "web.ns.svc.cluster.local")).toEqual(["10.96.0.80"]);
    expect(ask(cluster, "web.ns.svc.cluster.local", "AAAA")).toEqual(["fd00:96::80"]);
    expect(ask(view([aService()]), "web.ns.svc.cluster.local", "AAAA")).toEqual([]);
  });

  test("has a SRV record per named port, pointing at itself", () => {
    expect(ask(cluster, "_http._tcp.web.ns.svc.cluster.local", "SRV")).toEqual([{ priority: 0, weight: 100, port: 80, target: "web.ns.svc.cluster.local" }]);
    expect(ask(cluster, "_http._udp.web.ns.svc.cluster.local", "SRV")).toBe("absent");
    expect(ask(cluster, "_other._tcp.web.ns.svc.cluster.local", "SRV")).toBe("absent");
    expect(ask(cluster, "_tcp.web.ns.svc.cluster.local", "SRV")).toEqual([]);
  });

  test("is found by its address", () => {
    expect(ask(cluster, "80.0.96.10.in-addr.arpa", "PTR")).toEqual(["web.ns.svc.cluster.local"]);
    expect(ask(cluster, "0.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.0.d.f.ip6.arpa", "PTR")).toEqual(["web.ns.svc.cluster.local"]);
  });
});

describe("a headless Service", () => {
  const cluster = view([headless], [endpoints]);

  test("has its ready endpoints", () => {
    expect(ask(cluster, "web.ns.svc.cluster.local")).toEqual(["10.244.1.2", "10.244.1.3"]);
  });

  test("names each endpoint by hostname, or by its address", () => {
    expect(ask(cluster, "web-0.web.ns.svc.cluster.local")).toEqual(["10.244.1.2"]);
    expect(ask(cluster, "10-244-1-3.web.ns.svc.cluster.local")).toEqual(["10.244.1.3"]);
    expect(ask(cluster, "web-9.web.ns.svc.cluster.local")).toBe("absent");
  });

  test("has a SRV record per endpoint, with its address beside it", () => {
    const reply = lookup(cluster, "_http._tcp.web.ns.svc.cluster.local", "SRV", options);
    expect(reply).toMatchObject({ answers: [{ data: { port: 8080, target: "web-0.web.ns.svc.cluster.local" } }, { data: { port: 8080, target: "10-244-1-3.web.ns.svc.cluster.local" } }], additionals: [{ data: "10.244.1.2" }, { data: "10.244.1.3" }] });
  });

  test("gives its endpoints' addresses a name", () => {
    expect(ask(cluster, "2.1.244.10.in-addr.arpa", "PTR")).toEqual(["web-0.web.ns.svc.cluster.local"]);
  });

  test("without ready endpoints does not exist", () => {
    expect(ask(view([headless]), "web.ns.svc.cluster.local")).toBe("absent");
  });
});

describe("other names", () => {
  const cluster = view([aService()]);

  test("an ExternalName is an alias", () => {
    expect(lookup(view([aService({ type: "ExternalName", externalName: "Example.com.", clusterIP: "", clusterIPs: [] })]), "web.ns.svc.cluster.local", "A", options)).toMatchObject({ kind: "alias", target: "example.com", answers: [{ type: "CNAME", data: "example.com" }] });
  });

  test("a pod's name spells its address, in namespaces that exist", () => {
    expect(ask(cluster, "10-244-1-2.ns.pod.cluster.local")).toEqual(["10.244.1.2"]);
    expect(ask(cluster, "10-244-1-2.gone.pod.cluster.local")).toBe("absent");
    expect(ask(cluster, "web.ns.pod.cluster.local")).toBe("absent");
  });

  test("names in between exist, without records; unknown ones do not exist", () => {
    for (const name of ["cluster.local", "svc.cluster.local", "ns.svc.cluster.local", "pod.cluster.local"]) expect(ask(cluster, name)).toEqual([]);
    for (const name of ["gone.ns.svc.cluster.local", "web.gone.svc.cluster.local", "gone.svc.cluster.local", "web.cluster.local", "a.b.c.web.ns.svc.cluster.local"]) expect(ask(cluster, name)).toBe("absent");
  });

  test("the server names itself and the specification's version", () => {
    expect(ask(cluster, "dns-version.cluster.local", "TXT")).toEqual(["1.1.0"]);
    expect(ask(cluster, "cluster.local", "NS")).toEqual(["ns.dns.cluster.local"]);
    expect(ask(cluster, "ns.dns.cluster.local")).toEqual(["10.96.0.10"]);
  });

  test("names and addresses of nobody here are for others", () => {
    for (const name of ["example.com", "mycluster.local", "9.9.9.9.in-addr.arpa"]) expect(ask(cluster, name)).toBe("others");
  });
});
