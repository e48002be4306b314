import { describe, expect, test } from "bun:test";
import type { EndpointSlice, Service } from "../../api/types.ts";
import { aService, aSlice } from "../testing.ts";
import { documentFor } from "../host/chains.ts";
import { chainsFor } from "./document.ts";
import { endpointChain, serviceChains } from "./names.ts";
import { rules, serviceRules } from "./rules.ts";
import type { NodeConfig } from "./service-rules.ts";

const config: NodeConfig = { nodeName: "node-1", nodeIp: "192.0.2.1", zone: "a", clusterCidr: "10.244.0.0/16", localClusterIps: new Set(), comments: true };
const names = serviceChains("ns/web:http", "tcp");
const sep = (target: string): string => endpointChain("ns/web:http", "tcp", target);

/** The rules of one chain in a document. */
function chain(document: string, table: string, name: string): string[] {
  const section = document.split(/^\*/m).find((part) => part.startsWith(`${table}\n`)) ?? "";
  return section.split("\n").filter((line) => line.startsWith(`-A ${name} `)).map((line) => line.slice(`-A ${name} `.length));
}
const targets = (document: string, name: string): string[] => chain(document, "nat", name).map((rule) => /-j (\S+)/.exec(rule)?.[1] ?? "");
const build = (service: Service, slices: EndpointSlice[], more: Partial<NodeConfig> = {}): string => rules([service], slices, { ...config, ...more });

describe("names", () => {
  test("are upstream's for the same Service", () => {
    expect(serviceChains("ns1/svc1:p80", "tcp").cluster).toBe("KUBE-SVC-XPGD46QRK7WJZT7O");
    expect(endpointChain("ns1/svc1:p80", "tcp", "10.180.0.1:80")).toBe("KUBE-SEP-SXIVWICOYRO3J4NJ");
  });
});

describe("a cluster IP", () => {
  test("leads to its endpoints in even shares, and its own pods come back masqueraded", () => {
    const document = build(aService(), [aSlice(["10.244.1.2", "10.244.2.2", "10.244.3.2"])]);
    expect(chain(document, "nat", "KUBE-SERVICES")[0]).toBe(`-m comment --comment "ns/web:http cluster IP" -m tcp -p tcp -d 10.96.0.80 --dport 80 -j ${names.cluster}`);
    expect(chain(document, "nat", names.cluster).map((rule) => /--probability \S+|-j \S+/g.exec(rule)?.[0])).toEqual(["-j KUBE-MARK-MASQ", "--probability 0.3333333333", "--probability 0.5000000000", `-j ${sep("10.244.3.2:8080")}`]);
    expect(chain(document, "nat", names.cluster)[0]).toContain("! -s 10.244.0.0/16 -j KUBE-MARK-MASQ");
    expect(chain(document, "nat", sep("10.244.1.2:8080"))).toEqual(['-m comment --comment "ns/web:http" -s 10.244.1.2 -j KUBE-MARK-MASQ', '-m comment --comment "ns/web:http" -m tcp -p tcp -j DNAT --to-destination 10.244.1.2:8080']);
    expect(chain(document, "filter", "KUBE-SERVICES")).toEqual([]);
  });

  test("without endpoints is refused at once instead of hanging", () => {
    const document = build(aService(), []);
    expect(chain(document, "filter", "KUBE-SERVICES")).toEqual(['-m comment --comment "ns/web:http has no endpoints" -m tcp -p tcp -d 10.96.0.80 --dport 80 -j REJECT']);
    expect(document).not.toContain("KUBE-SVC-");
  });

  test("that this node answers itself is left alone until the Service has endpoints", () => {
    const local = { localClusterIps: new Set(["10.96.0.80"]) };
    expect(build(aService(), [], local)).not.toContain("10.96.0.80");
    expect(build(aService(), [aSlice(["10.244.1.2"])], local)).toContain("10.96.0.80");
  });

  test.each([
    ["headless", { clusterIP: "None", clusterIPs: ["None"] }, {}],
    ["ExternalName", { type: "ExternalName" as const, clusterIP: "", clusterIPs: [] }, {}],
    ["another proxy's", {}, { labels: { "service.kubernetes.io/service-proxy-name": "mesh" } }],
  ])("of a Service that is %s does not exist", (_what, spec, metadata) => {
    expect(build(aService(spec, metadata), [aSlice(["10.244.1.2"])])).not.toContain("ns/web");
  });

  test("with internal policy Local uses only endpoints here, and drops when there are none", () => {
    const service = aService({ internalTrafficPolicy: "Local" });
    const here = build(service, [aSlice([{ ip: "10.244.1.2", nodeName: "node-1" }, { ip: "10.244.2.2", nodeName: "node-2" }])]);
    expect(targets(here, names.local)).toEqual(["KUBE-MARK-MASQ", sep("10.244.1.2:8080")]);
    expect(here).not.toContain("10.244.2.2");
    const elsewhere = build(service, [aSlice([{ ip: "10.244.2.2", nodeName: "node-2" }])]);
    expect(chain(elsewhere, "filter", "KUBE-SERVICES")[0]).toContain('has no local endpoints" -m tcp -p tcp -d 10.96.0.80 --dport 80 -j DROP');
  });

  test("remembers clients with session affinity", () => {
    const document = build(aService({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }), [aSlice(["10.244.1.2", "10.244.2.2"])]);
    expect(chain(document, "nat", names.cluster)[1]).toContain(`-m recent --name ${sep("10.244.1.2:8080")} --rcheck --seconds 60 --reap -j ${sep("10.244.1.2:8080")}`);
    expect(chain(document, "nat", sep("10.244.1.2:8080"))[1]).toContain(`-m recent --name ${sep("10.244.1.2:8080")} --set `);
  });
});

