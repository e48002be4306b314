// Reads one container's log as `kubectl logs` wants it, following across rotation.
// Which log, and whether its container still runs, is the caller's to know.
import type { FileHandle } from "node:fs/promises";
import { Changes } from "../../runtime/log-changes.ts";
import { LineBlocks } from "../../runtime/log-lines.ts";
import { openLog, type LogFile } from "./files.ts";
import { LogFilter, type LogFilterOptions } from "./filter.ts";

export interface LogOptions extends LogFilterOptions {
  readonly follow: boolean;
  readonly tailLines?: number;
}

export interface LogReaderDeps {
  /** Takes output; resolves when more is welcome. The bytes are overwritten after that. */
  readonly write: (chunk: Buffer) => Promise<void>;
  /** Aborts when the container has ended, so that following stops at the end of the file. */
  readonly ended: AbortSignal;
  /** Aborts when the reader has gone. */
  readonly signal: AbortSignal;
}

/** In case a file system tells nothing of changes. */
const RECHECK_MS = 1_000;
const TAIL_BLOCK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/** Writes the log from where the options say to its end, or on and on when following. Rejects when the file cannot be read. */
export async function readLog(path: string, options: LogOptions, deps: LogReaderDeps): Promise<void> {
  const filter = new LogFilter(options);
  const first = await openLog(path);
  let file: LogFile = first;
  const changes = options.follow ? new Changes(path, { recheckMs: RECHECK_MS, signals: [deps.ended, deps.signal] }) : undefined;
  try {
    first.startAt(await tailStart(first.handle, options.tailLines));
    const lines = new LineBlocks();
    lines.turnTo(file);
    for (;;) {
      // Told before reading: what was written until the end must still be read.
      const isLast = !options.follow || deps.ended.aborted;
      const hasGrown = await copy(lines, filter, deps);
      if (deps.signal.aborted || filter.isFull) return;
      const successor = changes && (await file.successor());
      if (successor) {
        // What was written after the last look and before the rotation is in the old file still.
        await copy(lines, filter, deps);
        await file.close();
        file = successor;
        lines.turnTo(file);
        continue;
      }
      if (isLast) return;
      await changes?.next(hasGrown);
    }
  } finally {
    changes?.close();
    await file.close();
  }
}

/** Writes what there is by now; true when there was anything. */
async function copy(lines: LineBlocks, filter: LogFilter, deps: LogReaderDeps): Promise<boolean> {
  let hasGrown = false;
  for (let block = await lines.next(); block && !deps.signal.aborted && !filter.isFull; block = await lines.next()) {
    hasGrown = true;
    const output = filter.keep(block);
    if (output.length > 0) await deps.write(output);
  }
  return hasGrown;
}

/** Where the last `tailLines` lines start; lines as they are in the file, partial ones counted as upstream does. */
async function tailStart(file: FileHandle, tailLines: number | undefined): Promise<number> {
  if (tailLines === undefined) return 0;
  const { size } = await file.stat();
  if (tailLines === 0) return size;
  const block = Buffer.alloc(TAIL_BLOCK_BYTES);
  let wanted = tailLines;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - TAIL_BLOCK_BYTES);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    for (let index = bytesRead - 1; index >= 0; index--) {
      const isLastByte = start + index === size - 1;
      if (block[index] === NEWLINE && !isLastByte && --wanted === 0) return start + index + 1;
    }
    end = start;
  }
  return 0;
}
