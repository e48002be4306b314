import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { WebSocketServer } from "ws";
import { WebSocket } from "ws";
import { builtinKind } from "../../../api/registry.ts";
import type { Node, Pod } from "../../../api/types.ts";
import { call, selfSigned, startTestServer, type TestServer } from "../testing.ts";
import { NodeConnector } from "./connector.ts";

const POD = builtinKind("", "v1", "Pod");
const NODE = builtinKind("", "v1", "Node");
const NAMESPACE = "default";

let node: Server;
let server: TestServer;
const heard: { method: string; url: string; headers: Record<string, unknown> }[] = [];

let silentEnded = (): void => {};

/** A node that tells what it was asked, echoes what is sent over upgraded connections, and speaks WebSocket under /exec. */
async function startNode(): Promise<Server> {
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  const server = createServer({ ...(await selfSigned()) }, (request, response) => {
    heard.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    // Never answered: it is over when whoever asked is gone.
    if (request.url?.includes("silent")) return void response.on("close", () => silentEnded());
    if (request.url?.includes("broken")) return void response.writeHead(400).end("container \"broken\" in pod \"p\" is waiting to start: ContainerCreating");
    response.writeHead(200, { "content-type": "text/plain", "x-node": "yes" });
    response.write("line 1\n");
    setTimeout(() => response.end("line 2\n"), 20);
  });
  server.on("upgrade", (request, socket, head) => {
    heard.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    if (request.headers.upgrade === "websocket") {
      return sockets.handleUpgrade(request, socket, head, (ws) => ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary })));
    }
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n");
    socket.on("data", (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

beforeAll(async () => {
  node = await startNode();
  const certificate = await selfSigned();
  server = await startTestServer({ http: { connect: new NodeConnector(() => server.server.engine, () => certificate) } });
  await server.client.create<Node>(NODE, { metadata: { name: "n1" } });
  const found = await server.client.get<Node>(NODE, { name: "n1" });
  await server.client.update<Node>(NODE, { ...found, status: { addresses: [{ type: "InternalIP", address: "127.0.0.1" }], daemonEndpoints: { kubeletEndpoint: { Port: (node.address() as AddressInfo).port } } } }, { subresource: "status" });
  const pod = (name: string, nodeName: string | undefined, containers: string[]): Pod => ({ metadata: { name, namespace: NAMESPACE }, spec: { ...(nodeName && { nodeName }), containers: containers.map((container) => ({ name: container, image: "i" })) } });
  await server.client.create(POD, pod("p", "n1", ["main"]));
  await server.client.create(POD, pod("two", "n1", ["main", "broken"]));
  await server.client.create(POD, pod("pending", undefined, ["main"]));
  await server.client.create<Node>(NODE, { metadata: { name: "simulated" }, status: { addresses: [{ type: "InternalIP", address: "127.0.0.1" }], daemonEndpoints: { kubeletEndpoint: { Port: 0 } } } });
  await server.client.create(POD, pod("hollow", "simulated", ["main"]));
});

afterAll(async () => {
  await server.stop();
  node.close();
});

const path = (name: string, subresource: string): string => `/api/v1/namespaces/${NAMESPACE}/pods/${name}/${subresource}`;

/** Opens a connection and asks for an upgrade, as SPDY clients do. */
async function upgrade(url: string, headers: readonly string[]): Promise<{ socket: TLSSocket; read: () => Promise<string> }> {
  const socket = connect({ host: "127.0.0.1", port: server.server.port, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
  const chunks: string[] = [];
  let wake = (): void => {};
  socket.on("data", (chunk) => { chunks.push(chunk.toString()); wake(); });
  socket.on("close", () => wake());
  await new Promise<void>((resolve) => socket.once("secureConnect", () => resolve()));
  socket.write(`POST ${url} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n${headers.map((line) => `${line}\r\n`).join("")}\r\n`);
  const read = async (): Promise<string> => {
    if (chunks.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return chunks.splice(0).join("");
  };
  return { socket, read };
}

describe("logs", () => {
  test("the log is read from the pod's node, with the options the node understands and without our token", async () => {
    heard.length = 0;
    const reply = await call(server, "GET", `${path("p", "log")}?tailLines=5&follow=true&pretty=true`);
    expect([reply.status, reply.text]).toEqual([200, "line 1\nline 2\n"]);
    expect(heard[0]?.url).toBe("/containerLogs/default/p/main?tailLines=5&follow=true");
    expect(heard[0]?.headers["authorization"]).toBeUndefined();
  });

  test("a pod with several containers wants one named, and one that exists", async () => {
    expect((await call(server, "GET", path("two", "log"))).body["message"]).toBe("a container name must be specified for pod two, choose one of: [main broken]");
    expect((await call(server, "GET", `${path("two", "log")}?container=nope`)).body["message"]).toBe("container nope is not valid for pod two");
    expect((await call(server, "GET", path("gone", "log"))).body).toMatchObject({ code: 404, message: 'pods "gone" not found' });
  });

  test("a pod that runs nowhere yet has an empty log, and what the node refuses is told as it says it", async () => {
    expect(await call(server, "GET", path("pending", "log"))).toMatchObject({ status: 200, text: "" });
    expect((await call(server, "GET", `${path("two", "log")}?container=broken`)).body).toMatchObject({ code: 400, message: 'container "broken" in pod "p" is waiting to start: ContainerCreating' });
    expect((await call(server, "GET", `${path("p", "log")}?tailLines=-1`)).body).toMatchObject({ code: 422 });
  });
});

test("a node that says it answers no requests is not asked", async () => {
  expect((await call(server, "GET", path("hollow", "log"))).body).toMatchObject({ code: 503, message: "node simulated answers no requests: it is simulated" });
});

describe("upgraded connections", () => {
  test("SPDY bytes go both ways, and the node hears of streams under its own names", async () => {
    heard.length = 0;
    const { socket, read } = await upgrade(`${path("p", "exec")}?command=sh&command=-c&stdin=true&stdout=true&tty=false`, ["Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"]);
    expect(await read()).toStartWith("HTTP/1.1 101 ");
    socket.write("hello");
    expect(await read()).toBe("HELLO");
    socket.destroy();
    expect(heard[0]?.url).toBe("/exec/default/p/main?input=1&output=1&command=sh&command=-c");
    expect(heard[0]?.headers).toMatchObject({ "x-stream-protocol-version": "v4.channel.k8s.io", upgrade: "SPDY/3.1" });
    expect(heard[0]?.headers["authorization"]).toBeUndefined();
  });

  test("WebSocket clients are joined the same way, sub-protocol included, and their token stays here", async () => {
    heard.length = 0;
    const socket = new WebSocket(`wss://127.0.0.1:${server.server.port}${path("p", "exec")}?command=sh&stdout=1`, ["v5.channel.k8s.io"], { rejectUnauthorized: false, headers: { authorization: "Bearer admin" } });
    const echoed = await new Promise<string>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("open", () => socket.send(Buffer.from("\u0000ping")));
      socket.on("message", (data) => resolve(data.toString()));
    });
    expect([echoed, socket.protocol]).toEqual(["\u0000ping", "v5.channel.k8s.io"]);
    socket.close();
  });

  test("who may not, or asks for what is not there, is answered without an upgrade", async () => {
    const { read: missing } = await upgrade(`${path("gone", "exec")}?command=sh`, ["Connection: Upgrade", "Upgrade: SPDY/3.1"]);
    expect(await missing()).toContain('pods \\"gone\\" not found');
    const { read: pending } = await upgrade(`${path("pending", "exec")}?command=sh`, ["Connection: Upgrade", "Upgrade: SPDY/3.1"]);
    expect(await pending()).toContain("pod pending does not have a host assigned");
    expect((await call(server, "POST", `${path("p", "exec")}?command=sh`)).body["message"]).toBe("Upgrade request required");
    expect((await call(server, "POST", `${path("gone", "exec")}?command=sh`)).body).toMatchObject({ code: 404, message: 'pods "gone" not found' });
    expect((await call(server, "POST", `${path("pending", "exec")}?command=sh`)).body["message"]).toBe("pod pending does not have a host assigned");
  });
});

describe("proxies", () => {
  test("a node's own API is reached under nodes/proxy, with method, path, query and headers", async () => {
    heard.length = 0;
    const reply = await call(server, "GET", "/api/v1/nodes/n1/proxy/stats/summary?a=b", { headers: { "x-mine": "1" } });
    expect([reply.status, reply.headers.get("x-node")]).toEqual([200, "yes"]);
    expect(heard[0]).toMatchObject({ method: "GET", url: "/stats/summary?a=b", headers: { "x-mine": "1" } });
  });

  test("a client that leaves before it is answered takes its request along", async () => {
    heard.length = 0;
    const ended = new Promise<void>((resolve) => (silentEnded = resolve));
    const leave = new AbortController();
    const reply = fetch(`${server.url}/api/v1/nodes/n1/proxy/silent`, { headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false }, signal: leave.signal }).catch((error: Error) => error.name);
    while (heard.length === 0) await Bun.sleep(5);
    leave.abort();
    expect(await reply).toBe("AbortError");
    await ended;
  });

  test("a proxy without a path is sent to the one that ends in a slash", async () => {
    const reply = await call(server, "GET", "/api/v1/nodes/n1/proxy?x=1");
    expect([reply.status, reply.headers.get("location")]).toEqual([301, "/api/v1/nodes/n1/proxy/?x=1"]);
  });

  test("a service without endpoints and a pod without an address say so", async () => {
    await server.client.create(builtinKind("", "v1", "Service"), { metadata: { name: "s", namespace: NAMESPACE }, spec: { ports: [{ port: 80 }] } } as never);
    expect((await call(server, "GET", `/api/v1/namespaces/${NAMESPACE}/services/s/proxy/`)).body).toMatchObject({ code: 503, message: 'no endpoints available for service "s"' });
    expect((await call(server, "GET", `${path("p", "proxy")}/`)).body).toMatchObject({ code: 400, message: "address not allowed" });
  });
});
