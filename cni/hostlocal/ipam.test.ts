import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { IpamConfig, PluginCall } from "../types.ts";
import { hostLocal, leakedContainers } from "./ipam.ts";

let dataDir: string;
/** How long after the reservations it is. */
let later: number;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "m8net-ipam-"));
  later = 0;
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const call = (containerId: string, ipam: Partial<IpamConfig> = {}, more: Partial<PluginCall> = {}): PluginCall => ({
  config: { cniVersion: "1.0.0", name: "pods", type: "bridge", ipam: { type: "host-local", ranges: [[{ subnet: "10.244.3.0/29" }]], routes: [{ dst: "0.0.0.0/0" }], dataDir, ...ipam } },
  containerId, ifName: "eth0", netns: "/run/netns/none", args: {}, exec: async () => ({ exitCode: 1, stdout: "", stderr: "" }), ...more,
});
const leaked = (...live: string[]): string[] => leakedContainers({ dataDir, network: "pods", liveContainerIds: new Set(live), now: Date.now() + later });
const asking = (id: string): PluginCall => call(id, {}, { args: { IP: "10.244.3.5" } });
const add = async (id: string, ipam?: Partial<IpamConfig>): Promise<string> => (await hostLocal.add(call(id, ipam))).ips.map((ip) => ip.address).join(" ");

describe("host-local", () => {
  test("addresses follow one another, gateway and broadcast left out", async () => {
    const result = await hostLocal.add(call("a"));
    expect(result.ips).toEqual([{ address: "10.244.3.2/29", gateway: "10.244.3.1" }]);
    expect(result.routes).toEqual([{ dst: "0.0.0.0/0" }]);
    expect([await add("b"), await add("c"), await add("d"), await add("e")]).toEqual(["10.244.3.3/29", "10.244.3.4/29", "10.244.3.5/29", "10.244.3.6/29"]);
    await expect(add("f")).rejects.toThrow("no IP addresses available in range set: 10.244.3.1-10.244.3.6");
  });

  test("a freed address is the last to be handed out again", async () => {
    await add("a");
    await hostLocal.del(call("a"));
    expect(await add("b")).toBe("10.244.3.3/29");
    for (const id of ["c", "d", "e"]) await add(id);
    expect(await add("f")).toBe("10.244.3.2/29");
  });

  test("the same container asking again keeps its address", async () => {
    expect(await add("a")).toBe("10.244.3.2/29");
    expect(await add("a")).toBe("10.244.3.2/29");
    expect(await add("b")).toBe("10.244.3.3/29");
  });

  test("deleting what was never added succeeds", async () => {
    await hostLocal.del(call("nobody"));
    expect(await add("a")).toBe("10.244.3.2/29");
  });

  test("check finds an added container and misses a deleted one", async () => {
    await add("a");
    await hostLocal.check(call("a"));
    await hostLocal.del(call("a"));
    await expect(hostLocal.check(call("a"))).rejects.toThrow("failed to find address");
  });

  test("one address per range set, and none when one set is exhausted", async () => {
    const dual = { ranges: [[{ subnet: "10.244.3.0/29" }], [{ subnet: "fd00:3::/126", rangeStart: "fd00:3::2", rangeEnd: "fd00:3::2" }]] };
    expect(await add("a", dual)).toBe("10.244.3.2/29 fd00:3::2/126");
    await expect(add("b", dual)).rejects.toThrow("failed to allocate for range 1");
    await hostLocal.del(call("a", dual));
    later = 61_000;
    expect(leaked()).toEqual([]);
  });

  test("who holds an address though it is gone is told after a while, and collecting takes all addresses back", async () => {
    await add("live");
    await add("dead");
    expect(leaked("live")).toEqual([]);
    later = 61_000;
    expect(leaked("live")).toEqual(["dead"]);
    await hostLocal.gc(call("", {}, { config: { ...call("").config, "cni.dev/valid-attachments": [] } }));
    expect(leaked()).toEqual([]);
  });

  test("a requested address is given, and refused when taken", async () => {
    expect((await hostLocal.add(asking("a"))).ips[0]?.address).toBe("10.244.3.5/29");
    await expect(hostLocal.add(asking("b"))).rejects.toThrow("requested IP address 10.244.3.5 is not available");
  });

  test("a store left by the reference plugin is honoured", async () => {
    await add("a");
    writeFileSync(join(dataDir, "pods", "10.244.3.3"), "other\r\neth0");
    writeFileSync(join(dataDir, "pods", "last_reserved_ip.0"), "10.244.3.2");
    expect(await add("b")).toBe("10.244.3.4/29");
  });

  test.each([["10.0.0.0/31", "too small"], ["pods", "invalid subnet"]])("a subnet of %s is refused", async (subnet, reason) => {
    await expect(hostLocal.add(call("a", { ranges: [[{ subnet }]] }))).rejects.toThrow(reason);
  });

  test("processes allocating at once never share an address", async () => {
    const script = join(import.meta.dir, "ipam.ts");
    const program = `const { hostLocal } = await import(${JSON.stringify(script)});
      for (let i = 0; i < 20; i++) console.log((await hostLocal.add({ config: { name: "pods", ipam: { subnet: "10.1.0.0/24", dataDir: ${JSON.stringify(dataDir)} } }, containerId: process.pid + "-" + i, ifName: "eth0", args: {} })).ips[0].address);`;
    const outputs = await Promise.all(Array.from({ length: 6 }, async () => new Response(Bun.spawn([process.execPath, "-e", program], { stderr: "inherit" }).stdout).text()));
    const addresses = outputs.flatMap((output) => output.trim().split("\n"));
    expect(addresses).toHaveLength(120);
    expect(new Set(addresses).size).toBe(120);
  });
});
