// How a log record lies on disk: a fixed head of 37 bytes, the key, the value.
import type { LogRecord } from "./log.ts";

const VERSION = 1;
const HEAD = 1 + 1 + 4 * 8 + 4;

/** Bytes of a record; its revision is the database key and not repeated. */
export function encodeRecord(record: LogRecord): Uint8Array {
  const key = Buffer.from(record.key);
  const bytes = Buffer.allocUnsafe(HEAD + key.length + record.value.length);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(record.type === "put" ? 1 : 0, 1);
  bytes.writeDoubleLE(record.createRevision, 2);
  bytes.writeDoubleLE(record.previousRevision, 10);
  bytes.writeDoubleLE(record.timeMs, 18);
  bytes.writeDoubleLE(record.expiresAtMs, 26);
  bytes.writeUInt32LE(key.length, 34);
  key.copy(bytes, HEAD);
  bytes.set(record.value, HEAD + key.length);
  return bytes;
}

/** Reads `encodeRecord`'s bytes back; throws when they were written by a newer version or are cut short. */
export function decodeRecord(revision: number, bytes: Uint8Array): LogRecord {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < HEAD || view[0] !== VERSION) throw new Error(`record ${revision} has an unknown form; was it written by a newer minik8s?`);
  const keyEnd = HEAD + view.readUInt32LE(34);
  return {
    revision,
    type: view[1] === 1 ? "put" : "delete",
    createRevision: view.readDoubleLE(2),
    previousRevision: view.readDoubleLE(10),
    timeMs: view.readDoubleLE(18),
    expiresAtMs: view.readDoubleLE(26),
    key: view.toString("utf8", HEAD, keyEnd),
    value: view.subarray(keyEnd),
  };
}
