import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { TEST_TIMEOUT_MS, PATIENCE_MS } from "../../../lib/testing.ts";
import { busyboxImage } from "../busybox-image.ts";
import { parseLogEntry } from "../cri-log.ts";
import { aContainer, aSandbox, removeSuiteCgroups } from "../runtime.suite.ts";
import type { SandboxAttachment, SandboxNetwork } from "./networks.ts";
import { removeDockerPods } from "./remove.ts";
import { DockerRuntime } from "./runtime.ts";
import { startDockerd } from "./testing.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);
const IMAGE = "minik8s.test/busybox:survival";
let engine: Awaited<ReturnType<typeof startDockerd>>;
let dataDir: string;
let runtime: DockerRuntime;
const attached = new Map<string, SandboxAttachment>();
const network: SandboxNetwork = {
  attach: (attachment) => Promise.resolve((attached.set(attachment.containerId, attachment), { ips: ["10.88.0.7"] })),
  detach: ({ containerId }) => Promise.resolve(void attached.delete(containerId)),
};

const open = (): Promise<DockerRuntime> => DockerRuntime.connect({ socketPath: engine.socketPath, dataDir, network });

beforeAll(async () => {
  engine = await startDockerd();
  dataDir = join(engine.directory, "agent");
  mkdirSync(dataDir);
  runtime = await open();
  const tar = join(dataDir, "busybox.tar");
  writeFileSync(tar, busyboxImage(IMAGE));
  await runtime.images.load(tar);
});
afterAll(async () => {
  await runtime.close();
  await engine.stop();
  removeSuiteCgroups();
});

test("what is printed while no agent runs is in the log once, after the next one has come", async () => {
  const config = aSandbox({ logDirectory: join(dataDir, "logs") });
  const sandbox = await runtime.pods.runSandbox(config);
  const id = await runtime.pods.createContainer(sandbox, aContainer({ image: IMAGE, command: ["/bin/sh", "-c", "seq 1 100; sleep 1; seq 101 5000"] }), config);
  await runtime.pods.startContainer(id);
  await Bun.sleep(300);
  await runtime.close();
  await Bun.sleep(1500);
  runtime = await open();
  while ((await runtime.pods.containerStatus(id))?.state !== "exited") await Bun.sleep(50);
  const { logPath } = (await runtime.pods.containerStatus(id))!;
  const lines = readFileSync(logPath).toString().split("\n").filter(Boolean).map((line) => parseLogEntry(Buffer.from(line))?.content.toString());
  expect(lines).toEqual(Array.from({ length: 5000 }, (_, n) => String(n + 1)));
});

test("a sandbox has the address its network gave, also for a new agent, and loses it when stopped", async () => {
  const config = aSandbox({ uid: "net", namespaces: { network: "pod", pid: "container", ipc: "pod" }, logDirectory: join(dataDir, "logs"), dns: { servers: ["10.96.0.10"], searches: ["svc.cluster.local"], options: ["ndots:5"] } });
  const sandbox = await runtime.pods.runSandbox(config);
  expect(attached.get(sandbox)?.netnsPath).toMatch(/^\/proc\/\d+\/ns\/net$/);
  await runtime.close();
  runtime = await open();
  expect((await runtime.pods.sandboxStatus(sandbox))?.ips).toEqual(["10.88.0.7"]);
  const id = await runtime.pods.createContainer(sandbox, aContainer({ image: IMAGE, security: { ...aContainer().security, namespaces: config.namespaces } }), config);
  await runtime.pods.startContainer(id);
  const { output } = await runtime.streaming.execSync(id, ["cat", "/etc/resolv.conf"], { timeoutMs: PATIENCE_MS, maxBytes: 4096 });
  expect(output).toBe("search svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n");
  expect((await runtime.streaming.execSync(id, ["hostname"], { timeoutMs: PATIENCE_MS, maxBytes: 4096 })).output).toBe("pod\n");
  expect((await runtime.pods.stats()).find((stats) => stats.id === id)?.memoryUsageBytes).toBeGreaterThan(0);
  await runtime.pods.stopSandbox(sandbox);
  expect(attached.has(sandbox)).toBe(false);
});

test("taking it down leaves no container on the engine", async () => {
  await removeDockerPods({ dataDir, network });
  expect([await runtime.pods.listSandboxes(), await runtime.pods.listContainers(), attached.size]).toEqual([[], [], 0]);
});