describe("endpoints", () => {
  const document = (...endpoints: Parameters<typeof aSlice>[0]): string => build(aService(), [aSlice(endpoints)]);

  test("that are not ready get nothing", () => {
    expect(document("10.244.1.2", { ip: "10.244.2.2", conditions: { ready: false } })).not.toContain("10.244.2.2");
  });

  test("that are terminating but still serve are used only when none is ready", () => {
    const draining = { ip: "10.244.2.2", conditions: { ready: false, serving: true, terminating: true } };
    expect(document("10.244.1.2", draining)).not.toContain("10.244.2.2");
    expect(document(draining)).toContain("--to-destination 10.244.2.2:8080");
  });

  test("of another port name, protocol or family are not this port's", () => {
    for (const slice of [aSlice(["10.244.1.2"], { ports: [{ name: "other", port: 1, protocol: "TCP" }] }), aSlice(["10.244.1.2"], { ports: [{ name: "http", port: 1, protocol: "UDP" }] }), aSlice(["fd00::2"], { addressType: "IPv6" })]) {
      expect(build(aService(), [slice])).toContain("REJECT");
    }
  });

  test("in two slices count once", () => {
    const slices = [aSlice(["10.244.1.2"]), aSlice(["10.244.1.2"], { metadata: { namespace: "ns", name: "web-2", labels: { "kubernetes.io/service-name": "web" } } })];
    expect(targets(build(aService(), slices), names.cluster)).toEqual(["KUBE-MARK-MASQ", sep("10.244.1.2:8080")]);
  });

  test("hinted for this zone are preferred, unless one has no hint or none is for here", () => {
    const hinted = (ip: string, zone: string): Parameters<typeof aSlice>[0][number] => ({ ip, hints: { forZones: [{ name: zone }] } });
    expect(document(hinted("10.244.1.2", "a"), hinted("10.244.2.2", "b"))).not.toContain("10.244.2.2");
    expect(document(hinted("10.244.1.2", "a"), "10.244.2.2")).toContain("10.244.2.2");
    expect(document(hinted("10.244.1.2", "c"), hinted("10.244.2.2", "b"))).toContain("10.244.2.2");
  });

  test("hinted for this node win over those for its zone", () => {
    const hinted = (ip: string, node: string): Parameters<typeof aSlice>[0][number] => ({ ip, hints: { forNodes: [{ name: node }], forZones: [{ name: "a" }] } });
    expect(document(hinted("10.244.1.2", "node-1"), hinted("10.244.2.2", "node-2"))).not.toContain("10.244.2.2");
  });
});

