import { expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { ConfigMap } from "../../../api/types.ts";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { Entry } from "../cache/entry.ts";
import type { Delivery } from "../cache/event.ts";
import { startTestServer } from "../testing.ts";
import { Beginning } from "./beginning.ts";
import type { WatchSink } from "./watch.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const delivery = (revision: number): Delivery => ({ type: "ADDED", entry: new Entry("ns", `o-${revision}`, revision, { stored: Buffer.from("{}") }), revision });
const deliveries = (from: number, to: number): Delivery[] => Array.from({ length: to - from }, (_, index) => delivery(from + index));
const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, index) => String(from + index));

/** A reader that takes one piece at a time. */
function aReader() {
  const heard: string[] = [];
  const taken: (() => void)[] = [];
  const sink: WatchSink = {
    events: (events) => heard.push(...events.map(({ revision }) => String(revision))),
    bookmark: (revision, initial) => heard.push(`${initial ? "end" : "bookmark"} ${revision}`),
    fail: (error) => heard.push(error.reason),
    ready: () => new Promise((resolve) => taken.push(resolve)),
  };
  const take = async (): Promise<void> => {
    taken.shift()?.();
    for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return { heard, sink, take };
}

test("a long beginning is told in pieces as they are taken; what happens meanwhile comes after its end", async () => {
  const { heard, sink, take } = aReader();
  const beginning = new Beginning(sink, new AbortController().signal);
  beginning.tell(deliveries(0, 600), () => beginning.bookmark(600, true));
  await Promise.resolve();
  expect(heard).toHaveLength(256);
  beginning.events(deliveries(600, 1200));
  beginning.bookmark(650, false);
  await take();
  expect(heard).toHaveLength(512);
  for (let piece = 0; piece < 6; piece++) await take();
  expect(heard).toEqual([...numbers(0, 600), "end 600", ...numbers(600, 1200)]);
  beginning.events(deliveries(1200, 1201));
  expect(heard.at(-1)).toBe("1200");
});

test("a short one is told at once, and one that cannot be made is the end", async () => {
  const { heard, sink } = aReader();
  const beginning = new Beginning(sink, new AbortController().signal);
  beginning.tell(deliveries(0, 2), () => beginning.bookmark(2, true));
  expect(heard).toEqual(["0", "1", "end 2"]);
  const failing = new Beginning(sink, new AbortController().signal);
  failing.tell(Promise.reject(new Error("no")), () => undefined);
  await new Promise((resolve) => setImmediate(resolve));
  failing.events(deliveries(2, 3));
  expect(heard).toEqual(["0", "1", "end 2", "InternalError"]);
});

test("nothing more is told once the watch has ended", async () => {
  const { heard, sink, take } = aReader();
  const ending = new AbortController();
  new Beginning(sink, ending.signal).tell(deliveries(0, 600), () => heard.push("end"));
  await Promise.resolve();
  ending.abort();
  for (let piece = 0; piece < 3; piece++) await take();
  expect(heard).toHaveLength(256);
});

test("a state of many megabytes arrives whole over HTTP, its end marked, changes after it", async () => {
  const server = await startTestServer({ http: true });
  try {
    for (let index = 0; index < 25; index++) await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: `m-${index}`, namespace: "default" }, data: { text: "x".repeat(900_000) } });
    for (let index = 25; index < 400; index++) await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: `m-${index}`, namespace: "default" } });
    const names = new Set<string>();
    const reply = await fetch(`${server.url}/api/v1/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`, { headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false } });
    const lines = linesOf(reply.body as ReadableStream<Uint8Array>);
    for await (const line of lines) {
      const { type, object } = JSON.parse(line) as { type: string; object: ConfigMap };
      if (type !== "BOOKMARK") names.add(object.metadata.name as string);
      else {
        expect(object.metadata.annotations).toEqual({ "k8s.io/initial-events-end": "true" });
        expect(names.size).toBe(400);
        await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "later", namespace: "default" } });
      }
      if (names.has("later")) break;
    }
    expect(names.size).toBe(401);
  } finally {
    await server.stop();
  }
}, TEST_TIMEOUT_MS);

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest: string[] = [];
  for await (const chunk of stream) {
    const [first = "", ...more] = decoder.decode(chunk, { stream: true }).split("\n");
    rest.push(first);
    if (more.length === 0) continue;
    yield rest.join("");
    for (const line of more.slice(0, -1)) yield line;
    rest = [more.at(-1) as string];
  }
}
