import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LevelLog, openLevelStore } from "./level.ts";
import { LogUnavailable } from "./log.ts";
import { RevisionStore } from "./revisions.ts";
import { describeStore } from "./store.suite.ts";

const root = mkdtempSync(join(tmpdir(), "minik8s-level-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
const directories = new WeakMap<object, string>();

describeStore("level", {
  open: async (options) => {
    const directory = join(root, `${count++}`);
    const store = await openLevelStore(directory, options);
    directories.set(store, directory);
    return store;
  },
  reopen: async (store, options) => {
    await store.close();
    return openLevelStore(directories.get(store) as string, options);
  },
});

test("a second process on the same directory is refused with the reason", async () => {
  const directory = join(root, "locked");
  const store = await openLevelStore(directory);
  await expect(openLevelStore(directory)).rejects.toThrow(/in use by another minik8s process/);
  await store.close();
});

test("when the disk refuses a group of writes all of them fail, nothing of them stays, and writing works again afterwards", async () => {
  const log = await LevelLog.open(join(root, "full"));
  const append = log.append.bind(log);
  let full = false;
  log.append = async (records) => {
    if (!full) return append(records);
    // The worst case: the bytes did reach the disk although the sync reported a failure.
    await append(records);
    throw new LogUnavailable("No space left on device");
  };
  const store = await RevisionStore.open(log);
  const kept = await store.write({ key: "/a", value: Buffer.from("kept") });
  full = true;
  const refused = await Promise.allSettled([store.write({ key: "/a", value: Buffer.from("lost") }), store.write({ key: "/b", value: Buffer.from("lost"), expect: 0 })]);
  expect(refused.map((r) => r.status)).toEqual(["rejected", "rejected"]);
  full = false;
  // Both find the log broken, and it is repaired once.
  expect(await Promise.all([store.write({ key: "/c", value: Buffer.from("later") }), store.write({ key: "/d", value: Buffer.from("too") })])).toEqual([kept + 1, kept + 2]);
  expect((await store.list("")).entries.map((e) => [e.key, Buffer.from(e.value).toString()])).toEqual([["/a", "kept"], ["/c", "later"], ["/d", "too"]]);
  await store.close();
});
