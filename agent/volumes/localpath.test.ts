import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryClient } from "../../api/client/testing.ts";
import { builtinKind } from "../../api/registry.ts";
import type { PersistentVolume } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { eventually } from "../../lib/testing.ts";
import { runLocalPaths } from "./localpath.ts";

const VOLUME = builtinKind("", "v1", "PersistentVolume");
const stop = new AbortController();
const roots: string[] = [];
afterEach(() => roots.splice(0).forEach((root) => rmSync(root, { recursive: true, force: true })));

function aNode(): { client: MemoryClient; root: string } {
  const client = new MemoryClient();
  void runLocalPaths({ client, clock: systemClock, nodeName: "n1" }, stop.signal);
  const root = mkdtempSync(join(tmpdir(), "controllers-localpath-"));
  roots.push(root);
  return { client, root };
}
const aVolume = (name: string, path: string, node = "n1"): PersistentVolume => ({ metadata: { name, labels: { "minik8s.io/local-path-node": node }, finalizers: ["minik8s.io/local-path"] }, spec: { hostPath: { path } } });
const until = (condition: () => boolean | Promise<boolean>): Promise<unknown> => eventually("what the volume is in for", condition);

test("a local volume has a directory anybody may write to, until it is deleted", async () => {
  const { client, root } = aNode();
  const path = join(root, "pvc-1_default_data");
  await client.create(VOLUME, aVolume("pvc-1", path));
  await until(() => existsSync(path));
  expect(statSync(path).mode & 0o777).toBe(0o777);
  writeFileSync(join(path, "file"), "data");
  await client.delete(VOLUME, { name: "pvc-1" });
  await until(async () => (await client.list(VOLUME)).items.length === 0);
  expect(existsSync(path)).toBe(false);
});

test("another node's volume and a directory that is not a volume's own are never touched", async () => {
  const { client, root } = aNode();
  const precious = join(root, "precious");
  mkdirSync(precious);
  const foreign = join(root, "pvc-2_default_data");
  mkdirSync(foreign);
  await client.create(VOLUME, aVolume("pvc-1", precious));
  await client.create(VOLUME, aVolume("pvc-2", foreign, "n2"));
  for (const name of ["pvc-1", "pvc-2"]) await client.delete(VOLUME, { name });
  await Bun.sleep(30);
  expect([existsSync(precious), existsSync(foreign)]).toEqual([true, true]);
});
