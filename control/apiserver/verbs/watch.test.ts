import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { isExpired } from "../../../api/errors.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { ConfigMap, KubeObject, WatchEvent } from "../../../api/types.ts";
import { openMemoryStore } from "../../store/memory.ts";
import { createApiServer } from "../server.ts";
import { startTestServer, type TestServer } from "../testing.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const MAPS = "/api/v1/namespaces/default/configmaps";

let server: TestServer;
let session: ClientHttp2Session;
beforeEach(async () => {
  server = await startTestServer({ http: true });
  session = connectHttp2(server.url, { rejectUnauthorized: false });
});
afterEach(async () => {
  session.destroy();
  await server.stop();
});

const create = (name: string, labels: Record<string, string> = {}): Promise<ConfigMap> => server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name, namespace: "default", labels }, data: { v: "1" } });
const relabel = (name: string, labels: Record<string, string | null>): Promise<unknown> => server.client.patch(CONFIG_MAP, { name, namespace: "default" }, { metadata: { labels } }, { type: "merge" });
const remove = (name: string): Promise<void> => server.client.delete(CONFIG_MAP, { name, namespace: "default" });

interface Frame { type: string; object: KubeObject & Record<string, any> }

/** A watch over HTTP/2: `next` gives frames one by one, undefined when the stream has ended. */
function watchOver(query: string, headers: Record<string, string> = {}, path = MAPS): { next: () => Promise<Frame | undefined>; close: () => void; status: Promise<number> } {
  const stream = session.request({ ":path": `${path}?watch=true&${query}`, authorization: "Bearer admin", ...headers });
  const frames: Frame[] = [];
  let text = "";
  const over = new AbortController();
  let wake = (): void => {};
  const status = new Promise<number>((resolve) => stream.on("response", (received) => resolve(Number(received[":status"]))));
  stream.on("data", (chunk: Buffer) => {
    const lines = (text + chunk.toString()).split("\n");
    text = lines.pop() as string;
    frames.push(...lines.map((line) => JSON.parse(line) as Frame));
    wake();
  });
  stream.on("close", () => { over.abort(); wake(); });
  const next = async (): Promise<Frame | undefined> => {
    while (frames.length === 0 && !over.signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
    return frames.shift();
  };
  return { next, close: () => stream.close(), status };
}

const brief = (frame: Frame | undefined): string => `${frame?.type} ${frame?.object.metadata?.name}`;

describe("over HTTP", () => {
  test("starts with what there is, then tells every change in order, with the object as GET shows it", async () => {
    await create("a");
    const watch = watchOver("");
    await watch.status;
    expect(brief(await watch.next())).toBe("ADDED a");
    const created = await create("b");
    await relabel("b", { x: "y" });
    await remove("b");
    const frames = [await watch.next(), await watch.next(), await watch.next()];
    expect(frames.map(brief)).toEqual(["ADDED b", "MODIFIED b", "DELETED b"]);
    expect(frames[0]?.object).toEqual(created as never);
    expect(frames[2]?.object).toMatchObject({ metadata: { labels: { x: "y" }, resourceVersion: "4" }, data: { v: "1" } });
    watch.close();
  });

  test("from a version tells only what came after it", async () => {
    const { metadata } = await create("a");
    await create("b");
    const watch = watchOver(`resourceVersion=${metadata.resourceVersion}`);
    await watch.status;
    expect(brief(await watch.next())).toBe("ADDED b");
    await create("c");
    expect(brief(await watch.next())).toBe("ADDED c");
  });

  test("selectors: objects that start or stop matching come and go", async () => {
    const watch = watchOver("labelSelector=app%3Dx");
    await watch.status;
    await create("a", { app: "y" });
    await relabel("a", { app: "x" });
    await relabel("a", { other: "1" });
    await relabel("a", { app: null });
    expect([brief(await watch.next()), brief(await watch.next()), brief(await watch.next())]).toEqual(["ADDED a", "MODIFIED a", "DELETED a"]);
  });

  test("sendInitialEvents ends the initial state with an annotated bookmark", async () => {
    await create("a");
    const watch = watchOver("sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&resourceVersion=");
    await watch.status;
    expect(brief(await watch.next())).toBe("ADDED a");
    const bookmark = await watch.next();
    expect(bookmark).toMatchObject({ type: "BOOKMARK", object: { kind: "ConfigMap", apiVersion: "v1", metadata: { resourceVersion: "1", annotations: { "k8s.io/initial-events-end": "true" } } } });
    await create("b");
    expect(brief(await watch.next())).toBe("ADDED b");
  });

  test("a version that is too old is an ERROR event with 410, and the end", async () => {
    await server.stop();
    server = await startTestServer({ http: true, historyBounds: { maxEvents: 1, maxAgeMs: 1e9 } });
    session.destroy();
    session = connectHttp2(server.url, { rejectUnauthorized: false });
    for (const name of ["a", "b", "c"]) await create(name);
    Object.defineProperty(server.server.engine.store, "compactRevision", { get: () => 2 });
    const watch = watchOver("resourceVersion=1");
    await watch.status;
    expect(await watch.next()).toMatchObject({ type: "ERROR", object: { kind: "Status", code: 410, reason: "Expired", message: "too old resource version: 1 (2)" } });
    expect(await watch.next()).toBeUndefined();
  });

  test("timeoutSeconds ends it", async () => {
    const watch = watchOver("timeoutSeconds=1");
    await watch.status;
    expect(await watch.next()).toBeUndefined();
  });

  test("stopping the server ends it at once", async () => {
    const watch = watchOver("");
    expect(await watch.status).toBe(200);
    const stopping = server.stop();
    expect(await watch.next()).toBeUndefined();
    await stopping;
  });

  test("a client that leaves is forgotten", async () => {
    const watch = watchOver("");
    await watch.status;
    const cache = server.server.engine.caches.for("core/configmaps");
    expect(cache.watcherCount).toBe(1);
    watch.close();
    while (cache.watcherCount > 0) await Bun.sleep(5);
  });

  test("contradicting options are refused before anything is sent", async () => {
    for (const query of ["resourceVersionMatch=NotOlderThan", "sendInitialEvents=true", "resourceVersionMatch=Exact&sendInitialEvents=true", "labelSelector=a+b"]) {
      expect([400, 422]).toContain(await watchOver(query).status);
    }
  });

  test("events have no form of lists, and asking for one is refused before anything is sent", async () => {
    expect(await watchOver("", { accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" }).status).toBe(406);
    expect((await create("a")).metadata.name).toBe("a");
  });

  test("Tables: columns come with the first event only", async () => {
    await create("a");
    const watch = watchOver("", { accept: "application/json;as=Table;g=meta.k8s.io;v=v1" });
    await watch.status;
    await create("b");
    const [first, second] = [await watch.next(), await watch.next()];
    expect(first?.object).toMatchObject({ kind: "Table", columnDefinitions: [{ name: "Name" }, {}], rows: [{ cells: ["a", expect.anything()] }] });
    expect(second?.object).toMatchObject({ kind: "Table", columnDefinitions: null, rows: [{ cells: ["b", expect.anything()] }] });
  });

  test("many watchers of one object all hear the same bytes", async () => {
    const watches = Array.from({ length: 50 }, () => watchOver("fieldSelector=metadata.name%3Da"));
    await Promise.all(watches.map(({ status }) => status));
    await create("a");
    await create("b");
    expect(new Set((await Promise.all(watches.map(({ next }) => next()))).map((frame) => JSON.stringify(frame))).size).toBe(1);
  });
});

describe("in process", () => {
  const watch = (options: Partial<Parameters<TestServer["client"]["watch"]>[1]>, signal: AbortSignal): AsyncIterator<WatchEvent<ConfigMap>> => server.client.watch<ConfigMap>(CONFIG_MAP, { signal, ...options })[Symbol.asyncIterator]() as never;
  const text = ({ value }: IteratorResult<WatchEvent<ConfigMap>>): string => (value ? `${value.type} ${value.object.metadata.name ?? ""}` : "end");

  test("events carry the cache's own objects, and end with the signal", async () => {
    const ending = new AbortController();
    const created = await create("a");
    const events = watch({ namespace: "default" }, ending.signal);
    const first = await events.next();
    expect(first.value?.object).toBe(created as never);
    const pending = events.next();
    ending.abort();
    expect(await pending).toEqual({ value: undefined, done: true });
    expect(server.server.engine.caches.for("core/configmaps").watcherCount).toBe(0);
  });

  test("a writer has read its own write before the write returns", async () => {
    const created = await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "a", namespace: "default" } });
    expect(await server.client.get<ConfigMap>(CONFIG_MAP, { name: "a", namespace: "default" })).toBe(created);
    expect((await server.client.list(CONFIG_MAP)).metadata.resourceVersion).toBe(created.metadata.resourceVersion as string);
  });

  test("an initial state can be asked for with its end marked", async () => {
    const ending = new AbortController();
    await create("a");
    const events = watch({ sendInitialEvents: true, allowWatchBookmarks: true }, ending.signal);
    expect([text(await events.next()), text(await events.next())]).toEqual(["ADDED a", "BOOKMARK "]);
    ending.abort();
  });

  test("a version that nobody remembers is 410", async () => {
    for (const name of ["a", "b"]) await create(name);
    Object.defineProperty(server.server.engine.store, "compactRevision", { get: () => 2 });
    const cache = server.server.engine.caches.for("core/configmaps");
    cache.trim(Date.now() + 1e9);
    const error = await watch({ resourceVersion: "1" }, new AbortController().signal).next().catch((e: unknown) => e);
    expect(isExpired(error)).toBe(true);
  });
});

describe("after a restart", () => {
  test("a watch goes on where it stopped, from the store's history, and then live", async () => {
    const store = await openMemoryStore();
    const first = createApiServer({ store });
    await first.start();
    const client = first.localClient();
    const make = (client: TestServer["client"], name: string, labels = {}): Promise<ConfigMap> => client.create<ConfigMap>(CONFIG_MAP, { metadata: { name, namespace: "default", labels } });
    const seen = (await make(client, "a", { app: "x" })).metadata.resourceVersion as string;
    await make(client, "b", { app: "x" });
    await client.patch(CONFIG_MAP, { name: "a", namespace: "default" }, { metadata: { labels: { app: "y" } } }, { type: "merge" });
    await make(client, "c", { app: "z" });
    await client.delete(CONFIG_MAP, { name: "b", namespace: "default" });
    await first.stop();

    const second = await startTestServer({ store });
    const ending = new AbortController();
    const events: string[] = [];
    const watching = (async () => {
      for await (const { type, object } of second.client.watch<ConfigMap>(CONFIG_MAP, { resourceVersion: seen, labelSelector: "app=x", signal: ending.signal })) {
        events.push(`${type} ${object.metadata.name}`);
        if (object.metadata.name === "d") ending.abort();
      }
    })();
    await make(second.client, "d", { app: "x" });
    await watching;
    expect(events).toEqual(["ADDED b", "DELETED a", "DELETED b", "ADDED d"]);
    await second.stop();
  });
});
