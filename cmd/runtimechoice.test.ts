import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodesRuntime, rememberRuntime } from "./runtimechoice.ts";

test("a command beside the agent uses the agent's runtime unless a flag names another", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "minik8s-runtime-choice-"));
  try {
    expect(nodesRuntime(dataDir, { runtime: "auto" })).toEqual({ kind: "auto" });
    rememberRuntime(dataDir, { kind: "docker", endpoint: "unix:///run/other.sock" });
    expect(nodesRuntime(dataDir, { runtime: "auto" })).toEqual({ kind: "docker", endpoint: "unix:///run/other.sock" });
    expect(nodesRuntime(dataDir, { runtime: "containerd" })).toEqual({ kind: "containerd" });
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});
