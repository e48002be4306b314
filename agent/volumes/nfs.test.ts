// An export whose server does not answer must not hold the pod that wants it.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Exec } from "../../lib/exec.ts";
import { noMounter } from "../kubelet/builders.ts";
import { nfs } from "./nfs.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "minik8s-nfs-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("a mount that hangs ends with the pod's deletion", async () => {
  const begun = Promise.withResolvers<readonly string[]>();
  const hanging: Exec = (command, options) => new Promise((resolve) => {
    options?.signal?.addEventListener("abort", () => resolve({ exitCode: 137, stdout: "", stderr: "is not wanted any more" }));
    begun.resolve(command);
  });
  const stop = new AbortController();
  const volume = { name: "share", nfs: { server: "10.0.0.9", path: "/srv" } };
  const outcome = nfs(noMounter, hanging).setup({ pod: { metadata: { name: "p" } }, volume, dir: join(root, "share"), signal: stop.signal }).catch((error: Error) => error.message);
  expect(await begun.promise).toEqual(["mount", "-t", "nfs", "10.0.0.9:/srv", join(root, "share")]);
  stop.abort();
  expect(await outcome).toEndWith("exited 137: is not wanted any more");
});
