import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer as createTcpServer, connect as connectTcp, type AddressInfo, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { selfSigned } from "../testing.ts";
import { join } from "./join.ts";
import { MessageSplitter } from "./messages.ts";

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
/** Which TLS records carry data, and what TLS 1.3 adds to their content. */
const APPLICATION_DATA = 23;
const RECORD_OVERHEAD = 17;

const frame = (text: string): Buffer => Buffer.concat([Buffer.from([0x82, text.length]), Buffer.from(text)]);

describe("messages", () => {
  const split = (...chunks: (Buffer | string)[]): string[] => {
    const splitter = new MessageSplitter();
    return [...chunks.flatMap((chunk) => [...splitter.feed(Buffer.from(chunk as string))]), splitter.rest()].map((piece) => piece.toString("latin1"));
  };

  test("are cut apart whatever they came in, byte by byte too", () => {
    const long = Buffer.concat([Buffer.from([0x82, 126, 1, 0]), Buffer.alloc(256, "l")]);
    const huge = Buffer.concat([Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Buffer.alloc(65536, "h")]);
    const all = [Buffer.from(SWITCH), frame("one"), frame(""), frame("two"), long, huge].map((piece) => piece.toString("latin1"));
    expect(split(all.map((piece) => Buffer.from(piece, "latin1")).reduce((sum, piece) => Buffer.concat([sum, piece])))).toEqual([...all, ""]);
    const bytes = Array.from(Buffer.from(all.slice(0, 4).join(""), "latin1"), (byte) => Buffer.from([byte]));
    expect(split(...bytes).join("")).toBe(all.slice(0, 4).join(""));
  });

  test("begin only after the answer, which may be a refusal", () => {
    expect(split("HTTP/1.1 400 Bad Request\r\n\r\n", "no, and why")).toEqual(["HTTP/1.1 400 Bad Request\r\n\r\n", "no, and why", ""]);
    expect(split("HTTP/1.1 101 Sw")).toEqual(["HTTP/1.1 101 Sw"]);
  });
});

describe("joined connections", () => {
  let certificate: Awaited<ReturnType<typeof selfSigned>>;
  const servers: Server[] = [];
  beforeAll(async () => {
    certificate = await selfSigned();
  });
  afterAll(() => servers.forEach((server) => server.close()));

  const listening = async (server: Server): Promise<number> => {
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  };

  /** A client joined to a node that behaves as `node` does. */
  async function joined(node: (socket: Socket) => void, isWebSocket: boolean): Promise<{ client: TLSSocket; recordSizes: number[] }> {
    const nodePort = await listening(createTlsServer(certificate, node));
    const middle = createTlsServer({ ...certificate, allowHalfOpen: true } as object, (client) => {
      const upstream: TLSSocket = connectTls({ port: nodePort, host: "127.0.0.1", rejectUnauthorized: false }, () => join(client, upstream, { isWebSocket }));
    });
    const middlePort = await listening(middle);
    const recordSizes: number[] = [];
    const wire = await listening(createTcpServer((socket) => watchRecords(socket, middlePort, recordSizes)));
    const client = connectTls({ port: wire, host: "127.0.0.1", rejectUnauthorized: false });
    await new Promise((resolve) => client.once("secureConnect", resolve));
    return { client, recordSizes };
  }

  test("a WebSocket's messages go out in TLS records of their own", async () => {
    const { client, recordSizes } = await joined((socket) => void socket.write(Buffer.concat([Buffer.from(SWITCH), frame("a"), frame("bb"), frame("ccc")])), true);
    let text = "";
    for await (const chunk of client) if ((text += String(chunk)).endsWith("ccc")) break;
    expect(recordSizes.slice(-4).map((size) => size - RECORD_OVERHEAD)).toEqual([SWITCH.length, 3, 4, 5]);
  });

  test.each([false, true])("a slow reader gets all that a node says before it leaves (WebSocket: %p)", async (isWebSocket) => {
    const [count, size] = [400, 60_000];
    const message = Buffer.concat([Buffer.from([0x82, 126, size >> 8, size & 0xff]), Buffer.alloc(size, "x")]);
    const said = Buffer.concat([Buffer.from(SWITCH), ...Array.from({ length: count }, () => message)]);
    const { client } = await joined((socket) => void socket.end(said), isWebSocket);
    client.pause();
    await Bun.sleep(300);
    let total = 0;
    client.on("data", (chunk: Buffer) => (total += chunk.length)).resume();
    await new Promise((resolve) => client.once("close", resolve));
    expect(total).toBe(said.length);
  });

  test.each([false, true])("what a client has not taken yet when the node leaves still goes out (WebSocket: %p)", async (isWebSocket) => {
    const nothing = (): void => {};
    let take = nothing;
    const taken: string[] = [];
    const client = new Duplex({
      read: () => {},
      write: (chunk: Buffer, _encoding, done) => {
        taken.push(chunk.toString());
        take = () => (take = nothing, done());
      },
    });
    const upstream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done(), allowHalfOpen: false });
    join(client, upstream, { isWebSocket });
    const said = [SWITCH, frame("first").toString(), frame("last").toString()];
    upstream.push(said.join(""));
    upstream.push(null);
    await new Promise((resolve) => upstream.once("close", resolve));
    const isOver = new Promise((resolve) => client.once("finish", resolve).once("close", resolve));
    const taking = setInterval(() => take(), 1);
    await isOver;
    clearInterval(taking);
    expect([taken.join(""), client.writableFinished]).toEqual([said.join(""), true]);
    client.destroy();
  });

  test("who is gone before the other was reached takes it along", async () => {
    const open = (): Duplex => new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    const [client, upstream] = [open(), open()];
    client.destroy();
    await new Promise((resolve) => client.once("close", resolve));
    join(client, upstream);
    await new Promise((resolve) => upstream.once("close", resolve));
    expect(upstream.destroyed).toBe(true);
  });
});

/** Hands a connection on and notes how large the records are that come back. */
function watchRecords(socket: Socket, port: number, sizes: number[]): void {
  const onward = connectTcp({ port, host: "127.0.0.1" });
  socket.pipe(onward);
  onward.pipe(socket);
  socket.on("error", () => onward.destroy());
  onward.on("error", () => socket.destroy());
  let seen = Buffer.alloc(0);
  onward.on("data", (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    for (let size = seen.length < 5 ? Infinity : seen.readUInt16BE(3); seen.length >= 5 + size; size = seen.length < 5 ? Infinity : seen.readUInt16BE(3)) {
      if (seen[0] === APPLICATION_DATA) sizes.push(size);
      seen = seen.subarray(5 + size);
    }
  });
}
