// Log rotation and image garbage collection, on a real directory and a fake runtime.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../lib/clock.ts";
import { FakeRuntime } from "../runtime/fake.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { ImageGc } from "./imagegc.ts";
import { rotateIfLarge } from "./logrotation.ts";

const dir = mkdtempSync(join(tmpdir(), "kubelet-logs-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("a large log is put aside, older ones are compressed, and only so many are kept", async () => {
  const clock = new FakeClock(Date.parse("2026-01-31T12:00:00Z"));
  const logPath = join(mkdtempSync(join(dir)), "0.log");
  const reopened: string[] = [];
  const options = { runtime: { reopenLog: async (id: string) => void reopened.push(id) }, clock, running: () => [], maxBytes: 10, maxFiles: 3 };
  const record = { id: "c", logPath } as ContainerRecord;
  for (let round = 0; round < 4; round++) {
    writeFileSync(logPath, "more than ten bytes");
    expect(await rotateIfLarge(options, record)).toBe(true);
    await clock.advance(1_000);
  }
  writeFileSync(logPath, "little");
  expect(await rotateIfLarge(options, record)).toBe(false);
  expect(readdirSync(join(logPath, "..")).sort()).toEqual(["0.log", "0.log.20260131-120002.gz", "0.log.20260131-120003"]);
  expect(reopened).toHaveLength(4);
});

test("a log that is too large again within the second waits: both would have one name", async () => {
  const logPath = join(mkdtempSync(join(dir)), "0.log");
  const options = { runtime: { reopenLog: async () => {} }, clock: new FakeClock(Date.parse("2026-01-31T12:00:00Z")), running: () => [], maxBytes: 10, maxFiles: 2 };
  for (const [text, isRotated] of [["the first ten bytes", true], ["the next ten bytes", false]] as const) {
    writeFileSync(logPath, text);
    expect(await rotateIfLarge(options, { id: "c", logPath } as ContainerRecord)).toBe(isRotated);
  }
  expect(readFileSync(`${logPath}.20260131-120000`, "utf8")).toBe("the first ten bytes");
});

test("a log that an agent put aside before it ended is begun anew by the next one", async () => {
  const reopened: string[] = [];
  const options = { runtime: { reopenLog: async (id: string) => void reopened.push(id) }, clock: new FakeClock(0), running: () => [] };
  expect(await rotateIfLarge(options, { id: "c", logPath: join(mkdtempSync(join(dir)), "0.log") } as ContainerRecord)).toBe(false);
  expect(reopened).toEqual(["c"]);
});

test("unused images go, the longest unused first, until the disk has room again", async () => {
  const clock = new FakeClock(0);
  const runtime = new FakeRuntime({ clock });
  for (const name of ["old:1", "used:1", "newer:1"]) runtime.addImage(name, { sizeBytes: 10 });
  runtime.addImage("pause:1", { pinned: true, sizeBytes: 10 });
  let available = 5;
  const failures: string[] = [];
  const used = new Set(["used:1", "newer:1"]);
  const gc = new ImageGc({ images: runtime.images, clock, inUse: () => used, disk: async () => ({ capacityBytes: 100, availableBytes: available, inodes: 1, inodesFree: 1 }), onFailure: (message) => void failures.push(message), highPercent: 85, lowPercent: 85 });
  await gc.collect();
  expect(failures).toEqual(["Failed to garbage collect required amount of images. Attempted to free 10 bytes, but only found 0 bytes eligible to free."]);
  used.delete("newer:1");
  await clock.advance(180_000);
  await gc.collect();
  expect((await runtime.images.list()).map(({ repoTags }) => repoTags[0]).sort()).toEqual(["newer:1", "pause:1", "used:1"]);
  available = 50;
  expect(await gc.collect()).toBe(0);
});
