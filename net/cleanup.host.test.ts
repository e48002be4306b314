import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../lib/exec.ts";
import { TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { cleanupNetwork } from "./cleanup.ts";
import { DNS_LINK } from "./dns/dns.ts";
import { findMissing } from "./host/features.ts";
import { prepareHost } from "./host/host.ts";
import { showLink } from "./host/ip.ts";
import { holdAddress } from "./host/localaddress.ts";
import { readSysctl } from "./host/sysctl.ts";
import { makeNamespace, type TestNamespace } from "./host/testing.ts";
import { detectVariant } from "./host/variant.ts";
import { Syncer } from "./proxy/syncer.ts";
import { createIptables } from "./host/iptables.ts";
import { aService, aSlice } from "./testing.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

let space: TestNamespace;
beforeEach(async () => void (space = await makeNamespace("host")));
afterEach(() => space[Symbol.asyncDispose]());

const snapshot = async (): Promise<string> => {
  const saved = await Promise.all(["iptables-nft-save", "iptables-legacy-save"].map((name) => space.exec([name])));
  const links = await space.exec(["ip", "-brief", "link"]);
  return [...saved, links].map((result) => result.stdout).join("\n").split("\n").filter((line) => /^(-A|:\S+ -)|UP|DOWN/.test(line)).join("\n");
};

describe("a machine", () => {
  test("is made ready, twice the same, and left as it was", async () => {
    await run(space.exec, ["iptables", "-A", "INPUT", "-s", "203.0.113.1", "-j", "DROP"]);
    const before = await snapshot();
    await prepareHost({ exec: space.exec, clusterCidr: "10.244.0.0/16" });
    const ready = await snapshot();
    await prepareHost({ exec: space.exec, clusterCidr: "10.244.0.0/16" });
    expect(await snapshot()).toBe(ready);
    expect(await readSysctl(space.exec, "net/ipv4/ip_forward")).toBe("1");
    await holdAddress(space.exec, DNS_LINK, "10.96.0.10");
    await holdAddress(space.exec, DNS_LINK, "10.96.0.10");
    expect((await showLink(space.exec, DNS_LINK))?.addr_info?.[0]?.local).toBe("10.96.0.10");
    const syncer = new Syncer({ iptables: createIptables({ exec: space.exec }), exec: space.exec, family: 4 });
    await syncer.sync({ keys: () => ["ns/web"], get: () => ({ service: aService(), slices: [aSlice(["10.244.1.2"])] }) }, { nodeName: "n", nodeIp: "192.0.2.1", zone: "", clusterCidr: "10.244.0.0/16", localClusterIps: new Set(), comments: true });
    await cleanupNetwork(space.exec);
    await cleanupNetwork(space.exec);
    expect(await snapshot()).toBe(before);
  });

  test("keeps its rules in the backend where it has them already", async () => {
    expect(await detectVariant(space.exec)).toBeUndefined();
    await run(space.exec, ["iptables-legacy", "-A", "INPUT", "-s", "203.0.113.1", "-j", "DROP"]);
    expect(await detectVariant(space.exec)).toBe("legacy");
    await run(space.exec, ["iptables-nft", "-t", "mangle", "-N", "KUBE-IPTABLES-HINT"]);
    expect(await detectVariant(space.exec)).toBe("nft");
  });

  test("lacks nothing here, and what it lacks is named with its remedy", async () => {
    expect(await findMissing(space.exec)).toEqual([]);
    const without = (word: string): typeof space.exec => (command, options) => (command.join(" ").includes(word) ? Promise.resolve({ exitCode: 1, stdout: "", stderr: "" }) : space.exec(command, options));
    expect(await findMissing(without("--rcheck"))).toEqual([{ what: "the kernel has no iptables recent match", fix: "modprobe xt_recent (or a kernel with the module xt_recent)" }]);
    expect(await findMissing(without("command -v conntrack"))).toEqual([{ what: "the command conntrack is not installed", fix: "apt-get install conntrack" }]);
  });
});
