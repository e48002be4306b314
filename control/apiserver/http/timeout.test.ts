import { expect, test } from "bun:test";
import { connect, createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { StreamRequest, StreamResponse } from "./stream.ts";
import { expire } from "./timeout.ts";

/** More than a client takes at once. */
const LONG = "x".repeat(200_000);

/** What arrives of a reply whose time is up right after `reply` has said what it has to say. */
async function received(reply: (response: StreamResponse) => void): Promise<{ status: number; text: string }> {
  const server = createServer();
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    const response = new StreamResponse(stream);
    reply(response);
    expire({ request: new StreamRequest(stream, headers, []), response, warnings: [] });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    return await new Promise((resolve) => {
      let [status, text] = [0, ""];
      const stream = session.request({ ":path": "/" });
      stream.on("response", (headers) => (status = Number(headers[":status"])));
      stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
      stream.on("error", () => {});
      stream.on("close", () => resolve({ status, text }));
    });
  } finally {
    session.destroy();
    server.close();
  }
}

test("a request that was not answered in time gets a 504", async () => {
  const { status, text } = await received(() => {});
  expect(status).toBe(504);
  expect(text).toContain("request did not complete within the allotted timeout");
});

test("an answer that was given in time is delivered, though the client has not taken it yet", async () => {
  const found = await received((response) => {
    response.writeHead(422, { "content-length": String(LONG.length) });
    response.end(LONG);
  });
  expect([found.status, found.text.length]).toEqual([422, LONG.length]);
});

test("an answer whose end is not in sight is cut off", async () => {
  const { text } = await received((response) => {
    response.writeHead(200, {});
    response.write(Buffer.from("begun"));
  });
  expect(text).not.toContain("Timeout");
});
