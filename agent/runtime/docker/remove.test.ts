import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { rememberEndpoint, removeDockerPods } from "./remove.ts";

const dir = mkdtempSync(join(tmpdir(), "docker-remove-"));
const silent = createServer(() => {}).listen(join(dir, "d.sock"));
afterAll(() => {
  silent.close();
  rmSync(dir, { recursive: true, force: true });
});

test("an engine that takes calls and never answers does not keep a node from being taken down", async () => {
  rememberEndpoint({ dataDir: dir, socketPath: join(dir, "d.sock") });
  const clock = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 100, signal) };
  await removeDockerPods({ dataDir: dir, network: { attach: () => Promise.reject(new Error("unused")), detach: () => Promise.resolve() }, clock });
  expect(existsSync(join(dir, "docker", "endpoint"))).toBe(false);
});
