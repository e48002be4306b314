import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock, type Clock } from "../../../lib/clock.ts";
import { hostExec } from "../../../lib/exec.ts";
import { eventually, TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { busyboxImage } from "../busybox-image.ts";
import { createRuntime } from "../create.ts";
import type { Runtime } from "../runtime.ts";
import { aContainer, aSandbox, removeSuiteCgroups } from "../runtime.suite.ts";
import { findDaemons, findProcesses, isAlive } from "./machine.ts";
import { containerdPaths } from "./private.ts";
import { removePrivateContainerd } from "./remove.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);
/** Seconds by which its sleeper is told from those of other runs. */
const ENDLESS = String(900_000_000 + process.pid);
const IMAGE = "minik8s.test/busybox:survival";
let dataDir: string;
let runtime: Runtime;
let containerId: string;

/** What the agent gives containerd time for is over soon. */
const clock: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 10, signal) };
const open = (): Promise<Runtime> => createRuntime({ kind: "containerd", clock, dataDir, cniBinDir: join(dataDir, "cni/bin"), cniConfDir: join(dataDir, "cni/conf") });
const shims = (id: string): number[] => findProcesses(["-id", id, "-address", containerdPaths(dataDir).socket]).filter(isAlive);
const daemon = (): number | undefined => findDaemons(["--config", containerdPaths(dataDir).config])[0];

beforeAll(async () => {
  dataDir = mkdtempSync("/tmp/mk8s-rt-");
  runtime = await open();
  const tar = join(dataDir, "busybox.tar");
  writeFileSync(tar, busyboxImage(IMAGE));
  await runtime.images.load(tar);
  while (!(await runtime.images.status(IMAGE))) await Bun.sleep(20);
  const config = aSandbox({ logDirectory: join(dataDir, "logs") });
  const sandbox = await runtime.pods.runSandbox(config);
  containerId = await runtime.pods.createContainer(sandbox, aContainer({ image: IMAGE }), config);
  await runtime.pods.startContainer(containerId);
});
afterAll(async () => {
  await runtime.close();
  await removePrivateContainerd({ dataDir, purge: true, exec: hostExec, clock: systemClock });
  rmSync(dataDir, { recursive: true, force: true });
  removeSuiteCgroups();
});

test("a new agent adopts the running containerd and its containers", async () => {
  const before = [daemon(), (await runtime.pods.containerStatus(containerId))?.startedAt];
  await runtime.close();
  runtime = await open();
  expect([daemon(), (await runtime.pods.containerStatus(containerId))?.startedAt]).toEqual(before);
});

test("a containerd that was killed comes back, its containers untouched, and tells events again", async () => {
  const before = await runtime.pods.containerStatus(containerId);
  const killed = daemon() as number;
  process.kill(killed, "SIGKILL");
  while (isAlive(killed) || !(await runtime.pods.containerStatus(containerId).catch(() => undefined))) await Bun.sleep(50);
  expect(await runtime.pods.containerStatus(containerId)).toEqual(before!);
  const stop = new AbortController();
  const events = runtime.pods.events(stop.signal)[Symbol.asyncIterator]();
  const stopped = (async () => {
    for (let event = await events.next(); !event.done; event = await events.next()) if (event.value.id === containerId && event.value.type === "stopped") return "stopped";
    return "nothing";
  })();
  await Bun.sleep(1500);
  await runtime.pods.stopContainer(containerId, 0);
  expect(await stopped).toBe("stopped");
  stop.abort();
});

test("a shim that the former containerd had started for nobody is ended also by an agent that finds containerd running", async () => {
  const shim = Bun.spawn(["sh", "-c", "sleep 1000; :", "-namespace", "k8s.io", "-id", "deadbeef", "-address", containerdPaths(dataDir).socket]);
  await runtime.close();
  runtime = await open();
  await shim.exited;
  expect(shims((await runtime.pods.listSandboxes())[0]?.id ?? "")).toHaveLength(1);
});

test("a shim that containerd gave up, because it was slow when containerd came back, is ended with all it runs", async () => {
  const config = aSandbox({ uid: "slow", logDirectory: join(dataDir, "logs") });
  const sandbox = await runtime.pods.runSandbox(config);
  const [shim] = shims(sandbox) as [number];
  process.kill(shim, "SIGSTOP");
  process.kill(daemon() as number, "SIGKILL");
  while ((await runtime.pods.sandboxStatus(sandbox).catch(() => undefined))?.state !== "notready") await Bun.sleep(100);
  process.kill(shim, "SIGCONT");
  while (shims(sandbox).length > 0) await Bun.sleep(100);
  await runtime.pods.removeSandbox(sandbox);
  expect(await runtime.pods.sandboxStatus(sandbox)).toBeUndefined();
}, 180_000);

test("taking it down ends containers also when containerd itself is dead", async () => {
  const config = aSandbox({ uid: "orphan", logDirectory: join(dataDir, "logs") });
  const sandbox = await runtime.pods.runSandbox(config);
  const id = await runtime.pods.createContainer(sandbox, aContainer({ image: IMAGE, command: ["/bin/sh", "-c", `sleep ${ENDLESS}`] }), config);
  await runtime.pods.startContainer(id);
  await eventually("its sleeper", () => findProcesses(["sleep", ENDLESS]).length === 1);
  await runtime.close();
  process.kill(daemon() as number, "SIGKILL");
  await removePrivateContainerd({ dataDir, purge: false, exec: hostExec, clock: systemClock });
  expect(findProcesses(["sleep", ENDLESS])).toEqual([]);
  runtime = await open();
});

test("taking it down leaves no process and no mount", async () => {
  await removePrivateContainerd({ dataDir, purge: false, exec: hostExec, clock: systemClock });
  expect([daemon(), findProcesses(["-address", containerdPaths(dataDir).socket])]).toEqual([undefined, []]);
  expect(await Bun.file("/proc/self/mounts").text()).not.toContain(dataDir);
});
