// A change log that lives in memory: for tests and throw-away clusters.
import type { ChangeLog, LogMarks, LogRecord } from "./log.ts";
import { RevisionStore, type RevisionStoreOptions } from "./revisions.ts";

/** An empty store that forgets everything when it is closed. */
export function openMemoryStore(options: RevisionStoreOptions = {}): Promise<RevisionStore> {
  return RevisionStore.open(new MemoryLog(), options);
}

/** Records in a map; insertion order is revision order. */
export class MemoryLog implements ChangeLog {
  readonly #records = new Map<number, LogRecord>();
  #marks: LogMarks = { compactRevision: 0, revision: 0 };

  async marks(): Promise<LogMarks> {
    return this.#marks;
  }

  async append(records: readonly LogRecord[]): Promise<void> {
    for (const record of records) this.#records.set(record.revision, record);
  }

  async compact(revisions: readonly number[], marks: LogMarks): Promise<void> {
    for (const revision of revisions) this.#records.delete(revision);
    this.#marks = marks;
  }

  async read(revisions: readonly number[]): Promise<(LogRecord | undefined)[]> {
    return revisions.map((revision) => this.#records.get(revision));
  }

  async *range(from: number, to: number): AsyncIterable<LogRecord> {
    for (const record of this.#records.values()) if (record.revision >= from && record.revision <= to) yield record;
  }

  async recover(): Promise<void> {}
  async close(): Promise<void> {}
}
