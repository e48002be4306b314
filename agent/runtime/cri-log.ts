// The CRI log line: `<RFC 3339 nano time> <stream> <P|F> <content>`, as every runtime writes it and the log reader reads it.
// Files, rotation and following are left to others.

export type LogStream = "stdout" | "stderr";

/** One line, or a part of one when `partial`; `content` has no newline. */
export interface LogEntry {
  readonly timestamp: string;
  readonly stream: LogStream;
  readonly partial: boolean;
  readonly content: Buffer;
}

const SPACE = 0x20;

/** One line of a CRI log file, newline included. */
export function formatLogEntry(entry: LogEntry): Buffer {
  return Buffer.concat([Buffer.from(`${entry.timestamp} ${entry.stream} ${entry.partial ? "P" : "F"} `), entry.content, NEWLINE]);
}

const NEWLINE = Buffer.from("\n");

/** Parses a line without its newline; undefined when it is not a CRI log line (a torn write, another format). */
export function parseLogEntry(line: Buffer): LogEntry | undefined {
  const first = line.indexOf(SPACE);
  const second = first < 0 ? -1 : line.indexOf(SPACE, first + 1);
  if (second < 0) return undefined;
  const third = line.indexOf(SPACE, second + 1);
  const stream = line.toString("latin1", first + 1, second);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  // An empty line is written by some runtimes without the space after its tag.
  const tags = line.toString("latin1", second + 1, third < 0 ? line.length : third).split(":");
  if (tags[0] !== "P" && tags[0] !== "F") return undefined;
  return { timestamp: line.toString("latin1", 0, first), stream, partial: tags[0] === "P", content: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1) };
}

/** `2026-01-31T12:00:00.123456789Z` from milliseconds and the nanoseconds within the millisecond. */
export function nanoTimestamp(ms: number, nanosWithinMs = 0): string {
  return `${new Date(ms).toISOString().slice(0, -1)}${String(nanosWithinMs).padStart(6, "0")}Z`;
}
