// The store on a change log: gives out revisions, refuses stale writes, commits in groups, feeds watchers, forgets old history.
// What is durable and how is the log's business; this file never sees a file.
import { systemClock, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { Expiry } from "./expiry.ts";
import type { ChangeLog, LogRecord } from "./log.ts";
import { Compacted, Fenced, WriteConflict, type Change, type Entry, type HistoryWindow, type Store, type Write } from "./store.ts";
import { Watchers } from "./watchers.ts";

export interface RevisionStoreOptions {
  readonly clock?: Clock;
  readonly window?: HistoryWindow;
}

/** What is known of a live key without reading its value; `revision` may still be on its way to disk. */
interface Live {
  readonly revision: number;
  readonly createRevision: number;
  readonly expiresAtMs: number;
}

interface Pending {
  readonly record: LogRecord;
  readonly before: Live | undefined;
  readonly resolve: (revision: number) => void;
  readonly reject: (error: unknown) => void;
}

const DEFAULT_WINDOW: HistoryWindow = { maxChanges: 100_000, maxAgeMs: 5 * 60_000 };
const COMPACT_EVERY_MS = 60_000;
const COMPACT_STEP = 5_000;
const log = logger("store");

/** A `Store` over any `ChangeLog`. Values are not kept in memory, only keys and revisions. */
export class RevisionStore implements Store {
  readonly #log: ChangeLog;
  readonly #clock: Clock;
  readonly #window: HistoryWindow;
  readonly #live = new Map<string, Live>();
  readonly #watchers: Watchers;
  readonly #expiry: Expiry;
  /** Acceptance times of committed revisions, oldest first: what the age bound is measured on. */
  readonly #ages: { revision: number; timeMs: number }[] = [];
  #pending: Pending[] = [];
  #committing: Promise<void> | undefined;
  #settling: { revision: number; resolve: () => void }[] = [];
  #assigned = 0;
  #revision = 0;
  #compactRevision = 0;
  #compacting: Promise<void> | undefined;
  #repairing: Promise<void> | undefined;
  #compactTimer: ReturnType<typeof setInterval> | undefined;
  #broken = false;
  #closed = false;

  private constructor(changeLog: ChangeLog, options: RevisionStoreOptions) {
    this.#log = changeLog;
    this.#clock = options.clock ?? systemClock;
    this.#window = options.window ?? DEFAULT_WINDOW;
    this.#watchers = new Watchers((after, upTo) => this.#history(after, upTo));
    this.#expiry = new Expiry(this.#clock, (key, revision) => this.#expire(key, revision));
  }

  /** Reads the log and is ready to serve; the cost is one scan of it. */
  static async open(changeLog: ChangeLog, options: RevisionStoreOptions = {}): Promise<RevisionStore> {
    const store = new RevisionStore(changeLog, options);
    await store.#load();
    store.#compactTimer = setInterval(() => void store.#compactQuietly(), COMPACT_EVERY_MS);
    store.#compactTimer.unref();
    return store;
  }

  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  async get(key: string): Promise<Entry | undefined> {
    for (;;) {
      await this.#settled();
      const live = this.#live.get(key);
      if (!live) return undefined;
      const [record] = await this.#log.read([live.revision]);
      // Gone when it was replaced and compacted between the two lines above.
      if (record) return entryOf(record);
    }
  }

  async list(prefix: string): Promise<{ entries: Entry[]; revision: number }> {
    await this.#settled();
    const revision = this.#revision;
    const keys = [...this.#live.keys()].filter((key) => key.startsWith(prefix)).sort(byCodePoint);
    const wanted = keys.map((key) => (this.#live.get(key) as Live).revision);
    const entries: Entry[] = [];
    for (let start = 0; start < wanted.length; start += COMPACT_STEP) {
      for (const record of await this.#log.read(wanted.slice(start, start + COMPACT_STEP))) {
        if (!record) return this.list(prefix);
        entries.push(entryOf(record));
      }
    }
    return { entries, revision };
  }

  async write(write: Write): Promise<number> {
    if (this.#closed) throw new Error("the store is closed");
    if (this.#broken) await this.#repair();
    const live = this.#live.get(write.key);
    if (write.fence && (this.#live.get(write.fence.key)?.revision ?? 0) !== write.fence.revision) throw new Fenced(write.key, write.fence);
    if (write.expect !== undefined && write.expect !== (live?.revision ?? 0)) return this.#refuse(write.key);
    if (write.value === undefined && !live) return this.#revision;
    return new Promise((resolve, reject) => {
      this.#accept(write, live, { resolve, reject });
      this.#committing ??= this.#commitAll();
    });
  }

  watch({ prefix, after, signal, onChanges }: Parameters<Store["watch"]>[0]): void {
    if (after < this.#compactRevision) throw new Compacted(after, this.#compactRevision);
    this.#watchers.add({ prefix, after, signal, onChanges }, this.#revision);
  }

  async compact(): Promise<void> {
    this.#compacting ??= this.#compactNow().finally(() => (this.#compacting = undefined));
    return this.#compacting;
  }

  async purge(): Promise<void> {
    // The revision moves before its records go.
    await this.#compacting;
    await this.#log.purge?.();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#compactTimer);
    this.#expiry.stop();
    await this.#committing;
    await this.#compacting?.catch(() => {});
    await this.#log.close();
  }

  async #load(): Promise<void> {
    const marks = await this.#log.marks();
    this.#compactRevision = marks.compactRevision;
    this.#assigned = this.#revision = marks.revision;
    for await (const record of this.#log.range(0, Number.MAX_SAFE_INTEGER)) {
      this.#setLive(record.key, record.type === "put" ? liveOf(record) : undefined);
      if (record.revision > this.#compactRevision) this.#ages.push({ revision: record.revision, timeMs: record.timeMs });
      this.#assigned = this.#revision = Math.max(this.#revision, record.revision);
    }
  }

  /** Takes the next revision and the index entry at once, so that no second writer can win against the same state. */
  #accept(write: Write, live: Live | undefined, settle: Pick<Pending, "resolve" | "reject">): void {
    const revision = ++this.#assigned;
    const now = this.#clock.now();
    const record: LogRecord = {
      revision, key: write.key, timeMs: now,
      type: write.value === undefined ? "delete" : "put",
      value: write.value ?? new Uint8Array(),
      createRevision: live?.createRevision ?? revision,
      previousRevision: live?.revision ?? 0,
      expiresAtMs: write.ttlSeconds ? now + write.ttlSeconds * 1000 : 0,
    };
    this.#setLive(write.key, record.type === "put" ? liveOf(record) : undefined);
    this.#pending.push({ record, before: live, ...settle });
  }

  /** One synced append at a time; whatever arrives meanwhile shares the next one. */
  async #commitAll(): Promise<void> {
    // Let every write of this turn of the event loop join the first group: many requests arrive in one.
    await new Promise(setImmediate);
    while (this.#pending.length > 0) {
      const group = this.#pending;
      this.#pending = [];
      try {
        const changes = await this.#changesOf(group);
        await this.#log.append(group.map((pending) => pending.record));
        this.#revision = group[group.length - 1]!.record.revision;
        for (const { record } of group) this.#ages.push({ revision: record.revision, timeMs: record.timeMs });
        this.#watchers.deliver(changes);
        for (const pending of group) pending.resolve(pending.record.revision);
      } catch (error) {
        this.#undo([...group, ...this.#pending.splice(0)], error);
      }
      this.#settle();
    }
    this.#committing = undefined;
    if (this.#ages.length > this.#window.maxChanges * 1.1) void this.#compactQuietly();
  }

  /** Changes as watchers see them; a delete carries the value it removed. */
  async #changesOf(group: readonly Pending[]): Promise<Change[]> {
    if (group.every(({ record }) => record.type === "put")) return group.map(({ record }) => changeOf(record, undefined));
    const inGroup = new Map(group.map(({ record }) => [record.revision, record]));
    const missing = group.filter(({ record }) => record.type === "delete" && !inGroup.has(record.previousRevision)).map(({ record }) => record.previousRevision);
    const read = missing.length > 0 ? await this.#log.read(missing) : [];
    const values = new Map(missing.map((revision, index) => [revision, read[index]?.value]));
    return group.map(({ record }) => changeOf(record, inGroup.get(record.previousRevision)?.value ?? values.get(record.previousRevision)));
  }

  #undo(failed: readonly Pending[], error: unknown): void {
    log.error({ err: error, writes: failed.length }, "a group of writes could not be made durable; all of them are refused");
    this.#broken = true;
    for (const { record, before } of failed.toReversed()) this.#setLive(record.key, before);
    this.#assigned = this.#revision;
    for (const pending of failed) pending.reject(error);
  }

  /** Whoever writes next repairs; all that write meanwhile wait for the same repair. */
  #repair(): Promise<void> {
    this.#repairing ??= this.#repairNow().finally(() => (this.#repairing = undefined));
    return this.#repairing;
  }

  async #repairNow(): Promise<void> {
    await this.#committing;
    await this.#log.recover(this.#revision);
    this.#broken = false;
  }

  async #refuse(key: string): Promise<never> {
    throw new WriteConflict(key, await this.get(key));
  }

  /** Resolves when every write accepted so far is on disk or refused; later ones are not waited for. */
  #settled(): Promise<void> {
    if (this.#assigned <= this.#revision) return Promise.resolve();
    const revision = this.#assigned;
    return new Promise((resolve) => this.#settling.push({ revision, resolve }));
  }

  #settle(): void {
    this.#settling = this.#settling.filter(({ revision, resolve }) => {
      const waits = revision > this.#revision && this.#assigned > this.#revision;
      if (!waits) resolve();
      return waits;
    });
  }

  #setLive(key: string, live: Live | undefined): void {
    if (live) this.#live.set(key, live);
    else this.#live.delete(key);
    this.#expiry.set(key, live?.revision ?? 0, live?.expiresAtMs ?? 0);
  }

  async #expire(key: string, revision: number): Promise<void> {
    await this.write({ key, value: undefined, expect: revision }).catch((error: unknown) => {
      if (!(error instanceof WriteConflict) && !this.#closed) log.warn({ err: error, key }, "an expired key could not be removed; it is tried again later");
    });
  }

  async *#history(after: number, upTo: number): AsyncIterable<Change> {
    for await (const record of this.#log.range(after + 1, upTo)) {
      if (record.type === "put") yield changeOf(record, undefined);
      else yield changeOf(record, (await this.#log.read([record.previousRevision]))[0]?.value);
    }
  }

  async #compactQuietly(): Promise<void> {
    await this.compact().catch((error: unknown) => log.warn({ err: error }, "old history could not be removed; it is tried again in a minute"));
  }

  /** A record may go once the change that replaced it has left the window: deletes inside it still need the value they removed. */
  async #compactNow(): Promise<void> {
    const oldestMs = this.#clock.now() - this.#window.maxAgeMs;
    let drop = Math.max(0, this.#ages.length - this.#window.maxChanges);
    while (drop < this.#ages.length && this.#ages[drop]!.timeMs < oldestMs) drop++;
    while (drop > 0) {
      const step = Math.min(drop, COMPACT_STEP);
      const upTo = this.#ages[step - 1]!.revision;
      const dead: number[] = [];
      for await (const record of this.#log.range(this.#compactRevision + 1, upTo)) {
        if (record.previousRevision > 0) dead.push(record.previousRevision);
        if (record.type === "delete") dead.push(record.revision);
      }
      // Watchers that start from now on must not ask for what is about to go.
      this.#compactRevision = upTo;
      await this.#log.compact(dead, { compactRevision: upTo, revision: this.#revision });
      this.#ages.splice(0, step);
      drop -= step;
    }
  }
}

function liveOf(record: LogRecord): Live {
  return { revision: record.revision, createRevision: record.createRevision, expiresAtMs: record.expiresAtMs };
}

function entryOf(record: LogRecord): Entry {
  return { key: record.key, value: record.value, createRevision: record.createRevision, modRevision: record.revision };
}

function changeOf(record: LogRecord, removed: Uint8Array | undefined): Change {
  const value = record.type === "put" ? record.value : (removed ?? new Uint8Array());
  return { type: record.type, key: record.key, value, revision: record.revision, createRevision: record.createRevision };
}

function byCodePoint(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
