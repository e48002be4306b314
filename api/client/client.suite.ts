// What every Client must do, whatever is behind it: run by the in-memory, in-process and HTTP ones.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isAlreadyExists, isConflict, isExpired, isNotFound } from "../errors.ts";
import { builtinKind } from "../registry.ts";
import type { ConfigMap, Stored, WatchEvent } from "../types.ts";
import type { Client, WatchOptions } from "./client.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const NAMESPACE = builtinKind("", "v1", "Namespace");

export interface ClientUnderTest {
  readonly client: Client;
  stop(): Promise<void>;
}

/** Runs the contract against what `open` makes; needs a cluster where namespaces can be created. */
export function clientSuite(name: string, open: () => Promise<ClientUnderTest>): void {
  describe(name, () => {
    let client: Client;
    let opened: ClientUnderTest;
    const namespace = "client-suite";
    const aConfigMap = (name: string, extra: Partial<ConfigMap> = {}): ConfigMap => ({ apiVersion: "v1", kind: "ConfigMap", ...extra, metadata: { name, namespace, ...extra.metadata } });

    beforeAll(async () => {
      opened = await open();
      client = opened.client;
      await client.create(NAMESPACE, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    });
    afterAll(() => opened.stop());

    test("what is created is read back with what the server adds", async () => {
      const created = await client.create(CONFIG_MAP, aConfigMap("a", { data: { k: "v" } }));
      expect(created.metadata.uid).toBeTruthy();
      const read = await client.get<ConfigMap>(CONFIG_MAP, { namespace, name: "a" });
      expect(read).toEqual(created);
      expect(read.data).toEqual({ k: "v" });
      expect(read.kind).toBe("ConfigMap");
    });

    test("generateName makes a name", async () => {
      const created = await client.create(CONFIG_MAP, { metadata: { generateName: "made-", namespace } });
      expect(created.metadata.name).toMatch(/^made-.{5}$/);
    });

    test("a name is taken once", async () => {
      await client.create(CONFIG_MAP, aConfigMap("twice"));
      await client.create(CONFIG_MAP, aConfigMap("twice")).then(() => expect.unreachable(), (error: unknown) => expect(isAlreadyExists(error)).toBe(true));
    });

    test("what is not there is not found, in upstream's words", async () => {
      await client.get(CONFIG_MAP, { namespace, name: "nothing" }).then(() => expect.unreachable(), (error: unknown) => {
        expect(isNotFound(error)).toBe(true);
        expect((error as Error).message).toBe('configmaps "nothing" not found');
      });
    });

    test("an update with an old revision conflicts", async () => {
      const first = await client.create<ConfigMap>(CONFIG_MAP, aConfigMap("racy"));
      const second = await client.update<ConfigMap>(CONFIG_MAP, { ...first, data: { by: "one" } });
      expect(Number(second.metadata.resourceVersion)).toBeGreaterThan(Number(first.metadata.resourceVersion));
      await client.update<ConfigMap>(CONFIG_MAP, { ...first, data: { by: "two" } }).then(() => expect.unreachable(), (error: unknown) => expect(isConflict(error)).toBe(true));
      expect((await client.get<ConfigMap>(CONFIG_MAP, { namespace, name: "racy" })).data).toEqual({ by: "one" });
    });

    test("a merge patch changes only what it names", async () => {
      await client.create(CONFIG_MAP, aConfigMap("patched", { data: { keep: "1", drop: "2" } }));
      const patched = await client.patch<ConfigMap>(CONFIG_MAP, { namespace, name: "patched" }, { data: { drop: null, add: "3" } }, { type: "merge" });
      expect(patched.data).toEqual({ keep: "1", add: "3" });
    });

    test("a JSON patch is applied", async () => {
      await client.create(CONFIG_MAP, aConfigMap("json-patched", { data: { a: "1" } }));
      const patched = await client.patch<ConfigMap>(CONFIG_MAP, { namespace, name: "json-patched" }, [{ op: "replace", path: "/data/a", value: "2" }], { type: "json" });
      expect(patched.data).toEqual({ a: "2" });
    });

    test("a list sees labels, fields and namespaces", async () => {
      await client.create(CONFIG_MAP, aConfigMap("red", { metadata: { labels: { color: "red" } } }));
      await client.create(CONFIG_MAP, aConfigMap("blue", { metadata: { labels: { color: "blue" } } }));
      const names = async (options: object): Promise<string[]> => (await client.list(CONFIG_MAP, { namespace, ...options })).items.map((item) => item.metadata.name);
      expect(await names({ labelSelector: "color in (red)" })).toEqual(["red"]);
      expect(await names({ fieldSelector: "metadata.name=blue" })).toEqual(["blue"]);
      expect((await client.list(CONFIG_MAP, { namespace: "elsewhere" })).items).toEqual([]);
    });

    test("a delete demands the uid it was told", async () => {
      const created = await client.create(CONFIG_MAP, aConfigMap("doomed"));
      await client.delete(CONFIG_MAP, { namespace, name: "doomed" }, { preconditions: { uid: "another" } }).then(() => expect.unreachable(), (error: unknown) => expect(isConflict(error)).toBe(true));
      await client.delete(CONFIG_MAP, { namespace, name: "doomed" }, { preconditions: { uid: created.metadata.uid } });
      await client.get(CONFIG_MAP, { namespace, name: "doomed" }).then(() => expect.unreachable(), (error: unknown) => expect(isNotFound(error)).toBe(true));
    });

    test("a dry run changes nothing", async () => {
      await client.create(CONFIG_MAP, aConfigMap("dry"), { dryRun: true });
      await client.get(CONFIG_MAP, { namespace, name: "dry" }).then(() => expect.unreachable(), (error: unknown) => expect(isNotFound(error)).toBe(true));
    });

    const collect = async (options: Omit<WatchOptions, "signal">, count: number, meanwhile: () => Promise<unknown>): Promise<WatchEvent<Stored<ConfigMap>>[]> => {
      const stop = new AbortController();
      const seen: WatchEvent<Stored<ConfigMap>>[] = [];
      const watching = (async () => {
        for await (const event of client.watch<ConfigMap>(CONFIG_MAP, { namespace, ...options, signal: stop.signal })) {
          seen.push(event);
          if (seen.length === count) return;
        }
      })();
      await meanwhile();
      await watching;
      stop.abort();
      return seen;
    };

    test("a watch from a list's revision misses nothing and repeats nothing", async () => {
      const { metadata } = await client.list(CONFIG_MAP, { namespace });
      const created = await client.create<ConfigMap>(CONFIG_MAP, aConfigMap("watched"));
      const events = await collect({ resourceVersion: metadata.resourceVersion }, 3, async () => {
        await client.update<ConfigMap>(CONFIG_MAP, { ...created, data: { new: "1" } });
        await client.delete(CONFIG_MAP, { namespace, name: "watched" });
      });
      expect(events.map((event) => [event.type, event.object.metadata.name])).toEqual([["ADDED", "watched"], ["MODIFIED", "watched"], ["DELETED", "watched"]]);
    });

    test("a watch that asks for the initial events gets them, then the mark of their end", async () => {
      const { items } = await client.list(CONFIG_MAP, { namespace });
      const events = await collect({ sendInitialEvents: true, allowWatchBookmarks: true }, items.length + 1, () => Promise.resolve());
      expect(events.slice(0, -1).every((event) => event.type === "ADDED")).toBe(true);
      const last = events.at(-1);
      expect(last?.type).toBe("BOOKMARK");
      expect(last?.object.metadata.annotations).toMatchObject({ "k8s.io/initial-events-end": "true" });
    });

    test("a watch that asks for metadata only gets identity, labels and owners of the same objects", async () => {
      const { metadata } = await client.list(CONFIG_MAP, { namespace });
      const ownerReferences = [{ apiVersion: "v1", kind: "ConfigMap", name: "o", uid: "u" }];
      const created = await client.create<ConfigMap>(CONFIG_MAP, aConfigMap("bare", { data: { a: "b" }, metadata: { labels: { l: "1" }, ownerReferences } }));
      const [event] = await collect({ resourceVersion: metadata.resourceVersion, metadataOnly: true }, 1, () => Promise.resolve());
      const { name, uid, resourceVersion, labels } = created.metadata;
      expect(event?.object.metadata).toMatchObject({ name, namespace, uid, resourceVersion, labels, ownerReferences });
      expect(event?.object.kind).toBe("ConfigMap");
    });

    test("an object that stops matching a watch's selector is deleted to it", async () => {
      const { metadata } = await client.list(CONFIG_MAP, { namespace });
      const events = await collect({ resourceVersion: metadata.resourceVersion, labelSelector: "in=yes" }, 2, async () => {
        await client.create(CONFIG_MAP, aConfigMap("leaver", { metadata: { labels: { in: "yes" } } }));
        await client.patch(CONFIG_MAP, { namespace, name: "leaver" }, { metadata: { labels: { in: "no" } } }, { type: "merge" });
      });
      expect(events.map((event) => event.type)).toEqual(["ADDED", "DELETED"]);
    });

    test("an aborted watch ends", async () => {
      const stop = new AbortController();
      const events = client.watch(CONFIG_MAP, { namespace: "empty", signal: stop.signal })[Symbol.asyncIterator]();
      const next = events.next();
      setTimeout(() => stop.abort(), 20);
      expect((await next.catch(() => ({ done: true }))).done).toBe(true);
    });

    test("a collection is deleted by selector", async () => {
      await client.create(CONFIG_MAP, aConfigMap("many-1", { metadata: { labels: { many: "1" } } }));
      await client.create(CONFIG_MAP, aConfigMap("many-2", { metadata: { labels: { many: "1" } } }));
      await client.deleteCollection(CONFIG_MAP, { namespace, labelSelector: "many=1" });
      expect((await client.list(CONFIG_MAP, { namespace, labelSelector: "many=1" })).items).toEqual([]);
      expect((await client.list(CONFIG_MAP, { namespace })).items.length).toBeGreaterThan(0);
    });
  });
}

/** For clients whose history can be cut: a watch from before the cut is refused. */
export function compactionSuite(name: string, open: () => Promise<ClientUnderTest & { compact(): Promise<void> }>): void {
  test(`${name}: a watch from a forgotten revision is told to list again`, async () => {
    const opened = await open();
    const old = await opened.client.create(CONFIG_MAP, { metadata: { name: "old", namespace: "default" } });
    await opened.client.create(CONFIG_MAP, { metadata: { name: "new", namespace: "default" } });
    await opened.compact();
    const watch = opened.client.watch(CONFIG_MAP, { resourceVersion: old.metadata.resourceVersion, signal: AbortSignal.timeout(5000) });
    await watch[Symbol.asyncIterator]().next().then(() => expect.unreachable(), (error: unknown) => expect(isExpired(error)).toBe(true));
    await opened.stop();
  });
}
