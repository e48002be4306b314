import { afterEach, beforeEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LogOptions, readLog } from "./log-reader.ts";

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "minik8s-log-"));
  path = join(directory, "0.log");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const ALL: LogOptions = { follow: false, timestamps: false, stream: "All" };
const at = (second: number): string => `2026-01-31T12:00:${String(second).padStart(2, "0")}.000000000Z`;
const line = (second: number, text: string, stream = "stdout", tag = "F"): string => `${at(second)} ${stream} ${tag} ${text}\n`;

async function read(options: Partial<LogOptions> = {}): Promise<string> {
  const chunks: Buffer[] = [];
  await readLog(path, { ...ALL, ...options }, { write: async (chunk) => void chunks.push(chunk), ended: AbortSignal.abort(), signal: new AbortController().signal });
  return Buffer.concat(chunks).toString();
}

function follow(options: Partial<LogOptions> = {}): { text: () => string; end: () => void; done: Promise<void>; sees: (wanted: string) => Promise<void> } {
  const chunks: Buffer[] = [];
  const ended = new AbortController();
  const done = readLog(path, { ...ALL, follow: true, ...options }, { write: async (chunk) => void chunks.push(chunk), ended: ended.signal, signal: new AbortController().signal });
  const text = (): string => Buffer.concat(chunks).toString();
  const sees = async (wanted: string): Promise<void> => {
    while (!text().includes(wanted)) await Bun.sleep(5);
  };
  return { text, done, sees, end: () => ended.abort() };
}

test("lines lose their prefix, and partial lines are joined", async () => {
  writeFileSync(path, line(1, "one") + line(2, "two ", "stdout", "P") + line(3, "halves") + line(4, ""));
  expect(await read()).toBe("one\ntwo halves\n\n");
});

test("timestamps stand before whole lines only", async () => {
  writeFileSync(path, line(1, "one") + line(2, "two ", "stdout", "P") + line(3, "halves"));
  expect(await read({ timestamps: true })).toBe(`${at(1)} one\n${at(2)} two halves\n`);
});

test("the tail is the last lines, across read blocks", async () => {
  const lines = Array.from({ length: 5000 }, (_, n) => line(n % 60, `line ${n} ${"x".repeat(50)}`));
  writeFileSync(path, lines.join(""));
  expect((await read({ tailLines: 3000 })).split("\n").length).toBe(3001);
  expect(await read({ tailLines: 2 })).toMatch(/^line 4998 x+\nline 4999 x+\n$/);
  expect(await read({ tailLines: 0 })).toBe("");
  expect((await read({ tailLines: 100_000 })).split("\n").length).toBe(5001);
});

test("limitBytes cuts within a line", async () => {
  writeFileSync(path, line(1, "hello") + line(2, "world"));
  expect(await read({ limitBytes: 8 })).toBe("hello\nwo");
});

test("since leaves older lines out", async () => {
  writeFileSync(path, line(1, "old") + line(5, "new"));
  expect(await read({ sinceMs: Date.parse(at(5)) })).toBe("new\n");
});

test("one stream can be chosen", async () => {
  writeFileSync(path, line(1, "out") + line(2, "err", "stderr"));
  expect(await read({ stream: "Stderr" })).toBe("err\n");
  expect(await read({ stream: "Stdout" })).toBe("out\n");
});

test("lines that are no log lines are left out", async () => {
  writeFileSync(path, `garbage\n${line(1, "good")}`);
  expect(await read()).toBe("good\n");
});

test("following sees what is appended, torn lines included, and stops when the container has ended", async () => {
  writeFileSync(path, line(1, "first"));
  const { text, sees, end, done } = follow();
  await sees("first\n");
  const whole = line(2, "second");
  appendFileSync(path, whole.slice(0, 20));
  await Bun.sleep(20);
  appendFileSync(path, whole.slice(20));
  await sees("second\n");
  appendFileSync(path, line(3, "last"));
  end();
  await done;
  expect(text()).toBe("first\nsecond\nlast\n");
});

test("following goes on in the file that rotation puts in place, and misses nothing of the old one", async () => {
  writeFileSync(path, line(1, "before"));
  const { text, sees, end, done } = follow();
  await sees("before\n");
  renameSync(path, `${path}.1`);
  appendFileSync(`${path}.1`, line(2, "late in the old one"));
  writeFileSync(path, line(3, "in the new one"));
  await sees("in the new one\n");
  end();
  await done;
  expect(text()).toBe("before\nlate in the old one\nin the new one\n");
});

test("a file that does not exist is an error", async () => {
  await expect(read()).rejects.toThrow("ENOENT");
});
