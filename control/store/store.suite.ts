// What every store must do; each engine's test file runs it on a fresh store of its own.
import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../lib/clock.ts";
import { eventually } from "../../lib/testing.ts";
import type { RevisionStoreOptions } from "./revisions.ts";
import { Compacted, Fenced, WriteConflict, type Change, type Store } from "./store.ts";

/** Opens a store; calling `reopen` closes it and opens the same data again (undefined where nothing survives). */
export interface StoreUnderTest {
  open(options?: RevisionStoreOptions): Promise<Store>;
  reopen?(store: Store, options?: RevisionStoreOptions): Promise<Store>;
  /** For an engine whose keys expire by a clock that is not ours: how many of its seconds one of the suite's is. */
  readonly expiry?: { readonly secondsPerSecond: number };
  /** Whether a write whose answer is late is sent again. */
  readonly mayWriteTwice?: boolean;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();

/** Registers the suite under `name`. */
export function describeStore(name: string, engine: StoreUnderTest): void {
  describe(`${name}: a revisioned store`, () => {
    test("a written value is read back with the revision the write returned", async () => {
      const store = await engine.open();
      const revision = await store.write({ key: "/a", value: bytes("1") });
      expect(await store.get("/a")).toEqual({ key: "/a", value: expect.anything(), createRevision: revision, modRevision: revision });
      expect(text((await store.get("/a"))?.value)).toBe("1");
      await store.close();
    });

    test("an absent key is undefined", async () => {
      const store = await engine.open();
      expect(await store.get("/nothing")).toBeUndefined();
      await store.close();
    });

    test("revisions rise by one with every change of any key, and concurrent writers all get their own", async () => {
      const store = await engine.open();
      const start = store.revision;
      const revisions = await Promise.all(Array.from({ length: 200 }, (_, i) => store.write({ key: `/k${i % 7}`, value: bytes(`${i}`) })));
      // A write that was sent twice has taken a revision that nobody was told of.
      const untold = engine.mayWriteTwice ? store.revision - start - 200 : 0;
      expect(new Set(revisions).size).toBe(200);
      expect(Math.min(...revisions)).toBeGreaterThan(start);
      expect(Math.max(...revisions)).toBeLessThanOrEqual(start + 200 + untold);
      expect(store.revision).toBe(start + 200 + untold);
      await store.close();
    });

    test("of many writers that expect the same revision exactly one wins, and the others learn the winner", async () => {
      const store = await engine.open();
      const revision = await store.write({ key: "/a", value: bytes("0") });
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => store.write({ key: "/a", value: bytes(`${i}`), expect: revision })));
      const won = outcomes.filter((o) => o.status === "fulfilled");
      expect(won).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") continue;
        expect(outcome.reason).toBeInstanceOf(WriteConflict);
        expect((outcome.reason as WriteConflict).current?.modRevision).toBe((won[0] as PromiseFulfilledResult<number>).value);
      }
      await store.close();
    });

    test("expecting absence refuses an existing key and allows it again after a delete", async () => {
      const store = await engine.open();
      const first = await store.write({ key: "/a", value: bytes("1"), expect: 0 });
      expect(await store.write({ key: "/a", value: bytes("2"), expect: 0 }).catch((error: unknown) => error)).toBeInstanceOf(WriteConflict);
      await store.write({ key: "/a", value: undefined, expect: first });
      const again = await store.write({ key: "/a", value: bytes("3"), expect: 0 });
      expect((await store.get("/a"))?.createRevision).toBe(again);
      await store.close();
    });

    test("deleting what is absent changes nothing", async () => {
      const store = await engine.open();
      const revision = await store.write({ key: "/a", value: bytes("1") });
      expect(await store.write({ key: "/b", value: undefined })).toBe(revision);
      expect(store.revision).toBe(revision);
      await store.close();
    });

    test("a list holds the live keys under its prefix, in order, at one revision", async () => {
      const store = await engine.open();
      for (const key of ["/b/2", "/a/1", "/b/1", "/b/10", "/c"]) await store.write({ key, value: bytes(key) });
      await store.write({ key: "/b/2", value: undefined });
      const { entries, revision } = await store.list("/b/");
      expect(entries.map((e) => [e.key, text(e.value)])).toEqual([["/b/1", "/b/1"], ["/b/10", "/b/10"]]);
      expect(revision).toBe(store.revision);
      await store.close();
    });

    test("a watch from the past replays every change once, in order, and goes on with the present", async () => {
      const store = await engine.open();
      const start = await store.write({ key: "/w/a", value: bytes("1") });
      await store.write({ key: "/w/a", value: bytes("2") });
      await store.write({ key: "/other", value: bytes("x") });
      await store.write({ key: "/w/a", value: undefined });
      const seen = watchAll(store, "/w/", start);
      await store.write({ key: "/w/b", value: bytes("3") });
      await eventually("the changes", () => seen.changes.length === 3);
      expect(seen.changes.map((c) => [c.type, c.key, text(c.value)])).toEqual([["put", "/w/a", "2"], ["delete", "/w/a", "2"], ["put", "/w/b", "3"]]);
      expect(isAscending(seen.changes)).toBe(true);
      seen.stop();
      await store.write({ key: "/w/c", value: bytes("4") });
      expect(seen.changes).toHaveLength(3);
      await store.close();
    });

