import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { connect, type TLSSocket } from "node:tls";
import { WebSocket } from "ws";
import { SpdySession, type SpdyStream } from "../spdy/session.ts";
import { subresourcesOf } from "./access.ts";
import { responseSink } from "./container-logs.ts";
import { serveNode, testCertificate } from "./testing.ts";

process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
const directory = mkdtempSync(join(tmpdir(), "minik8s-server-"));
let node: Awaited<ReturnType<typeof serveNode>>;
beforeAll(async () => {
  node = await serveNode({ logDirectory: directory });
});
afterAll(async () => {
  await node.server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const get = (path: string, token = "secret"): Promise<Response> => fetch(`${node.url}${path}`, { headers: { authorization: `Bearer ${token}` }, tls: { rejectUnauthorized: false } });
const EXEC = "/exec/default/web/app?input=1&output=1&error=1";

describe("who may enter", () => {
  test("nobody without a credential", async () => {
    const response = await get("/pods", "wrong");
    expect([response.status, await response.text()]).toEqual([401, "Unauthorized"]);
  });

  test("a user without the right is told which one is missing", async () => {
    const response = await get("/pods", "weak");
    expect([response.status, await response.text()]).toEqual([403, "Forbidden (user=weak, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"]);
  });

  test("upgrades are asked the same", async () => {
    expect((await spdyHead(EXEC, "v4.channel.k8s.io", "wrong")).head).toStartWith("HTTP/1.1 401");
  });

  test("paths are upstream's subresources", () => {
    expect(subresourcesOf("/stats/summary")).toEqual(["stats"]);
    expect(subresourcesOf("/metrics/cadvisor")).toEqual(["metrics"]);
    expect(subresourcesOf("/healthz")).toEqual(["healthz", "proxy"]);
    expect(subresourcesOf("/exec/a/b/c")).toEqual(["proxy"]);
    expect(subresourcesOf("/statsfoo")).toEqual(["proxy"]);
  });
});

describe("pages", () => {
  test("health, pods and what providers give", async () => {
    expect(await (await get("/healthz")).text()).toBe("ok");
    expect(await (await get("/healthz/syncloop")).text()).toBe("ok");
    expect(await (await get("/pods/")).json()).toMatchObject({ kind: "PodList", items: [{ metadata: { name: "web" } }] });
    expect(await (await get("/configz")).json()).toEqual({ kubeletconfig: {} });
    expect(await (await get("/metrics")).text()).toBe("up 1\n");
    expect((await get("/nothing")).status).toBe(404);
    expect(await (await get("/metrics/slis")).text()).toContain('kubernetes_healthcheck{name="syncloop",type="healthz"} 1');
  });

  test("requests are told by the first part of a path that is known", async () => {
    await get("/nowhere/1");
    await get("/configz?x=1");
    while (!node.requests.some(({ path }) => path === "other") || !node.requests.some(({ path }) => path === "configz")) await Bun.sleep(5);
    expect(node.requests).toContainEqual(expect.objectContaining({ method: "GET", path: "other", isLongRunning: false }));
  });
});

describe("container logs", () => {
  test("come from the container's file", async () => {
    const response = await get("/containerLogs/default/web/app?tailLines=1");
    expect([response.status, await response.text()]).toEqual([200, "two\n"]);
  });

  test("say in upstream's words what is wrong", async () => {
    const answer = async (path: string): Promise<[number, string]> => {
      const response = await get(path);
      return [response.status, await response.text()];
    };
    expect(await answer("/containerLogs/default/none/app")).toEqual([404, 'pod "none" does not exist']);
    expect(await answer("/containerLogs/default/web/other")).toEqual([404, 'container "other" not found in pod "web"']);
    expect(await answer("/containerLogs/default/web/app?previous=true")).toEqual([400, 'previous terminated container "app" in pod "web" not found']);
    expect(await answer("/containerLogs/default/web/app?tailLines=-1")).toEqual([422, '{"message": "Invalid request."}']);
  });

  test("come as WebSocket messages to who asks so", async () => {
    expect((await webSocket("/containerLogs/default/web/app", ["binary.k8s.io"])).join("")).toBe("one\ntwo\n");
    expect((await webSocket("/containerLogs/default/web/app?tailLines=1", ["base64.binary.k8s.io"])).map(atob).join("")).toBe("two\n");
  });

  test("are followed for nobody who has left before they began", () => {
    const [gone, there] = [new PassThrough(), new PassThrough()];
    gone.destroy();
    expect([gone, there].map((reader) => responseSink(reader as unknown as ServerResponse).signal.aborted)).toEqual([true, false]);
  });

  test("followed ones end with the container", async () => {
    const own = await serveNode({ logDirectory: join(directory, "own") });
    const response = await fetch(`${own.url}/containerLogs/default/web/app?follow=true`, { headers: { authorization: "Bearer secret" }, tls: { rejectUnauthorized: false } });
    const text = response.text();
    own.runtime.exit(own.containerId, 0);
    expect(await text).toBe("one\ntwo\n");
    await own.server.stop();
  });
});

describe("exec over SPDY", () => {
  test("v4 carries streams and success", async () => {
    const { session, open } = await spdy(`${EXEC}&command=cat`, "v4.channel.k8s.io");
    const [error, stdin, stdout] = [open("error"), open("stdin"), open("stdout"), open("stderr")] as [SpdyStream, SpdyStream, SpdyStream, SpdyStream];
    stdin.end("hello");
    expect(await readAll(stdout)).toBe("hello");
    expect(JSON.parse(await readAll(error))).toEqual({ metadata: {}, status: "Success" });
    await session.closed;
  });

  test("v4 tells the exit code", async () => {
    const { open } = await spdy("/exec/default/web/app?output=1&command=sh&command=-c&command=exit%207", "v4.channel.k8s.io");
    const [error] = [open("error"), open("stdout")] as [SpdyStream, SpdyStream];
    expect(JSON.parse(await readAll(error))).toMatchObject({ status: "Failure", reason: "NonZeroExitCode", details: { causes: [{ reason: "ExitCode", message: "7" }] } });
  });

  test("a container that does not run is named", async () => {
    const { head, body } = await spdyHead("/exec/default/web/none?output=1&command=ls", "v4.channel.k8s.io");
    expect(head).toStartWith("HTTP/1.1 500");
    expect(body).toBe('container not found ("none")');
  });

  test("a protocol nobody speaks is refused", async () => {
    expect((await spdyHead(EXEC, "v99.channel.k8s.io")).head).toStartWith("HTTP/1.1 403");
  });
});

describe("exec over WebSocket", () => {
  test("v5 closes stdin, and then tells the end", async () => {
    const messages = await webSocket(`${EXEC}&command=cat`, ["v5.channel.k8s.io"], (socket) => {
      socket.send(Buffer.from("\0typed"));
      socket.send(Buffer.from([255, 0]));
    });
    expect(messages).toEqual(["\x01typed", '\x03{"metadata":{},"status":"Success"}']);
  });

  test("v4 greets with an empty message", async () => {
    const messages = await webSocket("/exec/default/web/app?output=1&command=echo&command=hi", ["v4.channel.k8s.io"]);
    expect(messages).toEqual(["\x01", "\x01hi\n", '\x03{"metadata":{},"status":"Success"}']);
  });

  test("base64 channels are text", async () => {
    const messages = await webSocket("/exec/default/web/app?output=1&command=echo&command=hi", ["v4.base64.channel.k8s.io"]);
    expect(messages).toEqual(["1", `1${btoa("hi\n")}`, `3${btoa('{"metadata":{},"status":"Success"}')}`]);
  });
});

describe("port-forward", () => {
  test("carries a connection over SPDY", async () => {
    const { session, open } = await spdy("/portForward/default/web", "portforward.k8s.io");
    const error = open("error", { port: "80", requestid: "0" });
    error.end();
    const data = open("data", { port: "80", requestid: "0" });
    data.end("through the tunnel");
    expect(await readAll(data)).toBe("through the tunnel");
    expect(await readAll(error)).toBe("");
    session.close();
  });

  test("carries channels over WebSocket, after the port's two bytes", async () => {
    const messages = await webSocket("/portForward/default/web?port=8080", ["v4.channel.k8s.io"], (socket) => socket.send(Buffer.from("\0ping")), 3);
    expect(messages.sort()).toEqual(["\0ping", "\0\x90\x1f", "\x01\x90\x1f"]);
  });
});

test("a new certificate serves new connections", async () => {
  node.server.setCertificate(await testCertificate("renewed"));
  const socket = await tls();
  expect(socket.getPeerCertificate().subject.CN).toBe("renewed");
  socket.destroy();
});

function tls(): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ port: node.server.port, rejectUnauthorized: false }, () => resolve(socket));
    socket.on("error", reject);
  });
}

