// The pod network in the directories of a runtime that is the machine's.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SHARED_PLUGIN, shareNetwork, unshareNetwork } from "./shared.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "minik8s-cni-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const directories = (): { binDir: string; confDir: string } => ({ binDir: join(root, "bin"), confDir: join(root, "net.d") });
const share = (podCidr = "10.244.3.0/24"): Promise<void> => shareNetwork({ ...directories(), podCidrs: [podCidr], dataDir: join(root, "ipam"), program: { executable: "/usr/local/bin/minik8s" } });

test("the list names a plugin that is there, runnable and nobody else's, and every start may say so again", async () => {
  await share();
  await share();
  const { binDir, confDir } = directories();
  const list = JSON.parse(readFileSync(join(confDir, "10-minik8s.conflist"), "utf8")) as { plugins: { type: string; ipam: { ranges: unknown } }[] };
  expect(list.plugins.map(({ type }) => type)).toEqual([SHARED_PLUGIN]);
  expect(list.plugins[0]?.ipam.ranges).toEqual([[{ subnet: "10.244.3.0/24" }]]);
  expect(statSync(join(binDir, SHARED_PLUGIN)).mode & 0o111).toBe(0o111);
  expect(readFileSync(join(binDir, SHARED_PLUGIN), "utf8")).toContain("/usr/local/bin/minik8s");
  expect(readdirSync(binDir).toSorted()).toEqual(["loopback", SHARED_PLUGIN]);
});

test("the quick script knows the list by its own name", async () => {
  await share();
  expect(readFileSync(join(directories().binDir, SHARED_PLUGIN), "utf8")).toContain(`"type":"${SHARED_PLUGIN}"`);
});

test("a network the script does not serve is the executable's", async () => {
  await share("10.244.0.0/20");
  expect(readFileSync(join(directories().binDir, SHARED_PLUGIN), "utf8")).toBe("#!/bin/sh\nMINIK8S_CNI_PLUGIN=bridge exec '/usr/local/bin/minik8s'\n");
});

test("others' plugins and lists stay as they are, also when the network is taken back", async () => {
  const { binDir, confDir } = directories();
  for (const directory of [binDir, confDir]) mkdirSync(directory);
  for (const name of ["bridge", "loopback"]) writeFileSync(join(binDir, name), "theirs");
  writeFileSync(join(confDir, "87-podman.conflist"), "theirs");
  await share();
  expect(["bridge", "loopback"].map((name) => readFileSync(join(binDir, name), "utf8"))).toEqual(["theirs", "theirs"]);
  await unshareNetwork(directories());
  expect(readdirSync(confDir)).toEqual(["87-podman.conflist"]);
  expect(existsSync(join(binDir, SHARED_PLUGIN))).toBe(false);
  await unshareNetwork(directories());
});
