import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import { eventually } from "../../lib/testing.ts";
import { runWorkers, workQueueFigures } from "./workers.ts";
import { WorkQueue } from "./workqueue.ts";

describe("the work queue", () => {
  test("holds a key once, in the order of its first adding", async () => {
    const queue = new WorkQueue();
    for (const key of ["a", "b", "a"]) queue.add(key);
    expect(queue.length).toBe(2);
    expect([await queue.get(), await queue.get()]).toEqual(["a", "b"]);
  });

  test("a key added while in work is handed out again, but only after it is done", async () => {
    const queue = new WorkQueue();
    queue.add("a");
    await queue.get();
    queue.add("a");
    expect(queue.length).toBe(0);
    queue.done("a");
    expect(await queue.get()).toBe("a");
  });

  test("a delayed key comes when due, at the earliest time asked for", async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock });
    queue.addAfter("a", 1000);
    queue.addAfter("a", 500);
    queue.addAfter("b", 700);
    queue.addAfter("a", 2000);
    await clock.advance(499);
    expect(queue.length).toBe(0);
    await clock.advance(1);
    expect(queue.length).toBe(1);
    await clock.advance(200);
    expect([await queue.get(), await queue.get()]).toEqual(["a", "b"]);
    await clock.advance(5000);
    expect(queue.length).toBe(0);
  });

  test("failures back off by doubling until forgotten", async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, backoff: { baseMs: 10, maxMs: 25 } });
    const delays: number[] = [];
    for (let round = 0; round < 4; round++) {
      if (round === 3) queue.forget("a");
      queue.addRateLimited("a");
      const begin = clock.now();
      while (queue.length === 0) await clock.advance(1);
      delays.push(clock.now() - begin);
      queue.done((await queue.get()) as string);
    }
    expect(delays).toEqual([10, 20, 25, 10]);
  });

  test("shutting down wakes the waiting and takes nothing more", async () => {
    const queue = new WorkQueue();
    const waiting = queue.get();
    queue.shutDown();
    expect(await waiting).toBeUndefined();
    queue.add("a");
    expect(await queue.get()).toBeUndefined();
  });
});

describe("workers", () => {
  test("a reconcile that throws is tried again, and stops nobody else", async () => {
    const queue = new WorkQueue({ backoff: { baseMs: 1, maxMs: 1 } });
    const stop = new AbortController();
    const seen: string[] = [];
    for (const key of ["bad", "good"]) queue.add(key);
    await runWorkers({
      name: "test", queue, workers: 2, signal: stop.signal,
      reconcile: (key) => {
        seen.push(key);
        if (key === "bad" && seen.filter((k) => k === "bad").length < 3) return Promise.reject(new Error("not yet"));
        if (seen.length === 4) stop.abort();
        return Promise.resolve();
      },
    });
    expect(seen.toSorted()).toEqual(["bad", "bad", "bad", "good"]);
  });

  test("one key is never in two workers' hands", async () => {
    const queue = new WorkQueue();
    const stop = new AbortController();
    let inWork = 0;
    let rounds = 0;
    queue.add("a");
    await runWorkers({
      name: "test", queue, workers: 4, signal: stop.signal,
      reconcile: async () => {
        expect(++inWork).toBe(1);
        if (++rounds === 5) stop.abort();
        queue.add("a");
        await Bun.sleep(1);
        inWork--;
      },
    });
    expect(rounds).toBe(5);
  });

  test("an object that keeps failing is named in the metrics, until it does not", async () => {
    const queue = new WorkQueue({ backoff: { baseMs: 1, maxMs: 1 } });
    const stop = new AbortController();
    let isBroken = true;
    const ended = runWorkers({ name: "poison", queue, workers: 1, signal: stop.signal, reconcile: () => (isBroken ? Promise.reject(new Error("bad")) : Promise.resolve()) });
    queue.add("default/bad");
    await eventually("its name", () => workQueueFigures().includes('minik8s_reconcile_poisoned{name="poison",key="default/bad"}'));
    expect(workQueueFigures()).toContain('workqueue_depth{name="poison"}');
    isBroken = false;
    await eventually("its absence", () => !workQueueFigures().includes('key="default/bad"'));
    stop.abort();
    await ended;
    expect(workQueueFigures()).not.toContain("poison\"");
  });
});
