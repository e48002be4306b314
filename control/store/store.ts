// The revisioned key-value store below the API server: what an engine must guarantee, and nothing of Kubernetes.
// Engines: `memory.ts`, `level.ts`, `etcd.ts`; all pass `store.suite.ts`.

/** One live key. `value` is never mutated by anyone. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision at which the key came into being. */
  readonly createRevision: number;
  /** Revision of the last write. */
  readonly modRevision: number;
}

/** One committed change; a delete carries the value it removed. */
export interface Change {
  readonly type: "put" | "delete";
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: number;
  readonly createRevision: number;
}

/** One write. Without `expect` it is unconditional; `expect: 0` demands absence, any other number that `modRevision`. */
export interface Write {
  readonly key: string;
  /** undefined deletes; deleting an absent key without `expect` is a no-op that returns the current revision. */
  readonly value: Uint8Array | undefined;
  readonly expect?: number;
  /** The key deletes itself (as a change of its own) this long after the write. */
  readonly ttlSeconds?: number;
  /** Refused with Fenced where this does not hold at the moment of the write. */
  readonly fence?: Fence;
}

/** Another key's `modRevision`, 0 for absence: what a writer decided on and nobody may have changed since. */
export interface Fence {
  readonly key: string;
  readonly revision: number;
}

/** A write whose fence did not hold; nothing was written. */
export class Fenced extends Error {
  override readonly name = "Fenced";
  constructor(readonly key: string, fence: Fence) {
    super(`write to ${key} expected ${fence.key} to be at revision ${fence.revision}`);
  }
}

/** A write whose `expect` did not hold; `current` is the durable entry that stood in the way, undefined when absent. */
export class WriteConflict extends Error {
  override readonly name = "WriteConflict";
  constructor(readonly key: string, readonly current: Entry | undefined) {
    super(`write to ${key} expected another revision than ${current?.modRevision ?? "absent"}`);
  }
}

/** The revision asked for is older than the history kept. */
export class Compacted extends Error {
  override readonly name = "Compacted";
  constructor(readonly requested: number, readonly oldest: number) {
    super(`revision ${requested} has been compacted; the oldest kept is ${oldest}`);
  }
}

/** How much history is kept: changes beyond either bound are compacted away. */
export interface HistoryWindow {
  readonly maxChanges: number;
  readonly maxAgeMs: number;
}

/**
 * A revisioned store. One counter counts every change of every key, strictly increasing, surviving restarts.
 * A resolved write is durable. Changes are delivered in revision order, each exactly once.
 */
export interface Store {
  /** The newest durable revision. */
  readonly revision: number;
  /** The oldest revision a watch can start after. */
  readonly compactRevision: number;
  get(key: string): Promise<Entry | undefined>;
  /** Live entries whose key starts with `prefix`, in key order, and the revision they are consistent at. */
  list(prefix: string): Promise<{ entries: Entry[]; revision: number }>;
  /** Resolves with the change's revision once durable; rejects with WriteConflict when `expect` does not hold. */
  write(write: Write): Promise<number>;
  /**
   * Delivers every change under `prefix` after `revision` to `onChanges`, in order, in batches, until the signal aborts.
   * Throws Compacted at once when that revision is no longer in the window. A batch is delivered before the
   * promise of any of its writes resolves, so a writer reads its own write from a cache fed here.
   */
  watch(options: { prefix: string; after: number; signal: AbortSignal; onChanges: (changes: readonly Change[]) => void }): void;
  /** Drops history older than the window now; engines also do it by themselves. */
  compact(): Promise<void>;
  /** Takes what was compacted away out of the files too; absent where that is not this process's to do. */
  purge?(): Promise<void>;
  /** The newest revision any process has made durable; absent where only this process writes, whose `revision` says it. */
  latest?(): Promise<number>;
  /** Finishes every accepted write, then releases the files. */
  close(): Promise<void>;
}