    test("a watcher that joins while writers are busy misses nothing and sees nothing twice", async () => {
      const store = await engine.open();
      const start = store.revision;
      const writes: Promise<number>[] = [];
      const seen: ReturnType<typeof watchAll>[] = [];
      for (let i = 0; i < 300; i++) {
        writes.push(store.write({ key: `/w/${i % 11}`, value: bytes(`${i}`) }));
        if (i % 50 === 25) {
          await writes[i - 20];
          seen.push(watchAll(store, "/w/", start));
        }
      }
      await Promise.all(writes);
      for (const watcher of seen) {
        await eventually("the changes", () => (engine.mayWriteTwice ? watcher.changes.length >= 300 : watcher.changes.length === 300));
        expect(isAscending(watcher.changes)).toBe(true);
        watcher.stop();
      }
      await store.close();
    });

    test("a watcher that fails costs no write and no other watcher anything", async () => {
      const store = await engine.open();
      const failing = new AbortController();
      store.watch({ prefix: "", after: store.revision, signal: failing.signal, onChanges: () => { throw new Error("cannot take this"); } });
      const seen = watchAll(store, "/w/", store.revision);
      const revision = await store.write({ key: "/w/a", value: bytes("1") });
      expect(await store.write({ key: "/w/a", value: bytes("2"), expect: revision })).toBeGreaterThan(revision);
      await eventually("the changes", () => seen.changes.length === 2);
      failing.abort();
      seen.stop();
      await store.close();
    });

    test("the changes of a write are delivered before the write resolves", async () => {
      const store = await engine.open();
      const seen = watchAll(store, "", store.revision);
      const revision = await store.write({ key: "/a", value: bytes("1") });
      expect(seen.changes.at(-1)?.revision).toBe(revision);
      seen.stop();
      await store.close();
    });

    test("history beyond the window is gone, and asking for it says so", async () => {
      const store = await engine.open({ window: { maxChanges: 10, maxAgeMs: 3_600_000 } });
      const first = await store.write({ key: "/a", value: bytes("0") });
      for (let i = 1; i <= 30; i++) await store.write({ key: i % 3 === 0 ? "/b" : "/a", value: bytes(`${i}`) });
      await store.write({ key: "/b", value: undefined });
      await store.compact();
      expect(() => watchAll(store, "", first)).toThrow(Compacted);
      expect(store.compactRevision).toBe(store.revision - 10);
      const seen = watchAll(store, "", store.compactRevision);
      await eventually("the changes", () => seen.changes.length === 10);
      expect(text(seen.changes.at(-1)?.value)).toBe("30");
      expect(text((await store.get("/a"))?.value)).toBe("29");
      seen.stop();
      await store.close();
    });

    test("history older than the window's age is gone even when there is little of it", async () => {
      const clock = new FakeClock(1_000_000);
      const store = await engine.open({ clock, window: { maxChanges: 1000, maxAgeMs: 60_000 } });
      const first = await store.write({ key: "/a", value: bytes("0") });
      await store.write({ key: "/a", value: bytes("1") });
      await clock.advance(61_000);
      const young = await store.write({ key: "/a", value: bytes("2") });
      await store.compact();
      expect(() => watchAll(store, "", first)).toThrow(Compacted);
      expect(store.compactRevision).toBe(young - 1);
      await store.close();
    });

    test("a key with a time to live deletes itself, unless it was written again meanwhile", async () => {
      const clock = new FakeClock(1_000_000);
      const { ttlSeconds, pass } = lifetime(engine, clock);
      const store = await engine.open({ clock });
      await store.write({ key: "/short", value: bytes("1"), ttlSeconds });
      await store.write({ key: "/renewed", value: bytes("1"), ttlSeconds });
      const seen = watchAll(store, "", store.revision);
      await pass(30_000);
      await store.write({ key: "/renewed", value: bytes("2") });
      await pass(31_000);
      await eventually("the changes", () => seen.changes.some((c) => c.type === "delete" && c.key === "/short"));
      expect(await store.get("/short")).toBeUndefined();
      expect(text((await store.get("/renewed"))?.value)).toBe("2");
      seen.stop();
      await store.close();
    });

