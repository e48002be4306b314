// Settings of a container's cgroup that the engine's API does not know, on a tree of files.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setUnified } from "./unified.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "minik8s-unified-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const scope = "system.slice/docker-abc.scope";
const places = (): { cgroups: string; proc: string } => ({ cgroups: join(root, "cg"), proc: join(root, "proc") });

function aProcess(membership: string): void {
  mkdirSync(join(root, "cg", scope), { recursive: true });
  writeFileSync(join(root, "cg", scope, "memory.oom.group"), "0\n");
  mkdirSync(join(root, "proc", "17"), { recursive: true });
  writeFileSync(join(root, "proc", "17", "cgroup"), membership);
}

test("a container ends as one when it is out of memory", async () => {
  aProcess(`0::/${scope}\n`);
  await setUnified(17, { "memory.oom.group": "1", "memory.unknown": "1" }, places());
  expect(readFileSync(join(root, "cg", scope, "memory.oom.group"), "utf8")).toStartWith("1");
  expect(existsSync(join(root, "cg", scope, "memory.unknown"))).toBe(false);
});

test.each([["has ended", 18, `0::/${scope}\n`], ["is in the root", 17, "0::/\n"], ["is in cgroups of version 1", 17, "4:memory:/docker/abc\n"]])("a process that %s is left alone", async (_what, pid, membership) => {
  aProcess(membership);
  await setUnified(pid, { "memory.oom.group": "1" }, places());
  expect(readFileSync(join(root, "cg", scope, "memory.oom.group"), "utf8")).toBe("0\n");
});
