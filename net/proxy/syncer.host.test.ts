import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { createIptables, type Iptables } from "../host/iptables.ts";
import { allowPodTraffic } from "../host/podtraffic.ts";
import { makeNamespace, type TestNamespace } from "../host/testing.ts";
import { aService, aSlice } from "../testing.ts";
import type { NodeConfig } from "./service-rules.ts";
import { Syncer, type ServiceSource } from "./syncer.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

const config: NodeConfig = { nodeName: "node-1", nodeIp: "192.0.2.1", zone: "", clusterCidr: "10.244.0.0/16", localClusterIps: new Set(), comments: true };
const source: ServiceSource = { keys: () => ["ns/web"], get: (key) => (key === "ns/web" ? { service, slices: [slice] } : undefined) };
const service = aService();
const slice = aSlice(["10.244.1.2"]);

let space: TestNamespace;
let iptables: Iptables;
beforeEach(async () => {
  space = await makeNamespace("sync");
  iptables = createIptables({ exec: space.exec });
});
afterEach(() => space[Symbol.asyncDispose]());

const newSyncer = (): Syncer => new Syncer({ iptables, exec: space.exec, family: 4 });

test("chains of Services that went away while nobody looked are removed", async () => {
  await iptables.restore("*nat\n:KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\n:KUBE-SEP-BBBBBBBBBBBBBBBB - [0:0]\n-A KUBE-SVC-AAAAAAAAAAAAAAAA -j KUBE-SEP-BBBBBBBBBBBBBBBB\nCOMMIT\n");
  await newSyncer().sync(source, config);
  expect(await iptables.save("nat")).not.toMatch(/AAAAAAAA|BBBBBBBB/);
  expect(await iptables.save("nat")).toContain("--to-destination 10.244.1.2:8080");
});

test("rules somebody flushed are noticed and written again", async () => {
  const syncer = newSyncer();
  await syncer.sync(source, config);
  expect(await syncer.check()).toBe(true);
  await run(space.exec, ["iptables", "-t", "nat", "-F"]);
  await run(space.exec, ["iptables", "-t", "nat", "-X"]);
  expect(await syncer.check()).toBe(false);
  await syncer.sync(source, config);
  expect(await iptables.save("nat")).toContain("--to-destination 10.244.1.2:8080");
});

test("a jump somebody removed or moved comes back in its place", async () => {
  const syncer = newSyncer();
  await syncer.sync(source, config);
  const order = async (): Promise<string[]> => ((await iptables.rules({ table: "filter", chain: "FORWARD" })) ?? []).map((rule) => rule.split(" ").at(-1) as string);
  const wanted = await order();
  expect(wanted).toEqual(["KUBE-PROXY-FIREWALL", "KUBE-FORWARD", "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "MINIK8S-FORWARD"]);
  await run(space.exec, ["iptables", "-D", "FORWARD", "5"]);
  await allowPodTraffic(iptables, "10.244.0.0/16");
  await run(space.exec, ["iptables", "-I", "FORWARD", "1", "-j", "ACCEPT", "-s", "203.0.113.1"]);
  expect(await order()).not.toEqual(["ACCEPT", ...wanted]);
  await syncer.check();
  expect((await order()).filter((target) => target !== "ACCEPT")).toEqual(wanted);
});

test("a document the kernel refuses is tried in full next time", async () => {
  let fail = false;
  const syncer = new Syncer({ iptables: { ...iptables, restore: (document) => (fail ? Promise.reject(new Error("refused")) : iptables.restore(document)) }, exec: space.exec, family: 4 });
  await syncer.sync(source, config);
  fail = true;
  const changed = aSlice(["10.244.1.3"]);
  const moved: ServiceSource = { ...source, get: () => ({ service, slices: [changed] }) };
  await expect(syncer.sync(moved, config, new Set(["ns/web"]))).rejects.toThrow("refused");
  fail = false;
  await syncer.sync(moved, config, new Set());
  expect(await iptables.save("nat")).toContain("--to-destination 10.244.1.3:8080");
  expect(await iptables.save("nat")).not.toContain("10.244.1.2");
});

test("a cluster of thousands of endpoints is written once, without comments", async () => {
  const many = aSlice(Array.from({ length: 1500 }, (_, index) => `10.244.${index >> 8}.${index & 255}`));
  let restores = 0;
  const syncer = new Syncer({ iptables: { ...iptables, restore: (document) => { restores++; return iptables.restore(document); } }, exec: space.exec, family: 4 });
  const large: ServiceSource = { ...source, get: () => ({ service, slices: [many] }) };
  await syncer.sync(large, config);
  expect(await iptables.save("nat")).not.toContain("->");
  const before = restores;
  await syncer.sync(large, config);
  expect(restores).toBe(before);
});
