// Following a range of keys through lost connections: every change after a revision, once, in order.
// Ends only when told to, or when etcd no longer has what comes next.
import { Backoff } from "../../../lib/backoff.ts";
import { systemClock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { Compacted, type Change } from "../store.ts";
import type { EtcdConnection } from "./connection.ts";
import type { KeyRange, WatchEvent, WatchResponse } from "./messages.ts";

export interface FollowOptions {
  readonly connection: EtcdConnection;
  readonly range: KeyRange;
  /** Turns a key of etcd into one of the store. */
  readonly keyOf: (key: Buffer) => string;
  readonly after: number;
  readonly signal: AbortSignal;
  readonly onChanges: (changes: readonly Change[]) => void;
}

const log = logger("etcd");

/** Resolves when the signal aborts; rejects with Compacted when changes were lost for good. */
export async function follow({ connection, range, keyOf, after, signal, onChanges }: FollowOptions): Promise<void> {
  const backoff = new Backoff({ baseMs: 50, maxMs: 2000, jitter: 0.2 });
  let last = after;
  const onResponse = (stream: AbortController) => (response: WatchResponse): void => {
    if (response.canceled) return stream.abort(refusal(response, last));
    backoff.reset();
    const lastEvent = response.events.at(-1);
    if (!lastEvent) return;
    last = lastEvent.kv.modRevision;
    onChanges(response.events.map((event) => changeOf(event, keyOf)));
  };
  while (!signal.aborted) {
    const stream = new AbortController();
    try {
      await connection.watch({ range, startRevision: last + 1, signal: AbortSignal.any([signal, stream.signal]), onResponse: onResponse(stream) });
      stream.signal.throwIfAborted();
    } catch (error) {
      if (error instanceof Compacted) throw error;
      log.warn({ reason: (error as Error).message, after: last }, "the feed of changes was interrupted; it goes on where it stopped");
      await systemClock.sleep(backoff.next(), signal);
    }
  }
}

function refusal({ compactRevision, cancelReason }: WatchResponse, after: number): Error {
  return compactRevision > 0 ? new Compacted(after, compactRevision) : new Error(`etcd ended the watch: ${cancelReason}`);
}

function changeOf({ type, kv, prevKv }: WatchEvent, keyOf: (key: Buffer) => string): Change {
  const isPut = type === 0;
  return {
    type: isPut ? "put" : "delete", key: keyOf(kv.key), revision: kv.modRevision,
    // Copied, because a part of a message keeps all of it in memory.
    value: new Uint8Array((isPut ? kv.value : prevKv?.value) ?? []),
    createRevision: isPut ? kv.createRevision : (prevKv?.createRevision ?? 0),
  };
}
