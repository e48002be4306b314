// An administrator (or a clock daemon) sets the date an hour forward or back: nothing on the node may wait for the old time.
import { expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import { raise, restartAt } from "./backoff.ts";
import { conditionOf, aContainer, aPod, Rig } from "./builders.ts";

const HOUR_MS = 3_600_000;

test("a back-off holds by its delay and not by a date that was set back", () => {
  const backOff = raise(undefined, { finishedAt: HOUR_MS, now: HOUR_MS });
  expect(restartAt(backOff, HOUR_MS, HOUR_MS + 1_000)).toBe(HOUR_MS + 10_000);
  expect(restartAt(backOff, HOUR_MS, 1_000)).toBeUndefined();
});

/** Half a second of the node's, with a moment of the machine's for files. */
async function pass(clock: FakeClock): Promise<false> {
  await clock.advance(500);
  await Bun.sleep(1);
  return false;
}

test.each([["forward", HOUR_MS], ["back", -HOUR_MS]])("after the date was set an hour %s probes go on as before", async (_direction, jumpMs) => {
  const clock = new FakeClock(10 * HOUR_MS);
  const rig = await new Rig({ clock }).start();
  try {
    await rig.create(aPod({ spec: { terminationGracePeriodSeconds: 30, containers: [aContainer({ readinessProbe: { exec: { command: ["true"] }, periodSeconds: 1, failureThreshold: 1 } })] } }));
    const ready = rig.until((pod) => conditionOf(pod, "Ready") === "True").then(() => true);
    while (!(await Promise.race([ready, pass(clock)]))) continue;
    clock.jump(jumpMs);
    const before = rig.kubelet.prober.counts()[0]?.totals.success ?? 0;
    for (let step = 0; step < 20; step++) await pass(clock);
    expect(rig.kubelet.prober.counts()[0]?.totals.success ?? 0).toBeGreaterThan(before + 2);
  } finally {
    await rig.close();
  }
});
