import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Exec } from "../../lib/exec.ts";
import { createRuntime } from "./create.ts";

const nothingInstalled: Exec = () => Promise.resolve({ exitCode: 127, stdout: "", stderr: "not found" });
const BASE = { dataDir: "/nonexistent", cniBinDir: "/nonexistent", cniConfDir: "/nonexistent", exec: nothingInstalled };
const messageOf = async (options: Partial<Parameters<typeof createRuntime>[0]>): Promise<string> => createRuntime({ kind: "auto", ...BASE, ...options }).then(() => "", (error: Error) => error.message);

test("without a runtime, one line names what is missing and the command that brings it", async () => {
  expect(await messageOf({ kind: "containerd" })).toBe("containerd is not installed; install it with: apt-get install -y containerd runc");
});

test("an endpoint that is not there is named with its flag", async () => {
  expect(await messageOf({ endpoint: "unix:///nonexistent/crio.sock" })).toBe("--runtime-endpoint /nonexistent/crio.sock does not exist; start the runtime that serves it, or leave the flag out");
});

test("an endpoint where nobody listens any more says so", async () => {
  const directory = mkdtempSync(join(tmpdir(), "minik8s-create-"));
  const path = join(directory, "docker.sock");
  const server = createServer((socket) => void socket.destroy());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    expect(await messageOf({ kind: "docker", endpoint: path })).toMatch(/^Docker does not answer on .*docker\.sock \(.*\); start it with: systemctl start docker$/);
  } finally {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
