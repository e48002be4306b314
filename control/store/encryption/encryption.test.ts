import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, type Clock } from "../../../lib/clock.ts";
import { eventually } from "../../../lib/testing.ts";
import { openLevelStore } from "../level.ts";
import { openMemoryStore } from "../memory.ts";
import { describeStore } from "../store.suite.ts";
import type { Change, Store } from "../store.ts";
import { KeyFile } from "./keyfile.ts";
import { openEncryption, type Encryption } from "./open.ts";
import { createKey, keyIdOf, open, PLAIN, seal } from "./sealing.ts";

const root = mkdtempSync(join(tmpdir(), "minik8s-encryption-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** History ends at once, so that what is compacted goes without waiting. */
const NO_HISTORY = { window: { maxChanges: 0, maxAgeMs: 0 } };
/** Waits for nothing longer than a moment. */
const HASTY: Clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic(), sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal) };
const PASSWORD = "correct-horse-battery-staple";
const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();

let count = 0;
const newDirectory = (): string => join(root, `${count++}`);

/** What a test opens and must close. */
interface Opened extends Encryption {
  readonly below: Store;
  close(): Promise<void>;
}

async function openIn(directory: string, turnOn: boolean, below?: Store): Promise<Opened> {
  const running = new AbortController();
  const inner = below ?? (await openLevelStore(join(directory, "store"), NO_HISTORY));
  const close = async (): Promise<void> => {
    running.abort();
    await inner.close();
  };
  try {
    const encryption = await openEncryption(inner, { storage: new KeyFile(join(directory, "keys.json")), prefixes: ["/secrets/"], turnOn, signal: running.signal, clock: HASTY, onUnreadable: (error) => { throw error; } });
    void encryption.rotation.run(running.signal);
    return { ...encryption, below: inner, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function settledOn({ rotation, below }: Opened): Promise<void> {
  await eventually("rest", async () => {
    if (rotation.status().remaining === 0) await below.compact();
    return rotation.status().isSettled;
  });
  expect(rotation.status()).toMatchObject({ isSettled: true, remaining: 0 });
}

function grep(directory: string, needle: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).filter((file) => file.isFile() && readFileSync(join(file.parentPath, file.name)).includes(needle)).map(({ name }) => name);
}

async function failureOf(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it should have failed");
}

const stores = new WeakMap<object, { directory: string; opened: Opened }>();
describeStore("encrypted level", {
  open: async (options) => remember(newDirectory(), options),
  reopen: async (store, options) => {
    const { directory, opened } = stores.get(store) as { directory: string; opened: Opened };
    await opened.close();
    return remember(directory, options);
  },
});

async function remember(directory: string, options: Parameters<typeof openLevelStore>[1]): Promise<Store> {
  const running = new AbortController();
  const below = await openLevelStore(join(directory, "store"), options);
  const encryption = await openEncryption(below, { storage: new KeyFile(join(directory, "keys.json")), prefixes: ["/"], turnOn: true, signal: running.signal, onUnreadable: (error) => { throw error; } });
  stores.set(encryption.store, { directory, opened: { ...encryption, below, close: () => below.close() } });
  return encryption.store;
}

describe("a sealed value", () => {
  const key = createKey(0);
  const sealed = seal(key, "/secrets/a", bytes(PASSWORD));

  test("opens with its key in its place, and says which key that is", () => {
    expect(text(open(key, "/secrets/a", sealed))).toBe(PASSWORD);
    expect(keyIdOf(sealed)).toBe(key.id);
    expect(keyIdOf(bytes("{}"))).toBe(PLAIN);
    expect(Buffer.from(sealed).includes(PASSWORD)).toBe(false);
    expect(Buffer.compare(sealed, seal(key, "/secrets/a", bytes(PASSWORD)))).not.toBe(0);
  });

  test("opens neither in another place, nor changed, cut short, or with another key", () => {
    const changed = Buffer.from(sealed);
    changed[changed.length - 20]! ^= 1;
    expect(() => open(key, "/secrets/b", sealed)).toThrow(/\/secrets\/b does not open/);
    expect(() => open(key, "/secrets/a", changed)).toThrow(/does not open/);
    expect(() => open(key, "/secrets/a", sealed.subarray(0, -1))).toThrow(/does not open/);
    expect(() => open(key, "/secrets/a", sealed.subarray(0, 30))).toThrow(/does not open/);
    expect(() => open({ ...createKey(0), id: key.id }, "/secrets/a", sealed)).toThrow(/does not open/);
  });
});

test("covered values are encrypted below and plain above, in reads, conflicts, changes and history; others are left alone", async () => {
  const opened = await openIn(newDirectory(), true, await openMemoryStore());
  const { store, below } = opened;
  const first = await store.write({ key: "/secrets/a", value: bytes(PASSWORD) });
  await store.write({ key: "/pods/a", value: bytes("plain") });
  expect(text((await store.get("/secrets/a"))?.value)).toBe(PASSWORD);
  expect(keyIdOf((await below.get("/secrets/a"))?.value as Uint8Array)).toBe(opened.rotation.status().writes);
  expect(text((await below.get("/pods/a"))?.value)).toBe("plain");
  const conflict = (await failureOf(store.write({ key: "/secrets/a", value: bytes("x"), expect: 0 }))) as Error & { current: { value: Uint8Array } };
  expect(text(conflict.current.value)).toBe(PASSWORD);
  await store.write({ key: "/secrets/a", value: undefined });
  const seen: Change[] = [];
  store.watch({ prefix: "/secrets/", after: first - 1, signal: new AbortController().signal, onChanges: (changes) => seen.push(...changes) });
  await eventually("two changes", () => seen.length >= 2);
  expect(seen.map((change) => [change.type, text(change.value)])).toEqual([["put", PASSWORD], ["delete", PASSWORD]]);
  await opened.close();
});

test("turned on for a store that has values, it encrypts them all, and no file holds them in plain afterwards", async () => {
  const directory = newDirectory();
  const plain = await openLevelStore(join(directory, "store"), NO_HISTORY);
  for (let i = 0; i < 50; i++) await plain.write({ key: `/secrets/${i}`, value: bytes(`${PASSWORD}-${i}`) });
  await plain.write({ key: "/secrets/0", value: bytes(`${PASSWORD}-changed`) });
  await plain.write({ key: "/secrets/49", value: undefined });
  await plain.close();
  expect(grep(directory, PASSWORD)).not.toEqual([]);

  const opened = await openIn(directory, true);
  await settledOn(opened);
  expect(grep(directory, PASSWORD)).toEqual([]);
  expect(text((await opened.store.get("/secrets/0"))?.value)).toBe(`${PASSWORD}-changed`);
  expect((await opened.store.list("/secrets/")).entries).toHaveLength(49);
  expect(statSync(join(directory, "keys.json")).mode & 0o777).toBe(0o600);
  await opened.close();
});

test("a new key writes at once, everything is written again with it, and the old one goes; without being asked it stays on", async () => {
  const directory = newDirectory();
  let opened = await openIn(directory, true);
  for (let i = 0; i < 50; i++) await opened.store.write({ key: `/secrets/${i}`, value: bytes(PASSWORD) });
  const [old] = opened.rotation.status().keys;
  await opened.rotation.rotate();
  const { writes } = opened.rotation.status();
  expect(writes).not.toBe(old as string);
  await settledOn(opened);
  expect(opened.rotation.status()).toEqual({ keys: [writes], writes, values: { [writes]: 50 }, remaining: 0, isSettled: true });
  expect(grep(join(directory, "store"), `:${old}:`)).toEqual([]);
  await opened.close();
  opened = await openIn(directory, false);
  expect(text((await opened.store.get("/secrets/7"))?.value)).toBe(PASSWORD);
  expect(opened.rotation.status().writes).toBe(writes);
  await opened.close();
});

test("turned off it writes everything plain again and drops its keys", async () => {
  const directory = newDirectory();
  const opened = await openIn(directory, true);
  await opened.store.write({ key: "/secrets/a", value: bytes(PASSWORD) });
  await opened.rotation.turnOff();
  await settledOn(opened);
  expect(opened.rotation.status()).toEqual({ keys: [], writes: PLAIN, values: { [PLAIN]: 1 }, remaining: 0, isSettled: true });
  await opened.close();
  const plain = await openLevelStore(join(directory, "store"));
  expect(text((await plain.get("/secrets/a"))?.value)).toBe(PASSWORD);
  await plain.close();
});

describe("a start without the right keys", () => {
  async function aStoreWithSecrets(): Promise<string> {
    const directory = newDirectory();
    const opened = await openIn(directory, true);
    await opened.store.write({ key: "/secrets/a", value: bytes(PASSWORD) });
    await opened.close();
    return directory;
  }

  test("names the file and the key that are missing, makes no new one, and works again once the file is back", async () => {
    const directory = await aStoreWithSecrets();
    const file = join(directory, "keys.json");
    const kept = readFileSync(file, "utf8");
    for (const turnOn of [true, false]) {
      rmSync(file);
      expect((await failureOf(openIn(directory, turnOn))).message).toMatch(new RegExp(`encrypted with key .*not in ${file}; put back`));
      expect(readdirSync(directory)).not.toContain("keys.json");
      writeFileSync(file, kept, { mode: 0o600 });
    }
    const opened = await openIn(directory, true);
    expect(text((await opened.store.get("/secrets/a"))?.value)).toBe(PASSWORD);
    await opened.close();
  });

  test("says so when the key under that name is another one", async () => {
    const directory = await aStoreWithSecrets();
    const file = join(directory, "keys.json");
    const kept = JSON.parse(readFileSync(file, "utf8")) as { keys: { secret: string }[] };
    kept.keys[0]!.secret = Buffer.alloc(32, 7).toString("base64");
    writeFileSync(file, JSON.stringify(kept));
    const opened = await openIn(directory, false);
    expect((await failureOf(opened.store.list("/"))).message).toMatch(new RegExp(`/secrets/a does not open with key .* of ${file}`));
    await opened.close();
  });

  test("refuses a file that others may read, or that is damaged", async () => {
    const directory = await aStoreWithSecrets();
    const file = join(directory, "keys.json");
    chmodSync(file, 0o644);
    expect((await failureOf(openIn(directory, true))).message).toContain(`chmod 600 ${file}`);
    chmodSync(file, 0o600);
    writeFileSync(file, readFileSync(file, "utf8").slice(0, 40));
    expect((await failureOf(openIn(directory, true))).message).toMatch(new RegExp(`${file} cannot be used: .*put the file back`));
  });
});
