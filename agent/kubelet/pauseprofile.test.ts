import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SecurityProfile } from "../runtime/runtime.ts";
import { PauseProfile } from "./pauseprofile.ts";

let directory: string;
let profile: PauseProfile;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "minik8s-pause-"));
  profile = new PauseProfile(join(directory, "run", "pause.json"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const choose = (failures = 0, runtimeHandler = ""): Promise<SecurityProfile> => profile.choose({ failures, runtimeHandler });
const narrow = (): SecurityProfile => ({ type: "Localhost", localhostRef: profile.path });

test("a sandbox gets a profile that allows what a sleeping process needs and neither sockets, mounts nor other processes", async () => {
  expect(await choose()).toEqual(narrow());
  const file = JSON.parse(readFileSync(profile.path, "utf8")) as { defaultAction: string; syscalls: { names: string[]; action: string }[] };
  expect(file.defaultAction).toBe("SCMP_ACT_ERRNO");
  const names = file.syscalls.flatMap((rule) => rule.names);
  expect(names).toEqual([...new Set(names)]);
  for (const needed of ["rt_sigprocmask", "rt_sigtimedwait", "wait4", "exit_group", "execve"]) expect(names).toContain(needed);
  for (const unneeded of ["socket", "mount", "ptrace", "bpf", "unshare", "setns", "keyctl", "init_module", "process_vm_readv"]) expect(names).not.toContain(unneeded);
});

test("after a failure, and for another runtime than the ordinary one, it is the runtime's own", async () => {
  expect(await choose(1)).toEqual({ type: "RuntimeDefault" });
  expect(await choose(0, "gvisor")).toEqual({ type: "RuntimeDefault" });
});

const TASK_FAILED = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed";

test("a runtime that again and again cannot start sandboxes under it starts them under its own", async () => {
  for (let pod = 0; pod < 3; pod++) {
    const chosen = await choose();
    expect(chosen).toEqual(narrow());
    profile.failed(chosen, TASK_FAILED);
  }
  expect(await choose()).toEqual({ type: "RuntimeDefault" });
});

test("neither failures of other causes count against it, nor those of a runtime that can", async () => {
  for (let pod = 0; pod < 9; pod++) {
    profile.failed(narrow(), 'name "a_default_0" is reserved for another');
    profile.failed({ type: "RuntimeDefault" }, TASK_FAILED);
    profile.failed(narrow(), TASK_FAILED);
    profile.worked(narrow());
    expect(await choose()).toEqual(narrow());
  }
});

test("where it cannot be written sandboxes start under the runtime's own", async () => {
  writeFileSync(join(directory, "run"), "");
  expect(await choose()).toEqual({ type: "RuntimeDefault" });
  rmSync(join(directory, "run"));
  mkdirSync(join(directory, "run"));
  expect(await choose()).toEqual(narrow());
});
