// A container's termination message: its file, or the end of its log where the policy says so.
import { open, type FileHandle } from "node:fs/promises";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { terminationMessageOf } from "./labels.ts";

const MAX_FILE_BYTES = 4096;
const MAX_LOG_BYTES = 2048;
const MAX_LOG_LINES = 80;
/** Holds more than the last words with all their prefixes; a line cut at its start is far before them. */
const READ_BYTES = 128 * 1024;

/** The record of an exited container with its last words as message. Files that cannot be read are no words. */
export async function withLastWords(record: ContainerRecord): Promise<ContainerRecord> {
  const { file, policy } = terminationMessageOf(record);
  let words = file ? await head(file) : "";
  if (words === "" && policy === "FallbackToLogsOnError" && record.exitCode !== 0) words = await logTail(record.logPath);
  if (words === "") return record;
  return { ...record, message: record.message ? `${record.message}: ${words}` : words };
}

async function head(path: string): Promise<string> {
  return readPart(path, (handle) => handle.read(Buffer.alloc(MAX_FILE_BYTES), 0, MAX_FILE_BYTES, 0));
}

async function readPart(path: string, read: (handle: FileHandle) => Promise<{ bytesRead: number; buffer: Buffer }>): Promise<string> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, "r");
    const { bytesRead, buffer } = await read(handle);
    return buffer.toString("utf8", 0, bytesRead);
  } catch {
    return "";
  } finally {
    await handle?.close();
  }
}

/** The last lines of a CRI log, without the runtime's prefix on each. */
async function logTail(path: string): Promise<string> {
  const text = await readPart(path, async (handle) => {
    const { size } = await handle.stat();
    const start = Math.max(0, size - READ_BYTES);
    return handle.read(Buffer.alloc(size - start), 0, size - start, start);
  });
  const entries = text.split("\n").filter((line) => line !== "").slice(-MAX_LOG_LINES);
  const tail = entries.map((line) => `${line.split(" ").slice(3).join(" ")}${line.split(" ")[2] === "P" ? "" : "\n"}`).join("");
  return tail.length <= MAX_LOG_BYTES ? tail : tail.slice(-MAX_LOG_BYTES);
}