describe("addresses reached from outside", () => {
  const nodePort = { type: "NodePort" as const, ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080 }] };

  test("node ports lead to every endpoint, masqueraded", () => {
    const document = build(aService(nodePort), [aSlice(["10.244.2.2"])]);
    expect(chain(document, "nat", "KUBE-NODEPORTS")).toEqual([`-m comment --comment "ns/web:http" -m tcp -p tcp --dport 30080 -j ${names.external}`]);
    expect(targets(document, names.external)).toEqual(["KUBE-MARK-MASQ", names.cluster]);
    expect(chain(document, "nat", "KUBE-SERVICES").at(-1)).toContain("-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS");
  });

  test("with external policy Local keep the client's address, and the cluster's own traffic is not bound by it", () => {
    const document = build(aService({ ...nodePort, externalTrafficPolicy: "Local" }), [aSlice([{ ip: "10.244.1.2", nodeName: "node-1" }, { ip: "10.244.2.2", nodeName: "node-2" }])]);
    expect(targets(document, names.external)).toEqual([names.cluster, "KUBE-MARK-MASQ", names.cluster, names.local]);
    expect(targets(document, names.local)).toEqual([sep("10.244.1.2:8080")]);
    expect(targets(document, names.cluster)).toHaveLength(3);
  });

  test("with external policy Local and no endpoint here are dropped for outsiders only", () => {
    const document = build(aService({ ...nodePort, externalTrafficPolicy: "Local" }), [aSlice([{ ip: "10.244.2.2", nodeName: "node-2" }])]);
    expect(chain(document, "filter", "KUBE-EXTERNAL-SERVICES")[0]).toContain("--dport 30080 -j DROP");
    expect(targets(document, names.external)).toEqual([names.cluster, "KUBE-MARK-MASQ", names.cluster]);
  });

  test("without any endpoints are refused", () => {
    const document = build(aService({ ...nodePort, externalIPs: ["198.51.100.1"] }), []);
    expect(chain(document, "filter", "KUBE-EXTERNAL-SERVICES")).toEqual([expect.stringContaining("-d 198.51.100.1 --dport 80 -j REJECT"), expect.stringContaining("--dport 30080 -j REJECT")]);
  });

  test("of a balancer are guarded by its source ranges, except a balancer in proxy mode", () => {
    const service = aService({ type: "LoadBalancer", loadBalancerSourceRanges: [" 203.0.113.0/24", "192.0.2.0/24"] });
    const document = build({ ...service, status: { loadBalancer: { ingress: [{ ip: "198.51.100.7" }, { ip: "198.51.100.8", ipMode: "Proxy" }] } } }, [aSlice(["10.244.1.2"])]);
    expect(document).not.toContain("198.51.100.8");
    expect(chain(document, "nat", names.firewall)).toEqual([expect.stringContaining("-s 203.0.113.0/24"), expect.stringContaining("-s 192.0.2.0/24"), expect.stringContaining("-s 198.51.100.7"), expect.stringContaining("other traffic")]);
    expect(chain(document, "filter", "KUBE-PROXY-FIREWALL")[0]).toContain("-d 198.51.100.7 --dport 80 -j DROP");
  });
});

describe("documents", () => {
  const chains = (endpoints: string[]): ReturnType<typeof chainsFor> => chainsFor(serviceRules(aService(), [aSlice(endpoints)], config), 4);

  test("an unchanged wish is no document at all", () => {
    expect(documentFor(chains(["10.244.1.2"]), chains(["10.244.1.2"]))).toBeUndefined();
  });

  test("a changed endpoint rewrites its Service's chain and nothing else", () => {
    const document = documentFor(chains(["10.244.1.2", "10.244.1.3"]), chains(["10.244.1.2", "10.244.1.4"])) ?? "";
    expect([...document.matchAll(/^:(\S+)/gm)].map((match) => match[1])).toEqual([names.cluster, sep("10.244.1.3:8080"), sep("10.244.1.4:8080")]);
    expect(document).toContain(`-X ${sep("10.244.1.4:8080")}`);
    expect(document).not.toContain("*filter");
  });

  test("chains left by an earlier life are removed", () => {
    expect(documentFor(chains([]), chains([]), { nat: ["KUBE-SVC-OLD"] })).toBe("*nat\n:KUBE-SVC-OLD - [0:0]\n-X KUBE-SVC-OLD\nCOMMIT\n");
  });

  test("comments on endpoints can be left out", () => {
    expect(build(aService(), [aSlice(["10.244.1.2"])], { comments: false })).not.toContain("->");
  });

  test("IPv6 endpoints are written in brackets", () => {
    const document = rules([aService({ clusterIP: "fd00:96::80", clusterIPs: ["fd00:96::80"] })], [aSlice(["fd00:244::2"], { addressType: "IPv6" })], { ...config, clusterCidr: "fd00:244::/56" });
    expect(document).toContain("--to-destination [fd00:244::2]:8080");
    expect(document).toContain("! -d ::1/128 -j KUBE-NODEPORTS");
  });
});
