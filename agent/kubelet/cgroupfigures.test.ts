// What is read off a cgroup's files, on both versions, and off the kernel's other tables.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readCgroup, readPodCgroup } from "./cgroupfigures.ts";
import { parseInterfaces } from "./podnetwork.ts";

const root = mkdtempSync("/tmp/mk8s-cgroups-");
afterAll(() => rmSync(root, { recursive: true, force: true }));

function write(directory: string, files: Record<string, string>): void {
  mkdirSync(join(root, directory), { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, directory, name), content);
}

test("version 2 tells memory, throttling, processes and pressure", async () => {
  write("v2/pod", { "memory.stat": "anon 1\nfile 200\nfile_mapped 50\npgfault 7\npgmajfault 2\n", "memory.max": "1048576\n", "memory.swap.current": "4096\n", "cpu.stat": "usage_usec 1\nnr_periods 10\nnr_throttled 3\nthrottled_usec 2500000\n", "cpu.max": "50000 100000\n", "pids.current": "4\n", "cgroup.procs": "", "cpu.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=1234\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=34\n" });
  write("v2/pod/abc", { "pids.current": "4\n", "cgroup.procs": "17\n18\n", "memory.max": "max\n" });
  const location = { version: 2 as const, mounts: new Map(["cpu", "memory", "pids"].map((name) => [name, join(root, "v2")])), path: "/pod" };
  const { own, below } = await readPodCgroup(location);
  expect(own).toMatchObject({ processes: 4, pid: undefined, memory: { limitBytes: 1048576, cacheBytes: 200, mappedFileBytes: 50, swapBytes: 4096, pageFaults: 7, majorPageFaults: 2 }, cpu: { quotaUs: 50_000, periodUs: 100_000, periods: 10, throttledPeriods: 3, throttledSeconds: 2.5 } });
  expect(own.psi).toEqual({ cpu: { some: { avg10: 1.5, avg60: 0.25, avg300: 0, total: 1_234_000 }, full: { avg10: 0.5, avg60: 0, avg300: 0, total: 34_000 } } });
  expect(below.get("abc")).toMatchObject({ pid: 17, memory: { limitBytes: undefined } });
});

test("version 1 counts what is below too, and its highest limit is none", async () => {
  write("v1/pod", { "memory.stat": "cache 1\ntotal_cache 200\ntotal_pgfault 7\ntotal_swap 5\n", "memory.limit_in_bytes": "9223372036854771712\n", "memory.failcnt": "3\n", "cpu.stat": "nr_periods 10\nnr_throttled 3\nthrottled_time 2500000000\n", "cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n", "cpu.shares": "512\n" });
  const figures = await readCgroup({ version: 1, mounts: new Map(["cpu", "memory", "pids"].map((name) => [name, join(root, "v1")])), path: "/pod" });
  expect(figures).toMatchObject({ memory: { limitBytes: undefined, cacheBytes: 200, swapBytes: 5, pageFaults: 7, failures: 3 }, cpu: { shares: 512, quotaUs: undefined, throttledSeconds: 2.5 }, psi: {} });
});

test("a cgroup that is gone has no figures", async () => {
  expect(await readCgroup({ version: 1, mounts: new Map([["memory", root]]), path: "/nothing" })).toMatchObject({ processes: 0, pid: undefined, memory: { limitBytes: undefined, pageFaults: 0 } });
});

test("interfaces are read with their packets, loopback left out", () => {
  const text = "Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 100 2 3 4 0 0 0 0 500 6 7 8 0 0 0 0\n";
  expect(parseInterfaces(text)).toEqual([{ name: "eth0", rxBytes: 100, rxPackets: 2, rxErrors: 3, rxDropped: 4, txBytes: 500, txPackets: 6, txErrors: 7, txDropped: 8 }]);
});
