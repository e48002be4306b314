import { afterEach, expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import type { PodRuntime, RuntimeEvent, Sandbox } from "../runtime/runtime.ts";
import { RuntimeCache } from "./runtimecache.ts";

const stop = new AbortController();
afterEach(() => stop.abort());

const sandbox: Sandbox = { id: "s", name: "a", namespace: "default", uid: "u", attempt: 0, labels: {}, annotations: {}, ips: ["10.0.0.2"], state: "ready", createdAt: 1 };

test("an event about what is being read just now waits for the answer, and asks again only when that does not say it", async () => {
  const answers: PromiseWithResolvers<Sandbox>[] = [];
  const events: PromiseWithResolvers<RuntimeEvent>[] = [Promise.withResolvers()];
  const runtime = {
    sandboxStatus: () => {
      const answer = Promise.withResolvers<Sandbox>();
      answers.push(answer);
      return answer.promise;
    },
    async *events() {
      for (;;) yield await events.at(-1)!.promise;
    },
  } as unknown as PodRuntime;
  const cache = new RuntimeCache(runtime);
  void cache.follow(new FakeClock(), stop.signal);
  const tell = async (type: RuntimeEvent["type"]): Promise<void> => {
    const told = events.at(-1)!;
    events.push(Promise.withResolvers());
    told.resolve({ type, id: "s", sandboxId: "s", podUid: "u" });
    await new Promise(setImmediate);
  };
  const read = cache.refreshSandbox("s");
  await tell("started");
  expect(answers).toHaveLength(1);
  answers[0]!.resolve(sandbox);
  await read;
  await new Promise(setImmediate);
  expect(answers).toHaveLength(1);
  expect(cache.get("u")?.sandboxes).toEqual([sandbox]);
  await tell("stopped");
  expect(answers).toHaveLength(2);
});