    test("random operations agree with a plain map", async () => {
      const store = await engine.open({ window: { maxChanges: 50, maxAgeMs: 3_600_000 } });
      const random = seeded(20261);
      const model = new Map<string, { value: string; revision: number }>();
      for (let step = 0; step < 1500; step++) {
        const key = `/m/${Math.floor(random() * 12)}`;
        const known = model.get(key);
        const stale = random() < 0.2;
        const expected = random() < 0.6 ? { expect: stale ? 1_000_000 + step : (known?.revision ?? 0) } : {};
        const value = random() < 0.25 ? undefined : `${step}`;
        const outcome = await store.write({ key, value: value === undefined ? undefined : bytes(value), ...expected }).catch((error: unknown) => error);
        if ("expect" in expected && stale) expect(outcome).toBeInstanceOf(WriteConflict);
        else if (value === undefined) model.delete(key);
        else model.set(key, { value, revision: outcome as number });
        if (step % 400 === 399) await store.compact();
      }
      const { entries } = await store.list("/m/");
      expect(new Map(entries.map((e) => [e.key, { value: text(e.value) as string, revision: e.modRevision }]))).toEqual(new Map([...model].sort()));
      await store.close();
    });

    test("a write with a fence happens only while the other key is as it was", async () => {
      const store = await engine.open();
      await store.write({ key: "/a", value: bytes("1"), fence: { key: "/fence", revision: 0 } });
      const revision = await store.write({ key: "/fence", value: bytes("x") });
      const refused = await Promise.allSettled([0, revision - 1].map((old) => store.write({ key: "/a", value: bytes("2"), fence: { key: "/fence", revision: old } })));
      expect(refused.map((outcome) => outcome.status === "rejected" && outcome.reason instanceof Fenced)).toEqual([true, true]);
      expect(text((await store.get("/a"))?.value)).toBe("1");
      await store.write({ key: "/a", value: bytes("3"), fence: { key: "/fence", revision } });
      expect(text((await store.get("/a"))?.value)).toBe("3");
      await store.close();
    });

    const { reopen } = engine;
    if (reopen) describeRestart(engine, reopen.bind(engine));
  });
}

function describeRestart(engine: StoreUnderTest, reopen: NonNullable<StoreUnderTest["reopen"]>): void {
  test("values, revisions and history survive a restart, and revisions go on from there", async () => {
    let store = await engine.open();
    const first = await store.write({ key: "/a", value: bytes("1") });
    await store.write({ key: "/a", value: bytes("2") });
    const last = await store.write({ key: "/a", value: undefined });
    await store.write({ key: "/b", value: bytes("b") });
    store = await reopen(store);
    expect(store.revision).toBe(last + 1);
    expect(await store.get("/a")).toBeUndefined();
    const seen = watchAll(store, "/a", first);
    await eventually("the changes", () => seen.changes.length === 2);
    expect(seen.changes.map((c) => [c.type, text(c.value)])).toEqual([["put", "2"], ["delete", "2"]]);
    expect(await store.write({ key: "/c", value: bytes("c") })).toBe(last + 2);
    seen.stop();
    await store.close();
  });

  test("a revision is never given out twice, even when its record was compacted away", async () => {
    const window = { maxChanges: 0, maxAgeMs: 0 };
    let store = await engine.open({ window });
    await store.write({ key: "/a", value: bytes("1") });
    const last = await store.write({ key: "/a", value: undefined });
    await store.compact();
    store = await reopen(store, { window });
    expect(store.revision).toBe(last);
    expect(await store.write({ key: "/a", value: bytes("2") })).toBe(last + 1);
    await store.close();
  });

  test("a time to live goes on across a restart", async () => {
    const clock = new FakeClock(1_000_000);
    let store = await engine.open({ clock });
    const { ttlSeconds, pass } = lifetime(engine, clock);
    // From then on, because it may have ended by the time the store is open again.
    const written = await store.write({ key: "/a", value: bytes("1"), ttlSeconds });
    store = await reopen(store, { clock });
    const seen = watchAll(store, "", written);
    await pass(61_000);
    await eventually("the changes", () => seen.changes.length === 1);
    expect(await store.get("/a")).toBeUndefined();
    seen.stop();
    await store.close();
  });
}

/** A minute to live, in the engine's time. */
function lifetime({ expiry }: StoreUnderTest, clock: FakeClock): { ttlSeconds: number; pass: (ms: number) => Promise<void> } {
  if (!expiry) return { ttlSeconds: 60, pass: (ms) => clock.advance(ms) };
  return { ttlSeconds: 60 * expiry.secondsPerSecond, pass: (ms) => Bun.sleep(ms * expiry.secondsPerSecond) };
}

function watchAll(store: Store, prefix: string, after: number): { changes: Change[]; stop: () => void } {
  const controller = new AbortController();
  const changes: Change[] = [];
  store.watch({ prefix, after, signal: controller.signal, onChanges: (batch) => changes.push(...batch) });
  return { changes, stop: () => controller.abort() };
}

function isAscending(changes: readonly Change[]): boolean {
  return changes.every((change, index) => index === 0 || change.revision > changes[index - 1]!.revision);
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}