async function spdyHead(path: string, protocol: string, token = "secret"): Promise<{ head: string; body: string; socket: TLSSocket }> {
  const socket = await tls();
  socket.write(`POST ${path} HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer ${token}\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\nContent-Length: 0\r\n\r\n`);
  const first = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
  socket.pause();
  const [head = "", body = ""] = first.toString("latin1").split("\r\n\r\n");
  return { head, body, socket };
}

async function spdy(path: string, protocol: string): Promise<{ session: SpdySession; open: (streamtype: string, headers?: Record<string, string>) => SpdyStream }> {
  const { head, socket } = await spdyHead(path, protocol);
  expect(head).toStartWith("HTTP/1.1 101");
  const session = new SpdySession(socket, { isServer: false });
  return { session, open: (streamtype, headers = {}) => session.open({ streamtype, ...headers }) };
}

function webSocket(path: string, protocols: string[], act: (socket: WebSocket) => void = () => {}, enough = Infinity): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${node.url.replace("https", "wss")}${path}`, protocols, { headers: { authorization: "Bearer secret" }, rejectUnauthorized: false });
    const messages: string[] = [];
    socket.on("open", () => act(socket));
    socket.on("message", (data: Buffer) => {
      messages.push(Buffer.from(data).toString("latin1"));
      if (messages.length === enough) socket.close();
    });
    socket.on("close", () => resolve(messages));
    socket.on("error", reject);
  });
}

function readAll(stream: SpdyStream): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => stream.on("end", () => resolve(Buffer.concat(chunks).toString())));
}
