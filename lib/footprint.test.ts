import { expect, test } from "bun:test";
import { FakeClock } from "./clock.ts";
import { keepSmall } from "./footprint.ts";

/** A process of which memory and processor time are what the test says; shrinking it leaves 30 MB. */
async function aProcess(run: (life: { use: (megabytes: number) => void; work: () => void; pass: (seconds: number) => Promise<void>; shrunk: () => number }) => Promise<void>): Promise<void> {
  const clock = new FakeClock();
  const stop = new AbortController();
  let bytes = 0;
  let cpu = 0;
  let shrunk = 0;
  const keeping = keepSmall({ clock, anonymousBytes: () => bytes, cpuMicros: () => cpu, shrink: () => ((shrunk += 1), (bytes = 30 << 20)) }, stop.signal);
  const pass = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      clock.advance(1000);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
  };
  await run({ use: (megabytes) => void (bytes = megabytes << 20), work: () => void (cpu += 5_000_000), pass, shrunk: () => shrunk });
  stop.abort();
  await keeping;
}

test("memory that a burst needed is given back once the work is done, and asked for again only after more growth", () =>
  aProcess(async ({ use, work, pass, shrunk }) => {
    use(80);
    work();
    await pass(10);
    expect(shrunk()).toBe(0);
    await pass(12);
    expect(shrunk()).toBe(1);
    await pass(200);
    expect(shrunk()).toBe(1);
    use(60);
    await pass(100);
    expect(shrunk()).toBe(2);
  }));

test("what grows again at once is left alone for a while", () =>
  aProcess(async ({ use, pass, shrunk }) => {
    use(80);
    await pass(11);
    use(80);
    await pass(40);
    expect(shrunk()).toBe(1);
  }));
