import { expect, test } from "bun:test";
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { Channels } from "./channels.ts";
import { WebSocketConnection } from "./connection.ts";

/** A client's message: masked, with a key of zeros. */
function message(channel: number, payload: Buffer): Buffer {
  const header = Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(payload.length + 1, 6);
  return Buffer.concat([header, Buffer.from([channel]), payload]);
}

test("a channel that was closed before its last bytes were read holds nobody else up", async () => {
  const socket = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  const channels = new Channels(WebSocketConnection.accept({ headers: {} } as IncomingMessage, socket, { protocol: undefined, head: Buffer.alloc(0) }), "v5.channel.k8s.io");
  const [stdin, resize] = [channels.open(0), channels.open(4)];
  socket.push(Buffer.concat([message(0, Buffer.alloc(1 << 20)), message(255, Buffer.from([0]))]));
  while (stdin.readableLength === 0) await Bun.sleep(1);
  expect(socket.isPaused()).toBe(true);
  await new Promise((resolve) => stdin.once("end", resolve).resume());
  socket.push(message(4, Buffer.from("size")));
  expect(await new Promise((resolve) => resize.once("data", (chunk: Buffer) => resolve(chunk.toString())))).toBe("size");
  socket.destroy();
});
