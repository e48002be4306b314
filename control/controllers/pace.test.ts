import { expect, test } from "bun:test";
import { WorkQueue } from "../../api/client/workqueue.ts";
import { FakeClock } from "../../lib/clock.ts";
import { Pace } from "./pace.ts";

test("a key that was just written waits its time and then comes back by itself", async () => {
  const clock = new FakeClock();
  const queue = new WorkQueue({ clock });
  const pace = new Pace(queue, clock);
  expect(pace.mustWait("k")).toBe(false);
  pace.wrote("k", 100);
  expect(pace.mustWait("k")).toBe(true);
  expect(pace.mustWait("other")).toBe(false);
  await clock.advance(99);
  expect(queue.length).toBe(0);
  await clock.advance(1);
  expect(queue.length).toBe(1);
  expect(pace.mustWait("k")).toBe(false);
});

test("a forgotten key waits no longer", () => {
  const clock = new FakeClock();
  const pace = new Pace(new WorkQueue({ clock }), clock);
  pace.wrote("k", 100);
  pace.forget("k");
  expect(pace.mustWait("k")).toBe(false);
});
