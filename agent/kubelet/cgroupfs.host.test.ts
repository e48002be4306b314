import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CgroupFs, detectCgroups } from "./cgroupfs.ts";
import { aPod } from "./builders.ts";
import { cgroupName, cgroupPath } from "./cgroups.ts";

const ROOT = `/minik8s-test-${process.pid}`;
const mounts = detectCgroups();
const cgroups = new CgroupFs({ driver: "cgroupfs", mounts, root: ROOT, podPidsLimit: 100 });
const pids = mounts.mounts.get("pids") as string;
afterEach(() => cgroups.removeAll());

const place = (pod: Parameters<typeof cgroupName>[0]): string => join(pids, cgroupPath(cgroupName(pod), "cgroupfs", ROOT));

test("a pod's cgroup bounds its processes", async () => {
  const pod = aPod();
  await cgroups.ensure(pod);
  expect(readFileSync(join(place(pod), "pids.max"), "utf8").trim()).toBe("100");
});

test("cgroups of pods nobody wants go, and with them what nobody else would end", async () => {
  const [wanted, stale, busy] = ["wanted", "stale", "busy"].map((uid) => aPod({ metadata: { name: uid, namespace: "default", uid } }));
  for (const pod of [wanted, stale, busy]) await cgroups.ensure(pod!);
  mkdirSync(join(place(stale!), "container"));
  const child = Bun.spawn(["sleep", "1000"]);
  writeFileSync(join(place(busy!), "cgroup.procs"), String(child.pid));
  await cgroups.removeStale((uid) => uid === "wanted");
  expect([wanted, stale, busy].map((pod) => existsSync(place(pod!)))).toEqual([true, false, false]);
  expect(await child.exited).not.toBe(0);
});
