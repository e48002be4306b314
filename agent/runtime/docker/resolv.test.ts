import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aContainer } from "../runtime.suite.ts";
import { ResolvFiles } from "./resolv.ts";

let directory: string;
let files: ResolvFiles;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "minik8s-resolv-"));
  files = new ResolvFiles(join(directory, "resolv"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const dns = { servers: ["10.96.0.10"], searches: ["a", "b"], options: ["ndots:5"] };
const nothing = { servers: [], searches: [], options: [] };
const mount = (hostPath: string, containerPath: string): { hostPath: string; containerPath: string; readOnly: boolean; propagation: "private" } => ({ hostPath, containerPath, readOnly: false, propagation: "private" });

test("a sandbox's file says what the pod was given, and any user of a container may read it", () => {
  files.write("s", dns);
  const path = join(directory, "resolv", "s");
  expect(readFileSync(path, "utf8")).toBe("search a b\nnameserver 10.96.0.10\noptions ndots:5\n");
  expect(statSync(path).mode & 0o777).toBe(0o644);
});

test("a pod that was given nothing gets the machine's, where there is one", () => {
  const machines = join(directory, "machines");
  files.write("s", nothing, machines);
  expect(readFileSync(join(directory, "resolv", "s"), "utf8")).toBe("");
  writeFileSync(machines, "nameserver 192.0.2.1\n");
  files.write("s", nothing, machines);
  expect(readFileSync(join(directory, "resolv", "s"), "utf8")).toBe("nameserver 192.0.2.1\n");
});

test("containers get it beside their own mounts, unless they mount one themselves or their sandbox has none", () => {
  files.write("s", dns);
  const data = mount("/data", "/data");
  expect(files.mountInto("s", aContainer({ mounts: [data] })).mounts).toEqual([data, mount(join(directory, "resolv", "s"), "/etc/resolv.conf")]);
  const own = aContainer({ mounts: [mount("/own", "/etc/resolv.conf")] });
  expect(files.mountInto("s", own)).toBe(own);
  const older = aContainer();
  expect(files.mountInto("made-by-an-older-agent", older)).toBe(older);
});

test("a file goes with its sandbox, also with one that went while nobody looked", () => {
  for (const id of ["a", "b", "c"]) files.write(id, dns);
  files.remove("a");
  files.remove("a");
  files.retain(new Set(["c"]));
  expect(readdirSync(join(directory, "resolv"))).toEqual(["c"]);
});
