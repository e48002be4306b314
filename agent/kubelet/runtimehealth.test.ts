import { expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { RuntimeHealth } from "./runtimehealth.ts";

const READY = { version: "containerd://1.7.0", runtimeReady: true, networkReady: true, message: "", cgroupDriver: "cgroupfs" as const, handlers: [] };
const IMAGE = { id: "one", repoTags: ["one:1"], repoDigests: [], sizeBytes: 1 };

/** A runtime that answers until it is told to hang. */
function aRuntime(): { runtime: Runtime; hang: () => void; wake: () => void; asked: () => number } {
  let asked = 0;
  let hanging: PromiseWithResolvers<void> | undefined;
  const answer = async <T>(value: T): Promise<T> => {
    asked += 1;
    await hanging?.promise;
    return value;
  };
  const runtime = { name: "containerd", status: () => answer(READY), images: { list: () => answer([IMAGE]) } } as unknown as Runtime;
  return { runtime, hang: () => void (hanging = Promise.withResolvers()), wake: () => { hanging?.resolve(); hanging = undefined; }, asked: () => asked };
}

async function after<T>(clock: FakeClock, ms: number, answer: Promise<T>): Promise<T> {
  await Promise.resolve();
  clock.advance(ms);
  return answer;
}

test("a runtime that hangs is not ready, with how long it has been silent, and is asked only once meanwhile", async () => {
  const clock = new FakeClock();
  const { runtime, hang, wake, asked } = aRuntime();
  const health = new RuntimeHealth(runtime, clock);
  expect(await health.status()).toEqual(READY);
  expect(await health.images()).toHaveLength(1);
  hang();
  const before = asked();
  const first = await after(clock, 8_000, health.status());
  expect(first).toMatchObject({ runtimeReady: false, version: READY.version, message: "the runtime has not answered for 8 s" });
  expect((await after(clock, 8_000, health.status())).message).toBe("the runtime has not answered for 16 s");
  expect(await after(clock, 8_000, health.images())).toHaveLength(1);
  expect(asked() - before).toBe(2);
  wake();
  await Bun.sleep(0);
  expect(await health.status()).toEqual(READY);
});
