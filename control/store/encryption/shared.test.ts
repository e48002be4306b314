import { expect, test } from "bun:test";
import { systemClock, type Clock } from "../../../lib/clock.ts";
import { eventually } from "../../../lib/testing.ts";
import { openMemoryStore } from "../memory.ts";
import type { Store } from "../store.ts";
import { openEncryption, type Encryption } from "./open.ts";
import { PLAIN } from "./sealing.ts";
import { SharedKeys } from "./sharedkeys.ts";

const HASTY: Clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic(), sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal) };
const running = new AbortController();
const { signal } = running;

async function aProcess(below: Store, { turnOn = true, secret = "ca key" } = {}): Promise<Encryption> {
  const storage = new SharedKeys({ store: below, secret, secretDescription: "/data/pki/ca.key" });
  const encryption = await openEncryption(below, { storage, prefixes: ["/secrets/"], turnOn, signal, clock: HASTY, onUnreadable: (error) => { throw error; } });
  void encryption.rotation.run(signal);
  return encryption;
}

const until = (condition: () => boolean): Promise<unknown> => eventually("one key", condition, 2);

test("processes on one store agree on one key, whoever turns encryption on or makes a new key, while all of them write", async () => {
  const below = await openMemoryStore({ window: { maxChanges: 0, maxAgeMs: 0 } });
  const [one, two] = await Promise.all([aProcess(below), aProcess(below)]);
  const writing = new AbortController();
  const writers = [one, two].map(async ({ store }, id) => {
    for (let i = 0; !writing.signal.aborted; i++) {
      await store.write({ key: `/secrets/${id}-${i % 20}`, value: Buffer.from(`${i}`) });
      if (i % 10 === 0) await systemClock.sleep(1);
    }
  });
  for (let round = 0; round < 10; round++) await Promise.all([one.rotation.rotate(), two.rotation.rotate(), systemClock.sleep(3)]);
  writing.abort();
  await Promise.all(writers);
  await until(() => {
    void below.compact();
    return one.rotation.status().isSettled && two.rotation.status().isSettled;
  });
  expect(one.rotation.status()).toEqual(two.rotation.status());
  expect(one.rotation.status().keys).toHaveLength(1);
  expect(Object.keys(one.rotation.status().values)).toEqual(one.rotation.status().keys as string[]);
  const late = await aProcess(below, { turnOn: false });
  expect((await late.store.list("/secrets/")).entries).toHaveLength(40);
});

test("a process that has not heard of a new key yet cannot write with the old one", async () => {
  const below = await openMemoryStore({ window: { maxChanges: 0, maxAgeMs: 0 } });
  const one = await aProcess(below);
  const deaf = await aProcess({ ...bound(below), watch: () => {} });
  await one.rotation.rotate();
  const { writes } = one.rotation.status();
  await deaf.store.write({ key: "/secrets/a", value: Buffer.from("1") });
  expect(one.rotation.status().values).toEqual({ [writes]: 1 });
});

test("a process of another cluster is told whose keys these are, and turning off reaches everybody", async () => {
  const below = await openMemoryStore({ window: { maxChanges: 0, maxAgeMs: 0 } });
  const [one, two] = [await aProcess(below), await aProcess(below, { turnOn: false })];
  let message = "";
  try {
    await aProcess(below, { secret: "another" });
  } catch (error) {
    ({ message } = error as Error);
  }
  expect(message).toMatch(/sealed with \/data\/pki\/ca\.key cannot be opened with it: that file belongs to another cluster/);
  await one.store.write({ key: "/secrets/a", value: Buffer.from("1") });
  await two.rotation.turnOff();
  await until(() => {
    void below.compact();
    return one.rotation.status().isSettled && one.rotation.status().writes === PLAIN;
  });
  expect(one.rotation.status().values).toEqual({ [PLAIN]: 1 });
});

function bound(store: Store): Store {
  return {
    get revision() { return store.revision; },
    get compactRevision() { return store.compactRevision; },
    get: (key) => store.get(key), list: (prefix) => store.list(prefix), write: (write) => store.write(write),
    watch: (options) => store.watch(options), compact: () => store.compact(), close: () => store.close(),
  };
}
