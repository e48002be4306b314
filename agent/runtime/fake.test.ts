import { expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import { FakeRuntime } from "./fake.ts";
import { RuntimeError } from "./runtime.ts";
import { aContainer, aSandbox, runtimeSuite } from "./runtime.suite.ts";

runtimeSuite("the fake runtime", async () => {
  const runtime = new FakeRuntime({ writeLogs: true });
  runtime.addImage("busybox:suite");
  return { runtime, image: "busybox:suite", real: false, dispose: async () => {} };
});

test("a failure asked for comes once, from that operation only", async () => {
  const runtime = new FakeRuntime();
  runtime.failNext("runSandbox", new RuntimeError("CreatePodSandboxError", "no network"));
  await expect(runtime.pods.runSandbox(aSandbox())).rejects.toThrow("no network");
  expect(await runtime.pods.runSandbox(aSandbox())).not.toBe("");
});

test("a container ends when its program's time is up on the given clock", async () => {
  const clock = new FakeClock(1000);
  const runtime = new FakeRuntime({ clock, program: () => ({ output: "", exitCode: 5, afterMs: 500 }) });
  runtime.addImage("app");
  const config = aSandbox();
  const sandbox = await runtime.pods.runSandbox(config);
  const id = await runtime.pods.createContainer(sandbox, aContainer({ image: "app" }), config);
  await runtime.pods.startContainer(id);
  await clock.advance(499);
  expect((await runtime.pods.containerStatus(id))?.state).toBe("running");
  await clock.advance(1);
  expect(await runtime.pods.containerStatus(id)).toMatchObject({ state: "exited", exitCode: 5, finishedAt: 1500 });
});

test("an unpullable image fails with its reason", async () => {
  const runtime = new FakeRuntime({ unpullable: { "bad:1": "ErrImagePull" } });
  await expect(runtime.images.pull("bad:1", undefined, new AbortController().signal)).rejects.toMatchObject({ reason: "ErrImagePull" });
});
