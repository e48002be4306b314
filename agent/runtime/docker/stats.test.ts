// A container's figures, on a tree of files as the kernel shows it.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { FakeClock } from "../../../lib/clock.ts";
import { ContainerFigures, type ContainerFiguresDeps } from "./stats.ts";

let root: string;
let states: Record<string, { Running: boolean; Pid: number }>;
let inspected: string[];
let figures: ContainerFigures;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "minik8s-figures-"));
  [states, inspected] = [{}, []];
  const inspect = (id: string) => (): Promise<unknown> => {
    inspected.push(id);
    return states[id] ? Promise.resolve({ State: states[id] }) : Promise.reject(Object.assign(new Error("no such container"), { statusCode: 404 }));
  };
  const docker = { getContainer: (id: string) => ({ inspect: inspect(id) }) } as unknown as ContainerFiguresDeps["docker"];
  figures = new ContainerFigures({ docker, clock: new FakeClock(), places: { cgroups: join(root, "cg"), proc: join(root, "proc") } });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), `${text}\n`);
}

function running(id: string, pid: number, membership: string): void {
  states[id] = { Running: true, Pid: pid };
  write(`proc/${pid}/cgroup`, membership);
}

const wanted = { id: "a", cpuNanoseconds: 7_000_000, memoryUsageBytes: 5000, memoryWorkingSetBytes: 4000, memoryRssBytes: 3000 };

test("on version 1 they come from the hierarchies of memory and processor time", async () => {
  running("a", 17, "9:cpu,cpuacct:/kubepods/podx/a\n5:memory:/kubepods/podx/a\n0::/other");
  write("cg/memory/kubepods/podx/a/memory.usage_in_bytes", "5000");
  write("cg/memory/kubepods/podx/a/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\ntotal_rss 3000");
  write("cg/cpuacct/kubepods/podx/a/cpuacct.usage", "7000000");
  expect(await figures.read(["a"])).toMatchObject([wanted]);
});

test("on version 2 they come from the one there is", async () => {
  running("a", 17, "0::/kubepods.slice/docker-a.scope");
  write("cg/kubepods.slice/docker-a.scope/memory.current", "5000");
  write("cg/kubepods.slice/docker-a.scope/memory.stat", "anon 3000\ninactive_file 1000");
  write("cg/kubepods.slice/docker-a.scope/cpu.stat", "usage_usec 7000\nuser_usec 1");
  expect(await figures.read(["a"])).toMatchObject([wanted]);
});

test("the engine is asked once where a container is, and what has ended has none", async () => {
  running("a", 17, "0::/a");
  states["ended"] = { Running: false, Pid: 0 };
  for (const [file, text] of [["memory.current", "1"], ["memory.stat", "anon 1"], ["cpu.stat", "usage_usec 1"]] as const) write(`cg/a/${file}`, text);
  for (let round = 0; round < 2; round++) expect((await figures.read(["a", "gone"])).map(({ id }) => id)).toEqual(["a"]);
  expect(inspected.filter((id) => id === "a")).toEqual(["a"]);
  expect(await figures.read(["ended"])).toEqual([]);
  rmSync(join(root, "cg/a"), { recursive: true });
  states["a"] = { Running: false, Pid: 0 };
  expect(await figures.read(["a"])).toEqual([]);
});
