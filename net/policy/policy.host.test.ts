import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { NetworkPolicy } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { run } from "../../lib/exec.ts";
import { becomes, TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { createIptables } from "../host/iptables.ts";
import { makeNode, type TestNode } from "../host/node.suite.ts";
import { askTcp, serveTcp, type TestNamespace, tryTcp } from "../host/testing.ts";
import { aPod, FakeInformers } from "../testing.ts";
import { cleanupPolicy, createPolicy } from "./policy.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const POLICY = builtinKind("networking.k8s.io", "v1", "NetworkPolicy");
const POD = builtinKind("", "v1", "Pod");
const NAMESPACE = builtinKind("", "v1", "Namespace");

let setup: TestNode;
let web: TestNamespace;
let client: TestNamespace;
let informers: FakeInformers;
let policy: Component;

beforeEach(async () => {
  setup = await makeNode();
  [web, client] = [await setup.addPod("web", "10.244.1.2"), await setup.addPod("client", "10.244.1.9")];
  informers = new FakeInformers();
  informers.put(NAMESPACE, { metadata: { name: "ns", labels: { "kubernetes.io/metadata.name": "ns" } } });
  informers.put(POD, aPod("ns", "web", { ip: "10.244.1.2", labels: { app: "web" } }), aPod("ns", "client", { ip: "10.244.1.9", labels: { app: "client" } }));
  policy = createPolicy({ informers, exec: setup.node.exec, nodeName: "node-1", clusterCidr: "10.244.0.0/16", clock: systemClock });
  serveTcp(web, 80, "web");
});
afterEach(async () => {
  await policy.stop();
  await setup[Symbol.asyncDispose]();
});

const denyAll: NetworkPolicy = { metadata: { namespace: "ns", name: "deny" }, spec: { podSelector: { matchLabels: { app: "web" } }, policyTypes: ["Ingress"] } };
const allowClient: NetworkPolicy = { metadata: { namespace: "ns", name: "allow" }, spec: { podSelector: { matchLabels: { app: "web" } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: "client" } } }], ports: [{ port: 80 }] }] } };

describe("policies on a node", () => {
  test("come into force, are widened and lifted while running", async () => {
    await policy.start();
    expect(await askTcp(client, "10.244.1.2", 80)).toBe("web");
    informers.put(POLICY, denyAll);
    await becomes("no answer", () => tryTcp(client, "10.244.1.2", 80));
    informers.put(POLICY, allowClient);
    await becomes("web", () => tryTcp(client, "10.244.1.2", 80));
    expect(await tryTcp(setup.outside, "10.244.1.2", 80)).toBe("no answer");
    informers.of(POLICY).remove("ns/deny");
    informers.of(POLICY).remove("ns/allow");
    await becomes("web", () => tryTcp(setup.outside, "10.244.1.2", 80));
  });

  test("never keep the node from its own pods, nor a pod from its answers", async () => {
    serveTcp(setup.outside, 81, "out");
    informers.put(POLICY, denyAll);
    await policy.start();
    expect(await askTcp(setup.node, "10.244.1.2", 80)).toBe("web");
    expect(await askTcp(web, "192.0.2.9", 81)).toBe("out");
    expect(await tryTcp(client, "10.244.1.2", 80)).toBe("no answer");
  });

  test("come before a firewall that accepts, and leave no trace when removed", async () => {
    const iptables = createIptables({ exec: setup.node.exec });
    await run(setup.node.exec, ["iptables", "-I", "FORWARD", "-j", "ACCEPT"]);
    informers.put(POLICY, denyAll, allowClient);
    await policy.start();
    expect(await tryTcp(setup.outside, "10.244.1.2", 80)).toBe("no answer");
    await policy.stop();
    await cleanupPolicy(iptables);
    await cleanupPolicy(iptables);
    expect(await iptables.save("mangle")).not.toContain("MINIK8S");
    expect(await askTcp(setup.outside, "10.244.1.2", 80)).toBe("web");
  });
});
