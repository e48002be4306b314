import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import { systemClock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { run } from "../../lib/exec.ts";
import { becomes, eventually, TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { createIptables, type Iptables } from "../host/iptables.ts";
import { makeNode, type TestNode } from "../host/node.suite.ts";
import { removePodTraffic } from "../host/podtraffic.ts";
import { askTcp, askUdp, serveTcp, serveUdp, type TestNamespace, tryTcp } from "../host/testing.ts";
import { aNode, aService, aSlice, FakeInformers } from "../testing.ts";
import { cleanupProxy } from "./cleanup.ts";
import { createProxy } from "./proxy.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const SERVICE = builtinKind("", "v1", "Service");
const SLICE = builtinKind("discovery.k8s.io", "v1", "EndpointSlice");
const NODE = builtinKind("", "v1", "Node");

let setup: TestNode;
let node: TestNamespace;
let web: TestNamespace;
let client: TestNamespace;
let informers: FakeInformers;
let proxy: Component;
let iptables: Iptables;
/** Documents the kernel was given, and those it has taken. */
let restores: number;
let restored: number;

beforeEach(async () => {
  setup = await makeNode();
  node = setup.node;
  [web, client] = [await setup.addPod("web", "10.244.1.2"), await setup.addPod("client", "10.244.1.9")];
  // As where dockerd runs.
  await run(node.exec, ["iptables", "-P", "FORWARD", "DROP"]);
  informers = new FakeInformers();
  informers.put(NODE, aNode("node-1", "192.0.2.1", "10.244.1.0/24"));
  iptables = createIptables({ exec: node.exec });
  restores = restored = 0;
  const exec: typeof node.exec = async (command, options) => {
    if (command[0] !== "iptables-restore") return node.exec(command, options);
    restores++;
    return node.exec(command, options).finally(() => restored++);
  };
  proxy = createProxy({ informers, exec, nodeName: "node-1", nodeIp: "192.0.2.1", clusterCidr: "10.244.0.0/16", clock: systemClock, healthAddress: { hostname: "127.0.0.1", port: 0 } });
});
afterEach(async () => {
  await proxy.stop();
  await setup[Symbol.asyncDispose]();
});

/** Makes a change and waits until the rules written for it are in place. */
async function settled(change: () => void): Promise<void> {
  const before = restored;
  change();
  await eventually("rules for the change", () => restored > before && restored === restores);
}

describe("the proxy", () => {
  test("answers on cluster IP and node port, for pods, the node, outsiders and the endpoint itself", async () => {
    informers.put(SERVICE, aService({ type: "NodePort", ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080 }] }));
    informers.put(SLICE, aSlice(["10.244.1.2"]));
    await proxy.start();
    serveTcp(web, 8080, "web");
    for (const from of [client, node, web]) expect(await askTcp(from, "10.96.0.80", 80)).toBe("web");
    for (const from of [client, node, web, setup.outside]) expect(await askTcp(from, "192.0.2.1", 30080)).toBe("web");
    expect(await askTcp(node, "127.0.0.1", 30080)).toBe("web");
  });

  test("refuses a Service without endpoints at once, and serves it as soon as it has one", async () => {
    informers.put(SERVICE, aService({ type: "NodePort", ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080 }] }));
    await proxy.start();
    serveTcp(web, 8080, "web");
    for (const from of [client, node]) expect(await tryTcp(from, "10.96.0.80", 80)).toBe("refused");
    expect(await tryTcp(setup.outside, "192.0.2.1", 30080)).toBe("refused");
    await settled(() => informers.put(SLICE, aSlice(["10.244.1.2"])));
    expect(await askTcp(client, "10.96.0.80", 80)).toBe("web");
  });

  test("spreads over endpoints, and keeps a client with session affinity at one", async () => {
    const other = await setup.addPod("other", "10.244.1.3");
    serveTcp(web, 8080, "one");
    serveTcp(other, 8080, "two");
    informers.put(SERVICE, aService());
    informers.put(SLICE, aSlice(["10.244.1.2", "10.244.1.3"]));
    await proxy.start();
    const ask = async (times: number): Promise<Set<string>> => new Set(await Promise.all(Array.from({ length: times }, () => askTcp(client, "10.96.0.80", 80))));
    expect([...(await ask(24))].sort()).toEqual(["one", "two"]);
    await settled(() => informers.put(SERVICE, aService({ sessionAffinity: "ClientIP" })));
    await askTcp(client, "10.96.0.80", 80);
    expect((await ask(12)).size).toBe(1);
  });

  test("moves a UDP client that keeps its port to the new endpoint", async () => {
    const other = await setup.addPod("other", "10.244.1.3");
    const udp = { ports: [{ name: "dns", port: 53, protocol: "UDP" as const }] };
    const slice = (ip: string): ReturnType<typeof aSlice> => aSlice([ip], { ports: [{ name: "dns", port: 5353, protocol: "UDP" }] });
    serveUdp(web, 5353, "old");
    serveUdp(other, 5353, "new");
    informers.put(SERVICE, aService({ clusterIP: "10.96.0.53", ...udp }));
    informers.put(SLICE, slice("10.244.1.2"));
    await proxy.start();
    expect(await askUdp(client, "10.96.0.53", 53)).toBe("old");
    const fixedPort = (): Promise<string> => askUdp(client, "10.96.0.53", 53, 4444);
    expect(await fixedPort()).toBe("old");
    await settled(() => informers.put(SLICE, slice("10.244.1.3")));
    await becomes("new", fixedPort);
  });

  test("keeps the client's address with external policy Local", async () => {
    web.spawn(["socat", "TCP-LISTEN:8080,fork,reuseaddr", "SYSTEM:echo $SOCAT_PEERADDR"]);
    informers.put(SERVICE, aService({ type: "NodePort", externalTrafficPolicy: "Local", ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080 }] }));
    informers.put(SLICE, aSlice([{ ip: "10.244.1.2", nodeName: "node-1" }]));
    await proxy.start();
    expect(await askTcp(setup.outside, "192.0.2.1", 30080)).toBe("192.0.2.9");
  });

  test("writes nothing for a change that changes nothing", async () => {
    informers.put(SERVICE, aService());
    informers.put(SLICE, aSlice(["10.244.1.2"]));
    await proxy.start();
    const before = restores;
    informers.put(SERVICE, aService({}, { annotations: { note: "nothing of interest" } }));
    await Bun.sleep(200);
    expect(restores).toBe(before);
  });

  test("lets pods out under the node's address", async () => {
    await proxy.start();
    setup.outside.spawn(["socat", "TCP-LISTEN:80,fork,reuseaddr", "SYSTEM:echo $SOCAT_PEERADDR"]);
    expect(await askTcp(client, "192.0.2.9", 80)).toBe("192.0.2.1");
  });

  test("takes its chains away and leaves others' alone, and may do so twice", async () => {
    informers.put(SERVICE, aService(), aService({ clusterIP: "10.96.0.81" }, { name: "empty" }));
    informers.put(SLICE, aSlice(["10.244.1.2"]));
    await run(node.exec, ["iptables", "-t", "nat", "-N", "DOCKER"]);
    await run(node.exec, ["iptables", "-t", "nat", "-A", "PREROUTING", "-j", "DOCKER"]);
    const before = await iptables.save("nat");
    await proxy.start();
    await proxy.stop();
    for (let round = 0; round < 2; round++) {
      await cleanupProxy(iptables);
      await removePodTraffic(iptables);
    }
    const rules = (text: string): string => text.split("\n").filter((line) => !line.startsWith("#")).join("\n").replace(/\[.*?\]/g, "");
    expect(rules(await iptables.save("nat"))).toBe(rules(before));
    expect(await iptables.save("filter")).not.toMatch(/KUBE|MINIK8S/);
    expect(await iptables.save("mangle")).not.toMatch(/KUBE/);
  });
});
