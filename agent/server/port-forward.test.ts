import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { serveNode } from "./testing.ts";

process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
let node: Awaited<ReturnType<typeof serveNode>>;
/** What a connection to a port of the pod meets. */
let dialled: Duplex;
beforeAll(async () => {
  node = await serveNode();
  Object.assign(node.runtime.streaming, { portForward: () => Promise.resolve(dialled) });
});
afterAll(() => node.server.stop());

/** A pod's end that nothing is said to. */
const silent = (): Duplex => new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });

function connect(): { messages: Buffer[]; socket: WebSocket; closed: Promise<number> } {
  const messages: Buffer[] = [];
  const socket = new WebSocket(`${node.url.replace("https", "wss")}/portForward/default/web?port=80`, ["v4.channel.k8s.io"], { headers: { authorization: "Bearer secret" }, rejectUnauthorized: false });
  socket.on("message", (data: Buffer) => messages.push(Buffer.from(data)));
  return { messages, socket, closed: new Promise((resolve) => socket.on("close", resolve)) };
}

describe("a port forwarded over a WebSocket", () => {
  test("is closed when the pod's server ends, which the client has no way to answer", async () => {
    dialled = silent();
    const { messages, closed } = connect();
    dialled.push("bye");
    dialled.push(null);
    expect(await closed).toBe(1000);
    expect(messages.map(String)).toContain("\0bye");
    expect(dialled.destroyed).toBe(true);
  });

  test("brings all that a pod said that went at once", async () => {
    dialled = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done(), allowHalfOpen: false });
    const { messages, socket, closed } = connect();
    await new Promise((resolve) => socket.once("open", resolve));
    const said = Array.from({ length: 50 }, (_, n) => `${n};`);
    for (const piece of said) dialled.push(piece);
    dialled.push(null);
    await closed;
    // Each channel begins with the port in two bytes.
    expect(messages.filter((message) => message[0] === 0).slice(1).map((message) => message.toString("latin1", 1)).join("")).toBe(said.join(""));
  });

  test("tells what the pod's side failed with", async () => {
    dialled = silent();
    const { messages, socket, closed } = connect();
    await new Promise((resolve) => socket.once("open", resolve));
    dialled.destroy(new Error("no route"));
    await closed;
    expect(messages.at(-1)?.toString()).toContain("no route");
  });
});
