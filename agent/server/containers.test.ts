import { expect, test } from "bun:test";
import type { Pod } from "../../api/types.ts";
import { FakeRuntime } from "../runtime/fake.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { aContainer, aSandbox } from "../runtime/runtime.suite.ts";
import { runningContainer } from "./containers.ts";

const LABELS = { "io.kubernetes.pod.uid": "u", "io.kubernetes.container.name": "app" };

/** A pod whose status tells of its container's first instance, and the ids of both. */
async function restarted(): Promise<{ runtime: FakeRuntime; pod: Pod; first: string; start: () => Promise<string> }> {
  const runtime = new FakeRuntime();
  runtime.addImage("app:1");
  const config = aSandbox({ name: "web", namespace: "default", uid: "u" });
  const sandbox = await runtime.pods.runSandbox(config);
  let attempt = 0;
  const start = async (): Promise<string> => {
    const id = await runtime.pods.createContainer(sandbox, aContainer({ image: "app:1", name: "app", attempt: attempt++, command: ["sleep", "infinity"], labels: LABELS }), config);
    await runtime.pods.startContainer(id);
    return id;
  };
  const first = await start();
  const status = { name: "app", image: "app:1", imageID: "", ready: true, restartCount: 0, containerID: `fake://${first}` };
  return { runtime, first, start, pod: { metadata: { name: "web", namespace: "default", uid: "u" }, status: { containerStatuses: [status] } } };
}

test("the container the status tells of is found without a list of all", async () => {
  const { runtime, pod, first } = await restarted();
  const pods = { containerStatus: (id: string) => runtime.pods.containerStatus(id), listContainers: () => Promise.reject(new Error("a list of all")) };
  expect(await runningContainer({ pods } as unknown as Runtime, pod, "app")).toBe(first);
});

test("one that runs in its place is found before the status tells of it, and none is none", async () => {
  const { runtime, pod, first, start } = await restarted();
  await runtime.pods.stopContainer(first, 0);
  await expect(runningContainer(runtime, pod, "app")).rejects.toThrow(`container not found ("app")`);
  expect(await runningContainer(runtime, pod, "app").catch(() => start())).toBe(await runningContainer(runtime, pod, "app"));
});
