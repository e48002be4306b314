// The change log a store keeps its state in: one record a change, in revision order; the newest record of a key is its value.
// Engines only append, read and remove records; what they mean is `revisions.ts`'s business.

/** One change as it is kept. */
export interface LogRecord {
  readonly revision: number;
  readonly type: "put" | "delete";
  readonly key: string;
  /** Empty for deletes. */
  readonly value: Uint8Array;
  readonly createRevision: number;
  /** Revision of the key's record before this one; 0 when there was none. */
  readonly previousRevision: number;
  /** When it was accepted, in milliseconds since the epoch. */
  readonly timeMs: number;
  /** When the key deletes itself, in milliseconds since the epoch; 0 for never. */
  readonly expiresAtMs: number;
}

/** What survives beside the records. */
export interface LogMarks {
  /** Everything up to here may have been removed. */
  readonly compactRevision: number;
  /** The newest revision ever given out, even when its record is gone. */
  readonly revision: number;
}

/** Keeps records. A resolved `append` is durable as a whole; an interrupted one has either happened or not. */
export interface ChangeLog {
  marks(): Promise<LogMarks>;
  append(records: readonly LogRecord[]): Promise<void>;
  /** Removes records and moves the marks, atomically. */
  compact(revisions: readonly number[], marks: LogMarks): Promise<void>;
  /** The records with these revisions, undefined where there is none. */
  read(revisions: readonly number[]): Promise<(LogRecord | undefined)[]>;
  /** Records with `from <= revision <= to`, ascending. */
  range(from: number, to: number): AsyncIterable<LogRecord>;
  /** Takes the bytes of removed records out of the files; absent where removal does that. */
  purge?(): Promise<void>;
  /** After a failed append: makes sure no record newer than `revision` exists, reopening files where needed. */
  recover(revision: number): Promise<void>;
  close(): Promise<void>;
}

/** An append the engine could not make durable: disk full, file system gone, ... */
export class LogUnavailable extends Error {
  override readonly name = "LogUnavailable";
}
