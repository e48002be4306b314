import { afterAll, beforeAll, expect, test } from "bun:test";
import { WebSocket } from "ws";
import { builtinKind } from "../../../api/registry.ts";
import type { ConfigMap } from "../../../api/types.ts";
import { startTestServer, type TestServer } from "../testing.ts";
import { tokenProtocolOf } from "./websocket.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const MAPS = "/api/v1/namespaces/default/configmaps";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ http: true });
  await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "first", namespace: "default" }, data: { text: "line\nbreak" } });
});
afterAll(() => server.stop());

interface Heard {
  readonly socket: WebSocket;
  readonly messages: any[];
  readonly closed: Promise<number>;
}

function watchOver(path: string, { protocols = [], token = "admin" as string | undefined } = {} as { protocols?: string[]; token?: string | undefined }): Heard {
  const socket = new WebSocket(`${server.url.replace("https", "wss")}${path}`, protocols, { rejectUnauthorized: false, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
  const messages: any[] = [];
  socket.on("message", (data, isBinary) => messages.push({ isBinary, ...JSON.parse(String(data)) }));
  socket.on("error", () => {});
  return { socket, messages, closed: new Promise((resolve) => socket.on("close", (code) => resolve(code))) };
}

const until = async (isSo: () => boolean): Promise<void> => {
  while (!isSo()) await Bun.sleep(2);
};

test("every event is a text message of its own, and the end is an orderly one", async () => {
  const { messages, closed } = watchOver(`${MAPS}?watch=1&timeoutSeconds=1`);
  await until(() => messages.length === 1);
  expect(messages[0]).toMatchObject({ isBinary: false, type: "ADDED", object: { metadata: { name: "first" }, data: { text: "line\nbreak" } } });
  await Promise.all(["a", "b"].map((name) => server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name, namespace: "default" } })));
  await until(() => messages.length === 3);
  expect(messages.map(({ object }) => object.metadata.name)).toEqual(["first", "a", "b"]);
  expect(await closed).toBe(1000);
});

test("a client that leaves is forgotten, and what it says is not listened to", async () => {
  const { socket, messages } = watchOver(`${MAPS}?watch=1`);
  await until(() => messages.length > 0);
  const { caches } = server.server.engine;
  const before = caches.for("core/configmaps").watcherCount;
  socket.send("hello?");
  await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "c", namespace: "default" } });
  await until(() => messages.at(-1).object.metadata.name === "c");
  socket.close();
  await until(() => caches.for("core/configmaps").watcherCount === before - 1);
});

test("browsers offer their token as a sub-protocol, and another one is agreed on", async () => {
  const { socket, messages } = watchOver(`${MAPS}?watch=1`, { token: undefined, protocols: ["events", `base64url.bearer.authorization.k8s.io.${Buffer.from("admin").toString("base64url")}`] });
  await until(() => messages.length > 0);
  expect(socket.protocol).toBe("events");
  socket.close();
  const offered = (text: string): string | undefined => tokenProtocolOf({ upgrade: "websocket", "sec-websocket-protocol": text });
  expect([offered("events"), offered("base64url.bearer.authorization.k8s.io.YQ"), offered("events, base64url.bearer.authorization.k8s.io.!")]).toEqual([undefined, "", ""]);
});

test("refusals are plain HTTP", async () => {
  const refusal = (path: string, token: string | undefined): Promise<number | undefined> => {
    const { socket } = watchOver(path, { token });
    return new Promise((resolve) => socket.on("unexpected-response", (_request, { statusCode }) => resolve(statusCode)).on("error", (error) => resolve(Number(/\d{3}/.exec(error.message)?.[0]))));
  };
  expect(await refusal(`${MAPS}?watch=1`, "wrong")).toBe(401);
  expect(await refusal("/api/v1/nothings?watch=1", "admin")).toBe(404);
});
