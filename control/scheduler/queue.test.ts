import { describe, expect, test } from "bun:test";
import type { Clock } from "../../lib/clock.ts";
import type { Pod, Stored } from "../../api/types.ts";
import { Cluster } from "./cluster.ts";
import { aPod } from "./fakes.ts";
import type { Plugin } from "./framework.ts";
import { PodParser, type PodInfo } from "./podinfo.ts";
import { SchedulingQueue } from "./queue.ts";

const parser = new PodParser();
const info = (name: string, priority = 0): PodInfo => {
  const pod = aPod(name, { spec: { priority } });
  return parser.parse({ ...pod, metadata: { ...pod.metadata, uid: name } } as unknown as Stored<Pod>);
};

/** A queue at a time the test sets. */
function aQueue(plugins: readonly Plugin[] = []) {
  const time = { now: 1_000_000 };
  const clock: Clock = { now: () => time.now, monotonic: () => time.now, sleep: () => new Promise(() => {}) };
  const queue = new SchedulingQueue({ clock, cluster: new Cluster(), pluginsOf: () => plugins, initialBackoffMs: 1_000, maxBackoffMs: 10_000, onReady: () => {} });
  const next = (): string | undefined => queue.pop()?.info.uid;
  return { queue, time, next };
}

const onNodeAdd: Plugin = { name: "P", hint: { on: ["NodeDelete"], helps: () => true } };

describe("the scheduling queue", () => {
  test("gives the important first, then whoever came first", () => {
    const { queue, next } = aQueue();
    for (const [name, priority] of [["a", 0], ["b", 5], ["c", 0], ["d", 5]] as const) queue.put(info(name, priority));
    expect([next(), next(), next(), next(), next()]).toEqual(["b", "d", "a", "c", undefined]);
  });

  test("rests a pod that failed for no fault of its own, twice as long each time", () => {
    const { queue, time, next } = aQueue();
    queue.put(info("a"));
    for (const rest of [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
      const queued = queue.pop();
      expect(queued?.info.uid).toBe("a");
      if (queued) queue.retryLater(queued);
      time.now += rest - 1;
      expect(next()).toBeUndefined();
      time.now += 1;
    }
  });

  test("tries a woken pod early when nothing else is ready", () => {
    const { queue, next } = aQueue([onNodeAdd]);
    queue.put(info("a"));
    const queued = queue.pop();
    if (queued) queue.waitForEvent(queued, new Set(["P"]));
    expect(next()).toBeUndefined();
    queue.wake({ type: "NodeDelete" });
    expect(queue.sizes.backoff).toBe(1);
    expect(next()).toBe("a");
  });

  test("leaves pods alone that no plugin of theirs listens for", () => {
    const { queue, next } = aQueue([onNodeAdd]);
    queue.put(info("a"));
    const queued = queue.pop();
    if (queued) queue.waitForEvent(queued, new Set(["P"]));
    queue.wake({ type: "NamespaceUpdate" });
    expect(next()).toBeUndefined();
    expect(queue.sizes.unschedulable).toBe(1);
  });

  test("keeps a held pod until it is released, and remembers that it was called", () => {
    const { queue, next } = aQueue([onNodeAdd]);
    queue.put(info("a"));
    const queued = queue.pop();
    queue.hold("a");
    if (queued) queue.waitForEvent(queued, new Set(["P"]));
    queue.wake({ type: "NodeDelete" });
    expect(next()).toBeUndefined();
    queue.release("a");
    expect(next()).toBe("a");
  });

  test("forgets a pod that is gone, wherever it was", () => {
    const { queue, next } = aQueue();
    queue.put(info("active"));
    queue.put(info("flying", 1));
    const flying = queue.pop();
    queue.remove("flying");
    if (flying) queue.retryLater(flying);
    queue.remove("active");
    expect(next()).toBeUndefined();
    expect(queue.sizes).toEqual({ active: 0, backoff: 0, unschedulable: 0, gated: 0 });
  });

  test("a clock set back by hours delays nobody", () => {
    const { queue, time, next } = aQueue();
    for (const name of ["resting", "waiting"]) queue.put(info(name));
    const [resting, waiting] = [queue.pop(), queue.pop()];
    if (resting) queue.retryLater(resting);
    if (waiting) queue.waitForEvent(waiting, new Set(["P"]));
    time.now -= 5 * 3_600_000;
    expect(next()).toBe("resting");
    queue.flushForgotten();
    expect(next()).toBe("waiting");
  });
});
