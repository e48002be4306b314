// A process for `crash.test.ts` to kill: writes covered values and changes their keys without pause, and says what is durable.
import { join } from "node:path";
import { systemClock, type Clock } from "../../../lib/clock.ts";
import { openLevelStore } from "../level.ts";
import { KeyFile } from "./keyfile.ts";
import { openEncryption } from "./open.ts";

const [directory = "", round = ""] = process.argv.slice(2);
const hasty: Clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic(), sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 2), signal) };
const { signal } = new AbortController();
const below = await openLevelStore(join(directory, "store"), { window: { maxChanges: 0, maxAgeMs: 0 } });
const { store, rotation } = await openEncryption(below, { storage: new KeyFile(join(directory, "keys.json")), prefixes: ["/secrets/"], turnOn: true, signal, clock: hasty, onUnreadable: (error) => { throw error; } });
await Promise.all([rotation.run(signal), write(), change()]);

async function write(): Promise<never> {
  for (let i = 0; ; i++) {
    const revision = await store.write({ key: `/secrets/${i % 30}`, value: Buffer.from(`${round}.${i}`) });
    process.stdout.write(`/secrets/${i % 30} ${round}.${i} ${revision}\n`);
  }
}

async function change(): Promise<never> {
  for (let i = 0; ; i++) {
    await (i % 4 === 3 ? rotation.turnOff() : rotation.rotate());
    await systemClock.sleep(i % 7);
    await below.compact();
  }
}
