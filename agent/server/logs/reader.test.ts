import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type LogOptions, readLog } from "./reader.ts";

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
  await readLog(path, { ...ALL, ...options }, { write: async (chunk) => void chunks.push(Buffer.from(chunk)), ended: AbortSignal.abort(), signal: new AbortController().signal });
  return Buffer.concat(chunks).toString();
}

function follow(options: Partial<LogOptions> = {}): { text: () => string; end: () => void; done: Promise<void>; sees: (wanted: string) => Promise<void> } {
  const chunks: Buffer[] = [];
  const ended = new AbortController();
  const done = readLog(path, { ...ALL, follow: true, ...options }, { write: async (chunk) => void chunks.push(Buffer.from(chunk)), ended: ended.signal, signal: new AbortController().signal });
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

describe("a reader that is slower than rotation", () => {
  const stamp = (second: number): string => `20260131-1200${String(second).padStart(2, "0")}`;
  /** As the node rotates: the one being written is put aside, and the one put aside before is compressed. */
  const rotate = (second: number, next: string): void => {
    for (const name of readdirSync(directory)) {
      if (!/^0\.log\.\d+-\d+$/.test(name)) continue;
      writeFileSync(join(directory, `${name}.gz`), gzipSync(readFileSync(join(directory, name))));
      rmSync(join(directory, name));
    }
    renameSync(path, `${path}.${stamp(second)}`);
    writeFileSync(path, next);
  };

  test("reads every file that was put aside meanwhile, compressed ones included", async () => {
    writeFileSync(`${path}.${stamp(0)}.gz`, gzipSync(line(0, "long ago")));
    writeFileSync(path, line(1, "one"));
    const rotateAll = (): void => {
      appendFileSync(path, line(2, "late in one"));
      rotate(10, line(11, "two"));
      rotate(20, line(21, "three"));
      rotate(30, line(31, "four"));
      rotate(40, line(41, "five"));
    };
    expect(await readInTheMiddle(rotateAll)).toBe("one\nlate in one\ntwo\nthree\nfour\nfive\n");
  });

  test("goes on with the oldest that is left when what it was in is removed", async () => {
    writeFileSync(path, line(1, "one"));
    const rotateAll = (): void => {
      for (const [index, word] of ["the second", "three", "four"].entries()) rotate(10 * (index + 1), line(10 * (index + 1) + 1, word));
      rmSync(`${path}.${stamp(10)}.gz`);
      rotate(40, line(41, "five"));
    };
    expect(await readInTheMiddle(rotateAll)).toBe("one\nthe second\nthree\nfour\nfive\n");
  });

  test("stays with a file until the one begun after it has something in it", async () => {
    writeFileSync(path, line(1, "one"));
    const text = await readInTheMiddle(() => {
      rotate(10, "");
      setTimeout(() => {
        // The runtime writes to the old file until it has opened the new one.
        appendFileSync(`${path}.${stamp(10)}`, line(11, "late"));
        appendFileSync(path, line(12, "two"));
      }, 50);
    }, "two\n");
    expect(text).toBe("one\nlate\ntwo\n");
  });

  /** Does something while the first output is being written, then reads on until the container's end, or until something is seen. */
  async function readInTheMiddle(act: () => void, until?: string): Promise<string> {
    let text = "";
    const ended = new AbortController();
    const write = async (chunk: Buffer): Promise<void> => {
      const isFirst = text === "";
      text += chunk.toString();
      if (isFirst) act();
      if (until === undefined || text.endsWith(until)) ended.abort();
    };
    await readLog(path, { ...ALL, follow: true }, { write, ended: ended.signal, signal: new AbortController().signal });
    return text;
  }
});

test("lines longer than a block are whole, and what no runtime writes is left out", async () => {
  const long = "y".repeat(600_000);
  writeFileSync(path, line(1, "short") + line(2, long) + line(3, "z".repeat(3 << 20)) + line(4, "end"));
  expect(await read()).toBe(`short\n${long}\nend\n`);
});

test("further tags and lines without the space after theirs are understood", async () => {
  writeFileSync(path, `${at(1)} stdout F:x:y tagged\n${at(2)} stdout F\n${at(3)} stdout Full\n${at(4)} stdlog F no\n${at(5)} stderr P par${"\n"}${at(6)} stderr F tial\n`);
  expect(await read()).toBe("tagged\n\npartial\n");
});
