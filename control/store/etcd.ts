// The store on an etcd cluster, which several control planes share: etcd's revisions are the store's revisions.
// One watch of everything feeds all watchers of this process; what another process writes arrives there too.
import { systemClock, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { EtcdConnection, type EtcdTls } from "./etcd/connection.ts";
import { Feed } from "./etcd/feed.ts";
import { follow } from "./etcd/follow.ts";
import { SeenRevisions } from "./etcd/history.ts";
import { Leases } from "./etcd/leases.ts";
import { COMPACT, COMPARE_MOD, prefixRange, RANGE, TXN, type KeyRange, type KeyValue, type RangeResponse, type TxnResponse } from "./etcd/messages.ts";
import { Underway } from "./etcd/underway.ts";
import { Compacted, Fenced, WriteConflict, type Change, type Entry, type HistoryWindow, type Store, type Write } from "./store.ts";
import { hand, type Watcher } from "./watchers.ts";

export interface EtcdStoreOptions {
  readonly tls?: EtcdTls | undefined;
  /** Goes before every key, so that one etcd can hold several clusters; `/minik8s` when left out. */
  readonly prefix?: string;
  readonly clock?: Clock;
  readonly window?: HistoryWindow;
  /** How long to go on trying before the first answer; half a minute when left out. */
  readonly connectTimeoutMs?: number;
  /** Called when changes were missed for good, as after a pause longer than the window: only starting anew helps. */
  readonly onLost?: (error: Compacted) => void;
}

const DEFAULT_WINDOW: HistoryWindow = { maxChanges: 100_000, maxAgeMs: 10 * 60_000 };
const COMPACT_EVERY_MS = 60_000;
const PAGE = 1000;
const PATIENCE_MS = 15_000;
/** Where others write to the same etcd, a revision may be theirs and never arrive. */
const CONFLICT_WAIT_MS = 1000;
const CLOSE_WAIT_MS = 5000;
/** gRPC's code for a revision that is gone. */
const OUT_OF_RANGE = 11;
const log = logger("etcd");

/** Connects to the etcd cluster at `endpoints` (`host:port`); throws EtcdUnavailable when nobody answers in time. */
export async function openEtcdStore(endpoints: readonly string[], options: EtcdStoreOptions = {}): Promise<Store> {
  const connection = new EtcdConnection(endpoints, options.tls);
  try {
    const compacted = await connection.retry(() => compactRevisionOf(connection), options.connectTimeoutMs ?? 30_000);
    const { header } = await connection.retry(() => connection.call(RANGE, { key: Buffer.from("\0"), countOnly: true }), PATIENCE_MS);
    return new EtcdStore(connection, options, { revision: header.revision, compactRevision: compacted });
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** etcd names this revision only to those who ask for what is gone. */
async function compactRevisionOf(connection: EtcdConnection): Promise<number> {
  const key = Buffer.from("\0");
  try {
    await connection.call(RANGE, { key, revision: 1, countOnly: true });
    return 0;
  } catch (error) {
    if (codeOf(error) !== OUT_OF_RANGE) throw error;
  }
  const refused = new AbortController();
  let compactRevision = 0;
  await connection.watch({
    range: { key, rangeEnd: Buffer.alloc(0) }, startRevision: 1, signal: refused.signal,
    onResponse: (response) => {
      compactRevision = response.compactRevision;
      if (response.canceled) refused.abort();
    },
  });
  return compactRevision;
}

class EtcdStore implements Store {
  readonly #connection: EtcdConnection;
  readonly #prefix: string;
  readonly #range: KeyRange;
  readonly #clock: Clock;
  readonly #leases: Leases;
  readonly #feed: Feed;
  readonly #seen: SeenRevisions;
  readonly #closing = new AbortController();
  readonly #compactTimer: ReturnType<typeof setInterval>;
  readonly #underway = new Underway();
  readonly #writes = new Set<Promise<unknown>>();
  #latest: Promise<unknown> = Promise.resolve();
  #nextLatest: Promise<number> | undefined;
  #revision: number;
  #compactRevision: number;

  constructor(connection: EtcdConnection, options: EtcdStoreOptions, start: { revision: number; compactRevision: number }) {
    this.#connection = connection;
    this.#prefix = options.prefix ?? "/minik8s";
    this.#range = prefixRange(`${this.#prefix}/`);
    this.#clock = options.clock ?? systemClock;
    this.#leases = new Leases(connection, this.#clock);
    this.#feed = new Feed(start.revision);
    this.#seen = new SeenRevisions(options.window ?? DEFAULT_WINDOW, start.revision, this.#clock.now());
    this.#revision = start.revision;
    this.#compactRevision = start.compactRevision;
    this.#compactTimer = setInterval(() => void this.#compactQuietly(), COMPACT_EVERY_MS);
    this.#compactTimer.unref();
    void this.#follow({ after: start.revision, signal: this.#closing.signal, onChanges: (changes) => this.#take(changes) }).catch((error: unknown) => {
      log.error({ err: error }, "changes were missed for good");
      if (error instanceof Compacted) options.onLost?.(error);
    });
  }

  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** Everybody who asks while a question is on its way shares the next one. */
  latest(): Promise<number> {
    return (this.#nextLatest ??= this.#askLatest(this.#latest));
  }

  async get(key: string): Promise<Entry | undefined> {
    const { kvs } = await this.#read({ key: this.#keyBytes(key) });
    return kvs[0] && this.#entryOf(kvs[0]);
  }

  async list(prefix: string): Promise<{ entries: Entry[]; revision: number }> {
    const { rangeEnd, key: first } = prefixRange(this.#prefix + (prefix || "/"));
    const entries: Entry[] = [];
    let revision = 0;
    for (let key = first; ; ) {
      const page = await this.#read({ key, rangeEnd, limit: PAGE, revision });
      revision ||= page.header.revision;
      for (const kv of page.kvs) entries.push(this.#entryOf(kv));
      const last = page.kvs.at(-1);
      if (!page.more || !last) return { entries, revision };
      key = Buffer.concat([last.key, Buffer.from([0])]);
    }
  }

  write(write: Write): Promise<number> {
    if (this.#closing.signal.aborted) return Promise.reject(new Error("the store is closed"));
    const writing = this.#write(write);
    this.#writes.add(writing);
    const end = (): void => void this.#writes.delete(writing);
    writing.then(end, end);
    return writing;
  }

  watch({ prefix, after, signal, onChanges }: Parameters<Store["watch"]>[0]): void {
    if (after < this.#compactRevision) throw new Compacted(after, this.#compactRevision);
    const watcher = { prefix, after, signal, onChanges };
    if (after >= this.#feed.revision) this.#feed.add(watcher);
    else void this.#catchUp(watcher);
  }

  async compact(): Promise<void> {
    const revision = this.#seen.outside(this.#clock.now());
    if (revision <= this.#compactRevision) return;
    // Watchers that start from now on must not ask for what is about to go.
    this.#compactRevision = revision;
    await this.#compactTo(revision);
  }

  /** Somebody else having been there before is as good. */
  async #compactTo(revision: number): Promise<void> {
    await this.#connection.retry(() => this.#connection.call(COMPACT, { revision }), PATIENCE_MS).catch((error: unknown) => {
      if (codeOf(error) !== OUT_OF_RANGE) throw error;
    });
  }

  /** What etcd's files still hold of it is etcd's own: `etcdctl defrag` takes it out. */
  async purge(): Promise<void> {
    const revision = this.#compactRevision;
    if (revision > 0) await this.#compactTo(revision);
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    clearInterval(this.#compactTimer);
    await within(Promise.allSettled(this.#writes), CLOSE_WAIT_MS);
    this.#closing.abort();
    this.#connection.close();
  }

  #take(changes: readonly Change[]): void {
    const last = changes.at(-1) as Change;
    this.#revision = Math.max(this.#revision, last.revision);
    this.#seen.add(last.revision, this.#clock.now());
    this.#feed.deliver(this.#underway.recognise(changes));
  }

  #follow(options: { after: number; signal: AbortSignal; onChanges: (changes: readonly Change[]) => void }): Promise<void> {
    return follow({ connection: this.#connection, range: this.#range, keyOf: (key) => this.#keyOf(key), ...options });
  }

  /** A watch of its own until it is level with the feed of all; there it joins, in the same turn. */
  async #catchUp(watcher: Watcher): Promise<void> {
    const level = new AbortController();
    let after = watcher.after;
    const onChanges = (changes: readonly Change[]): void => {
      after = changes.at(-1)?.revision ?? after;
      hand(watcher, changes);
      if (after < this.#feed.revision) return;
      level.abort();
      this.#feed.add({ ...watcher, after });
    };
    await this.#follow({ after, signal: AbortSignal.any([level.signal, watcher.signal, this.#closing.signal]), onChanges }).catch((error: unknown) => {
      log.error({ err: error, prefix: watcher.prefix }, "history could not be read for a watcher");
    });
  }

  async #write(write: Write): Promise<number> {
    const { key, value } = write;
    const forget = value && this.#underway.add(key, value);
    try {
      const lease = write.ttlSeconds ? await this.#leases.for(write.ttlSeconds) : 0;
      const request = this.#transaction(write, lease);
      const { attempt, response } = await this.#connection.retry(async (tries) => ({ attempt: tries, response: await this.#connection.call(TXN, request) }), PATIENCE_MS);
      const revision = response.succeeded ? response.header.revision : await this.#refused(write, response, attempt);
      if (value !== undefined || response.responses[0]?.responseDeleteRange?.deleted) await this.#feed.reached(revision);
      return revision;
    } finally {
      forget?.();
    }
  }

  async #askLatest(before: Promise<unknown>): Promise<number> {
    await before;
    const asking = this.#read({ key: this.#range.key, countOnly: true });
    this.#latest = asking.catch(() => {});
    this.#nextLatest = undefined;
    return (await asking).header.revision;
  }

  #transaction({ key: name, value, expect, fence }: Write, lease: number): object {
    const key = this.#keyBytes(name);
    const fenceKey = fence && this.#keyBytes(fence.key);
    return {
      compare: [...(expect === undefined ? [] : [{ key, target: COMPARE_MOD, modRevision: expect }]), ...(fence ? [{ key: fenceKey, target: COMPARE_MOD, modRevision: fence.revision }] : [])],
      success: [value === undefined ? { requestDeleteRange: { key } } : { requestPut: { key, value, lease } }],
      failure: [{ requestRange: { key } }, ...(fence ? [{ requestRange: { key: fenceKey } }] : [])],
    };
  }

  /** A refused first try is a conflict; a refused repetition may mean that an earlier try was carried out after all. */
  async #refused({ key, value, fence }: Write, { header, responses }: TxnResponse, attempt: number): Promise<number> {
    const kv = responses[0]?.responseRange?.kvs[0];
    const current = kv && this.#entryOf(kv);
    if (attempt > 0 && isSame(value, current?.value)) return current?.modRevision ?? header.revision;
    if (fence && (responses[1]?.responseRange?.kvs[0]?.modRevision ?? 0) !== fence.revision) throw new Fenced(key, fence);
    // Whoever decides again on what watchers were told must not decide on the same old state.
    await within(this.#feed.reached(current?.modRevision ?? header.revision), CONFLICT_WAIT_MS);
    throw new WriteConflict(key, current);
  }

  async #read(request: object): Promise<RangeResponse> {
    const response = await this.#connection.retry(() => this.#connection.call(RANGE, request), PATIENCE_MS);
    this.#revision = Math.max(this.#revision, response.header.revision);
    return response;
  }

  async #compactQuietly(): Promise<void> {
    await this.compact().catch((error: unknown) => log.warn({ err: error }, "old history could not be removed; it is tried again in a minute"));
  }

  #keyBytes(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  #keyOf(key: Buffer): string {
    return key.toString("utf8", Buffer.byteLength(this.#prefix));
  }

  #entryOf({ key, value, createRevision, modRevision }: KeyValue): Entry {
    // Copied, because a part of a message keeps all of it in memory.
    return { key: this.#keyOf(key), value: new Uint8Array(value), createRevision, modRevision };
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}

/** Waits for `work`, but no longer than this. */
async function within(work: Promise<unknown>, ms: number): Promise<void> {
  const done = new AbortController();
  await Promise.race([work, systemClock.sleep(ms, done.signal)]);
  done.abort();
}

/** The gRPC code of a failed call, also of one that was given up. */
function codeOf(error: unknown): number | undefined {
  const { code, cause } = error as { code?: number; cause?: { code?: number } };
  return code ?? cause?.code;
}
