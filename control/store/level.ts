// The default store: a change log in LevelDB, every append one synced batch.
// Records are keyed by revision in fixed-width hex, so a range scan is history in order.
import { ClassicLevel } from "classic-level";
import type { ChangeLog, LogMarks, LogRecord } from "./log.ts";
import { LogUnavailable } from "./log.ts";
import { decodeRecord, encodeRecord } from "./record.ts";
import { RevisionStore, type RevisionStoreOptions } from "./revisions.ts";

type Database = ClassicLevel<string, Uint8Array>;

const MARKS_KEY = "marks";
/** Before and after all others; what they hold means nothing. */
const FIRST_KEY = "!";
const LAST_KEY = "~";
const MEBIBYTE = 1024 * 1024;

/** Opens (or creates) the store in `directory`; throws LogUnavailable with the reason when that cannot be done. */
export async function openLevelStore(directory: string, options: RevisionStoreOptions = {}): Promise<RevisionStore> {
  return RevisionStore.open(await LevelLog.open(directory), options);
}

/** A change log in one LevelDB directory, held exclusively. */
export class LevelLog implements ChangeLog {
  readonly #directory: string;
  #database: Database;

  private constructor(directory: string, database: Database) {
    this.#directory = directory;
    this.#database = database;
  }

  static async open(directory: string): Promise<LevelLog> {
    return new LevelLog(directory, await openDatabase(directory));
  }

  async marks(): Promise<LogMarks> {
    const bytes = await this.#database.get(MARKS_KEY);
    return bytes ? (JSON.parse(Buffer.from(bytes).toString()) as LogMarks) : { compactRevision: 0, revision: 0 };
  }

  async append(records: readonly LogRecord[]): Promise<void> {
    const batch = this.#database.batch();
    for (const record of records) batch.put(keyOf(record.revision), encodeRecord(record));
    try {
      await batch.write({ sync: true });
    } catch (cause) {
      throw new LogUnavailable(`cannot write to ${this.#directory}: ${describe(cause)}`, { cause });
    }
  }

  async compact(revisions: readonly number[], marks: LogMarks): Promise<void> {
    const batch = this.#database.batch();
    for (const revision of revisions) batch.del(keyOf(revision));
    batch.put(MARKS_KEY, Buffer.from(JSON.stringify(marks)));
    await batch.write({ sync: true });
  }

  async read(revisions: readonly number[]): Promise<(LogRecord | undefined)[]> {
    const values = await this.#database.getMany(revisions.map(keyOf));
    return values.map((bytes, index) => bytes && decodeRecord(revisions[index] as number, bytes));
  }

  async *range(from: number, to: number): AsyncIterable<LogRecord> {
    const iterator = this.#database.iterator({ gte: keyOf(from), lte: keyOf(to), highWaterMarkBytes: MEBIBYTE });
    try {
      for (;;) {
        const entries = await iterator.nextv(1000);
        if (entries.length === 0) return;
        for (const [key, bytes] of entries) yield decodeRecord(Number.parseInt(key.slice(1), 16), bytes);
      }
    } finally {
      await iterator.close();
    }
  }

  /**
   * LevelDB only marks what is removed and drops it when files are merged. It writes fresh records past all merging when
   * they overlap with no file; records at both ends of the range, written anew, make sure that they do.
   */
  async purge(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      await this.#database.batch().put(FIRST_KEY, new Uint8Array()).put(LAST_KEY, new Uint8Array()).write({ sync: true });
      await this.#database.compactRange(FIRST_KEY, LAST_KEY);
    }
  }

  async recover(revision: number): Promise<void> {
    // After a failed sync LevelDB refuses every write until it is opened anew.
    await this.#database.close().catch(() => {});
    this.#database = await openDatabase(this.#directory);
    const batch = this.#database.batch();
    for await (const record of this.range(revision + 1, Number.MAX_SAFE_INTEGER)) batch.del(keyOf(record.revision));
    await batch.write({ sync: true });
  }

  async close(): Promise<void> {
    await this.#database.close();
  }
}

async function openDatabase(directory: string): Promise<Database> {
  const database: Database = new ClassicLevel(directory, { keyEncoding: "utf8", valueEncoding: "view", writeBufferSize: 8 * MEBIBYTE, cacheSize: 2 * MEBIBYTE });
  try {
    await database.open();
    return database;
  } catch (cause) {
    const code = ((cause as Error).cause as { code?: string } | undefined)?.code;
    if (code === "LEVEL_LOCKED") throw new LogUnavailable(`data directory ${directory} is in use by another minik8s process; stop it first (minik8s down)`, { cause });
    throw new LogUnavailable(`cannot open the store in ${directory}: ${describe(cause)}`, { cause });
  }
}

/** 14 hex digits hold every safe integer. */
function keyOf(revision: number): string {
  return `r${revision.toString(16).padStart(14, "0")}`;
}

function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
