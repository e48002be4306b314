import { describe, expect, test } from "bun:test";
import { createServer, connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { constants, createDeflate } from "node:zlib";
import { controlFrame, dataFrame, FrameParser, FrameType } from "./frames.ts";
import { DICTIONARY, HeaderReader, HeaderWriter } from "./headers.ts";
import { SpdySession, type SpdyStream } from "./session.ts";

describe("header blocks", () => {
  test("what the writer writes the reader reads, block after block", () => {
    const writer = new HeaderWriter();
    const reader = new HeaderReader();
    expect(reader.decode(writer.encode({ streamType: "error" }))).toEqual({ streamtype: "error" });
    expect(reader.decode(writer.encode({}))).toEqual({});
    expect(reader.decode(writer.encode({ port: "80", requestid: "1" }))).toEqual({ port: "80", requestid: "1" });
  });

  test("blocks compressed in one zlib stream with the dictionary are read", async () => {
    const deflate = createDeflate({ dictionary: DICTIONARY });
    const reader = new HeaderReader();
    for (const type of ["error", "stdin", "stdout", "error"]) {
      const plain = Buffer.from(`\0\0\0\x01\0\0\0\x0astreamtype\0\0\0${String.fromCharCode(type.length)}${type}`, "latin1");
      deflate.write(plain);
      deflate.flush(constants.Z_SYNC_FLUSH);
      let block = Buffer.alloc(0);
      while (!block.toString("hex").endsWith("0000ffff")) {
        await new Promise((resolve) => deflate.once("readable", resolve));
        block = Buffer.concat([block, (deflate.read() as Buffer | null) ?? Buffer.alloc(0)]);
      }
      expect(reader.decode(block)).toEqual({ streamtype: type });
    }
  });

  test("the dictionary is the protocol's", () => {
    expect(DICTIONARY.length).toBe(1423);
    expect(Buffer.from(new HeaderWriter().encode({})).readUInt32BE(2)).toBe(0xe3c6a7c2);
  });
});

test("a frame of another version is refused", () => {
  expect(() => [...new FrameParser().feed(Buffer.from("8002000100000000", "hex"))]).toThrow("version 2");
});

describe("a session over a socket", () => {
  test("carries bytes both ways, byte for byte, and half-closes each direction", async () => {
    await withPair(async (client, nextStream) => {
      const stream = client.open({ streamtype: "data" });
      const served = await nextStream();
      expect(served.headers).toEqual({ streamtype: "data" });
      const big = Buffer.alloc(3 << 20, "abcdefgh");
      stream.end(big);
      expect(Buffer.compare(await readAll(served), big)).toBe(0);
      served.end("answer after the other side ended");
      expect((await readAll(stream)).toString()).toBe("answer after the other side ended");
    });
  });

  test("a reader that waits stops the sender, and loses nothing", async () => {
    await withPair(async (client, nextStream) => {
      const stream = client.open({ streamtype: "data" });
      const served = await nextStream();
      const chunks = 400;
      let written = 0;
      stream.on("drain", () => {});
      for (let n = 0; n < chunks; n++) stream.write(Buffer.alloc(64 << 10, n & 255), () => written++);
      stream.end();
      await Bun.sleep(100);
      expect(written).toBeLessThan(chunks);
      expect((await readAll(served)).length).toBe(chunks * (64 << 10));
    });
  });

  test("what was sent before a reset or the end of the session is still read", async () => {
    await withPair(async (client, nextStream) => {
      const stream = client.open({ streamtype: "error" });
      const served = await nextStream();
      served.write("last words");
      served.destroy();
      expect((await readAll(stream)).toString()).toBe("last words");
      const second = client.open({ streamtype: "error" });
      const servedSecond = await nextStream();
      second.write("goodbye");
      client.close();
      expect((await readAll(servedSecond)).toString()).toBe("goodbye");
    });
  });

  test("many streams live side by side", async () => {
    await withPair(async (client, nextStream) => {
      const answers = Array.from({ length: 100 }, async (_, n) => {
        const stream = client.open({ requestid: String(n) });
        stream.end(String(n));
        return (await readAll(stream)).toString();
      });
      for (let n = 0; n < 100; n++) {
        const served = await nextStream();
        void readAll(served).then((bytes) => served.end(`got ${bytes.toString()}`));
      }
      expect(await Promise.all(answers)).toEqual(Array.from({ length: 100 }, (_, n) => `got ${n}`));
    });
  });

  test.each(["ended", "was reset"])("a stream that %s before its last bytes were read holds nobody else up", async (how) => {
    const transport = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    const opened: SpdyStream[] = [];
    const session = new SpdySession(transport, { isServer: true, onStream: (stream) => void opened.push(stream) });
    const writer = new HeaderWriter();
    const open = (id: number): Buffer => controlFrame(FrameType.SynStream, 0, Buffer.concat([uint32(id), Buffer.alloc(6), writer.encode({})]));
    const last = how === "ended" ? dataFrame(1, Buffer.alloc(0), true) : controlFrame(FrameType.RstStream, 0, Buffer.concat([uint32(1), uint32(5)]));
    transport.push(Buffer.concat([open(1), open(3), dataFrame(1, Buffer.alloc(1 << 20), false), last]));
    while (!opened[0]?.readableLength) await Bun.sleep(1);
    expect(transport.isPaused()).toBe(true);
    expect((await readAll(opened[0])).length).toBe(1 << 20);
    transport.push(dataFrame(3, Buffer.from("status"), true));
    expect((await readAll(opened[1] as SpdyStream)).toString()).toBe("status");
    session.close();
  });

  test("garbage ends the session", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const server = createServer((socket) => void new SpdySession(socket, { isServer: true }).closed.then(resolve));
    const socket = connect((await listening(server)).port);
    socket.on("error", () => {});
    socket.write(Buffer.from("800300010000000c000000010000000000000badbadbad", "hex"));
    await promise;
    server.close();
    socket.destroy();
  });
});

async function withPair(use: (client: SpdySession, nextStream: () => Promise<SpdyStream>) => Promise<void>): Promise<void> {
  const waiting: ((stream: SpdyStream) => void)[] = [];
  const arrived: SpdyStream[] = [];
  const onStream = (stream: SpdyStream): void => {
    const waiter = waiting.shift();
    if (waiter) waiter(stream);
    else arrived.push(stream);
  };
  const server = createServer((socket) => void new SpdySession(socket, { isServer: true, onStream }));
  const socket: Socket = connect((await listening(server)).port);
  const client = new SpdySession(socket, { isServer: false });
  try {
    await use(client, () => new Promise((resolve) => {
      const stream = arrived.shift();
      if (stream) resolve(stream);
      else waiting.push(resolve);
    }));
  } finally {
    socket.destroy();
    server.close();
  }
}

function listening(server: ReturnType<typeof createServer>): Promise<{ port: number }> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address() as { port: number })));
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** `for await` would destroy the stream at its end, and with it the other direction. */
function readAll(stream: SpdyStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => stream.on("end", () => resolve(Buffer.concat(chunks))));
}
