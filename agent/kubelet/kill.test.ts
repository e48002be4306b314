// How a pod is brought down: grace periods, hooks, order, and what an impatient user gets.
import { afterEach, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { Container, PodSpec } from "../../api/types.ts";
import { TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { aContainer, aPod, conditionOf, Rig } from "./builders.ts";
import { gracePeriod, Turns } from "./kill.ts";

let rig: Rig;
afterEach(() => rig?.close());

async function running(spec: Partial<PodSpec>, runtime: ConstructorParameters<typeof Rig>[0] = {}): Promise<void> {
  rig = await new Rig(runtime).start();
  await rig.create(aPod({ spec }));
  await rig.until((p) => conditionOf(p, "Ready") === "True");
}
const stubborn = ["sh", "-c", "trap '' TERM; sleep infinity"];
const sidecar = (name: string): Container => aContainer({ name, restartPolicy: "Always" });
const ends = (): string[] => rig.events.filter((e) => e.reason === "Killing").map((e) => e.about.fieldPath ?? "");

test("the grace period is the deletion's, the probe's or the pod's, in that order", () => {
  const container = aContainer({ livenessProbe: { terminationGracePeriodSeconds: 7 } });
  expect(gracePeriod(aPod(), container, undefined)).toBe(30);
  expect(gracePeriod(aPod(), container, "LivenessProbe")).toBe(7);
  expect(gracePeriod(aPod({ metadata: { deletionGracePeriodSeconds: 3 } }), container, "LivenessProbe")).toBe(3);
});

test("a process that ignores the signal is killed when its grace period is over, and no later", async () => {
  await running({ containers: [aContainer({ command: stubborn })] });
  await rig.delete("p", 1);
  const begin = Date.now();
  await rig.until((p) => p === undefined);
  expect(Date.now() - begin).toBeGreaterThanOrEqual(900);
}, TEST_TIMEOUT_MS);

test("a shorter grace period takes over while a longer one runs", async () => {
  await running({ terminationGracePeriodSeconds: 600, containers: [aContainer({ command: stubborn })] });
  await rig.delete("p");
  await rig.until(() => rig.reasons().includes("Killing"));
  const pod = rig.pod();
  await rig.api.update(builtinKind("", "v1", "Pod"), { ...pod, metadata: { ...pod?.metadata, deletionGracePeriodSeconds: 1 } });
  await rig.until((p) => p === undefined);
}, TEST_TIMEOUT_MS);

test("preStop runs before the signal, and its failure is told without its output", async () => {
  const asked: string[][] = [];
  await running({ containers: [aContainer({ lifecycle: { preStop: { exec: { command: ["drain"] } } } })] }, { runtime: { exec: (_record, command) => {
    asked.push([...command]);
    return { exitCode: 1, output: "secret" };
  } } });
  await rig.delete("p", 5);
  await rig.until((p) => p === undefined);
  expect(asked).toEqual([["drain"]]);
  expect(rig.events.find((e) => e.reason === "FailedPreStopHook")?.message).toBe("PreStopHook failed");
});

test("a failed postStart kills the container and shows why it waits", async () => {
  rig = await new Rig({ runtime: { exec: () => ({ exitCode: 3, output: "nope" }) } }).start();
  await rig.create(aPod({ spec: { containers: [aContainer({ lifecycle: { postStart: { exec: { command: ["warm"] } } } })] } }));
  await rig.until((p) => p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "PostStartHookError" || p?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff");
  expect(rig.reasons()).toContain("FailedPostStartHook");
});

test("sidecars stop after the containers they serve, the last started first", async () => {
  await running({ initContainers: [sidecar("one"), sidecar("two")], containers: [aContainer()] });
  const order: string[] = [];
  const stop = rig.runtime.pods.stopContainer.bind(rig.runtime.pods);
  rig.runtime.pods.stopContainer = async (id, seconds) => {
    order.push((await rig.runtime.pods.containerStatus(id))?.name ?? "");
    return stop(id, seconds);
  };
  await rig.delete("p", 5);
  await rig.until((p) => p === undefined);
  expect(order).toEqual(["app", "two", "one"]);
  expect(ends()).toHaveLength(3);
});

test("turns are taken in reverse order of the sidecars", async () => {
  const turns = new Turns(aPod({ spec: { initContainers: [sidecar("a"), sidecar("b")] } }), ["a", "b", "app"]);
  const done: string[] = [];
  const all = ["a", "b", "app"].map((name) => turns.turnOf(name).then(() => {
    done.push(name);
    return turns.finished(name);
  }));
  await Promise.all(all);
  expect(done).toEqual(["app", "b", "a"]);
});

test("a pod deleted while its image is being pulled, or its sandbox made, leaves nothing", async () => {
  for (const slow of ["pull", "runSandbox", "createContainer", "startContainer"] as const) {
    rig = await new Rig({ runtime: { latencyMs: { [slow]: 60 } } }).start();
    await rig.create(aPod());
    await Bun.sleep(20);
    await rig.delete("p", 1);
    await rig.until((p) => p === undefined);
    while (rig.kubelet.pods.all().length > 0) await Bun.sleep(2);
    expect(await rig.runtime.pods.listContainers()).toEqual([]);
    expect(await rig.runtime.pods.listSandboxes()).toEqual([]);
    await rig.close();
  }
}, TEST_TIMEOUT_MS);

test("an agent that dies in any phase of a pod's life is taken over from", async () => {
  for (const slow of ["runSandbox", "createContainer", "startContainer", "stopContainer"] as const) {
    rig = await new Rig({ runtime: { latencyMs: { [slow]: 50 } } }).start();
    await rig.create(aPod());
    if (slow === "stopContainer") {
      await rig.until((p) => conditionOf(p, "Ready") === "True");
      await rig.delete("p", 1);
    }
    await Bun.sleep(20);
    await rig.crash();
    if (slow !== "stopContainer") {
      const pod = await rig.until((p) => conditionOf(p, "Ready") === "True");
      expect(pod.status?.containerStatuses?.[0]?.restartCount).toBeLessThanOrEqual(1);
      await rig.delete("p", 1);
    }
    await rig.until((p) => p === undefined);
    while (rig.kubelet.pods.all().length > 0) await Bun.sleep(2);
    await rig.kubelet.pods.removeOrphans();
    expect(await rig.runtime.pods.listContainers()).toEqual([]);
    expect(await rig.runtime.pods.listSandboxes()).toEqual([]);
    await rig.close();
  }
}, TEST_TIMEOUT_MS);
