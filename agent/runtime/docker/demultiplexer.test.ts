import { expect, test } from "bun:test";
import { PassThrough, Writable } from "node:stream";
import { Demultiplexer } from "./demultiplexer.ts";

function piece(stream: 1 | 2, text: string): Buffer {
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(text.length, 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

class Kept extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    setTimeout(done, 0);
  }
}

const SAID = Buffer.concat([piece(1, "out one "), piece(2, "err"), piece(1, ""), piece(1, "out two")]);

test("both outputs are parted, whatever the bytes come in", async () => {
  for (const size of [1, 7, 9, SAID.length]) {
    const [stdout, stderr] = [new Kept(), new Kept()];
    const parted = new Demultiplexer(stdout, stderr);
    for (let from = 0; from < SAID.length; from += size) parted.write(SAID.subarray(from, from + size));
    await new Promise<void>((resolve) => parted.end(resolve));
    expect([stdout.text, stderr.text]).toEqual(["out one out two", "err"]);
  }
});

test("what nobody wants, or whose reader has gone, is dropped", async () => {
  const stdout = new Kept();
  const gone = new PassThrough();
  gone.destroy();
  for (const stderr of [undefined, gone]) {
    const parted = new Demultiplexer(stdout, stderr);
    await new Promise<void>((resolve) => parted.end(SAID, resolve));
  }
  expect(stdout.text).toBe("out one out twoout one out two");
});

test("no more is taken than the reader takes", () => {
  const stuck = new Writable({ write: () => {}, highWaterMark: 1 });
  const parted = new Demultiplexer(stuck, undefined);
  for (let n = 0; n < 10; n++) parted.write(piece(1, "x".repeat(1000)));
  expect([stuck.writableLength, parted.writableNeedDrain]).toEqual([1000, false]);
  while (parted.write(piece(1, "x".repeat(1000))));
  expect(stuck.writableLength).toBe(1000);
  parted.destroy();
});
