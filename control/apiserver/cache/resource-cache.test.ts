import { describe, expect, test } from "bun:test";
import { parseFieldSelector, parseLabelSelector } from "../../../api/selectors.ts";
import type { AnyObject } from "../../../api/types.ts";
import { encodeObject } from "../json.ts";
import type { Delivery } from "./event.ts";
import type { HistoryBounds } from "./history.ts";
import { ResourceCache } from "./resource-cache.ts";
import { metadataFields, selectAll, type FieldReader, type Selection } from "./selection.ts";

const reader: FieldReader = { name: "test", read: ({ object }) => ({ ...metadataFields(object), "spec.nodeName": object["spec"]?.nodeName ?? "" }) };
const select = ({ fields = "", labels = "", ...rest }: { fields?: string; labels?: string; namespace?: string; name?: string }): Selection => ({ ...rest, labels: parseLabelSelector(labels), fields: parseFieldSelector(fields), reader });

/** A cache with a hand to write with; revisions count up from 1. */
function aCache(bounds?: HistoryBounds) {
  const cache = new ResourceCache("core/pods", 0, bounds);
  const values = new Map<string, Buffer>();
  let revision = 0;
  const write = (type: "put" | "delete", name: string, object?: Partial<AnyObject>): number => {
    revision++;
    const value = type === "delete" ? (values.get(name) as Buffer) : encodeObject({ kind: "Pod", apiVersion: "v1", ...object, metadata: { name, namespace: "ns", ...object?.metadata } });
    values.set(name, value);
    const event = cache.apply({ type, key: `/registry/core/pods/ns/${name}`, value, revision, createRevision: 0 }, { namespace: "ns", name }, { nowMs: revision });
    if (event) cache.dispatch([event]);
    return revision;
  };
  const seen: string[] = [];
  const sink = { deliver: (deliveries: readonly Delivery[]) => void seen.push(...deliveries.map((d) => `${d.type} ${d.entry.name}@${d.entry.object.metadata.resourceVersion}`)) };
  return { cache, put: (name: string, object?: Partial<AnyObject>) => write("put", name, object), remove: (name: string) => write("delete", name), seen, sink };
}

const onNode = (nodeName: string, labels?: Record<string, string>): Partial<AnyObject> => ({ metadata: { ...(labels && { labels }) }, spec: { nodeName } });

describe("watching", () => {
  test("an object that starts or stops matching appears as added or deleted", () => {
    const { cache, put, remove, seen, sink } = aCache();
    cache.watchFromNow(select({ fields: "spec.nodeName=n1" }), sink);
    put("a", onNode("n2"));
    put("a", onNode("n1"));
    put("a", onNode("n1", { x: "y" }));
    put("a", onNode("n3"));
    put("b", onNode("n1"));
    remove("b");
    expect(seen).toEqual(["ADDED a@2", "MODIFIED a@3", "DELETED a@4", "ADDED b@5", "DELETED b@6"]);
  });

  test("labels and names select the same way, whatever index a watcher is filed under", () => {
    const { cache, put, seen, sink } = aCache();
    cache.watchFromNow(select({ labels: "app=web" }), sink);
    cache.watchFromNow(select({ name: "b" }), sink);
    cache.watchFromNow(select({ namespace: "other" }), sink);
    put("a", { metadata: { labels: { app: "web" } } });
    put("a", { metadata: { labels: { app: "db" } } });
    put("b");
    expect(seen).toEqual(["ADDED a@1", "DELETED a@2", "ADDED b@3"]);
  });

  test("watching from a revision first replays what followed it, once", () => {
    const { cache, put, seen, sink } = aCache();
    const first = put("a");
    put("b");
    const { backlog } = cache.watch(selectAll(), first, sink);
    put("c");
    expect(backlog.map((d) => d.entry.name)).toEqual(["b"]);
    expect(seen).toEqual(["ADDED c@3"]);
  });

  test("a stopped watcher hears nothing, and is forgotten", () => {
    const { cache, put, seen, sink } = aCache();
    const stop = cache.watchFromNow(select({ fields: "spec.nodeName=n1" }), sink);
    stop();
    stop();
    put("a", onNode("n1"));
    expect(seen).toEqual([]);
    expect(cache.watcherCount).toBe(0);
  });

  test("a revision whose successors are forgotten is refused, by count and by age", () => {
    const few = aCache({ maxEvents: 2, maxAgeMs: 1_000_000 });
    for (const name of ["a", "b", "c", "d"]) few.put(name);
    expect(() => few.cache.watch(selectAll(), 1, few.sink)).toThrow("too old resource version: 1 (2)");
    expect(few.cache.watch(selectAll(), 2, few.sink).backlog).toHaveLength(2);

    const heavy = aCache({ maxEvents: 100, maxAgeMs: 1_000_000, maxBytes: 1000 });
    for (let round = 0; round < 5; round++) heavy.put("a", { data: "x".repeat(300) });
    expect(heavy.cache.oldestRevision).toBe(3);
    expect(heavy.cache.watch(selectAll(), 3, heavy.sink).backlog).toHaveLength(2);
    for (let index = 0; index < 50; index++) heavy.put(`new-${index}`, { data: "x".repeat(300) });
    expect(heavy.cache.oldestRevision).toBe(3);

    const old = aCache({ maxEvents: 100, maxAgeMs: 10 });
    old.put("a");
    old.cache.trim(1000);
    expect(() => old.cache.watch(selectAll(), 0, old.sink)).toThrow("too old resource version");
  });

  test("versions that older watchers may still ask for are not changed by later ones", () => {
    const { cache, put, remove, sink } = aCache();
    put("a", onNode("n1"));
    put("a", onNode("n2"));
    remove("a");
    const { backlog } = cache.watch(selectAll(), 0, sink);
    expect(backlog.map(({ type, entry }) => [type, entry.object.metadata.resourceVersion])).toEqual([["ADDED", "1"], ["MODIFIED", "2"], ["DELETED", "3"]]);
    expect(backlog.map(({ entry }) => entry.object["spec"].nodeName)).toEqual(["n1", "n2", "n2"]);
    expect(JSON.parse(backlog[0]!.entry.bytes.toString()).metadata.resourceVersion).toBe("1");
  });
});

describe("parsed forms", () => {
  test("are let go of unless somebody in the process keeps them, and come back the same", () => {
    const { cache, put } = aCache();
    put("kept", onNode("n1"));
    const kept = cache.get("ns", "kept")!.lend();
    put("read", onNode("n2"));
    const read = cache.get("ns", "read")!.object;
    cache.trim(3);
    expect(cache.get("ns", "kept")!.object).toBe(kept);
    expect(cache.get("ns", "read")!.object).not.toBe(read);
    expect(cache.get("ns", "read")!.object).toEqual(read);
  });
});

describe("listing", () => {
  test("an index gives what a scan gives, before and after changes", () => {
    const { cache, put, remove } = aCache();
    for (let i = 0; i < 200; i++) put(`p${i}`, onNode(`n${i % 3}`, { app: `a${i % 5}` }));
    const byNode = (): string[] => cache.list({ selection: select({ fields: "spec.nodeName=n1" }) }).entries.map((e) => e.name);
    const scan = (): string[] => [...cache.entries()].filter((e) => e.object["spec"]?.nodeName === "n1").map((e) => e.name);
    expect(byNode()).toEqual(scan());
    put("p1", onNode("n2"));
    put("p2", onNode("n1"));
    remove("p4");
    put("zz", onNode("n1"));
    expect(byNode()).toEqual(scan());
    expect(byNode()).toContain("zz");
    expect(cache.list({ selection: select({ labels: "app=a2", fields: "spec.nodeName!=n1" }) }).entries.every((e) => e.object.metadata.labels?.["app"] === "a2" && e.object["spec"].nodeName !== "n1")).toBe(true);
  });

  test("the state at an earlier revision is shown exactly, page by page", () => {
    const { cache, put, remove } = aCache();
    for (const name of ["a", "b", "c", "d"]) put(name, { metadata: { labels: { v: "1" } } });
    const at = 4;
    put("b", { metadata: { labels: { v: "2" } } });
    remove("c");
    put("bb");
    remove("d");
    put("d");
    const page = (after?: string): string[] => cache.list({ selection: selectAll("ns"), at, ...(after && { after: { namespace: "ns", name: after } }) }).entries.map((e) => `${e.name}=${e.object.metadata.labels?.["v"]}`);
    expect(page()).toEqual(["a=1", "b=1", "c=1", "d=1"]);
    expect(page("b")).toEqual(["c=1", "d=1"]);
    expect([...cache.entries("ns")].map((e) => e.name)).toEqual(["a", "b", "bb", "d"]);
  });

  test("a page says where the next one starts and how many are left", () => {
    const { cache, put } = aCache();
    for (const name of ["a", "b", "c", "d", "e"]) put(name);
    const page = cache.list({ selection: selectAll(), limit: 2 });
    expect([page.entries.map((e) => e.name), page.next?.name, page.remaining]).toEqual([["a", "b"], "b", 3]);
    const last = cache.list({ selection: selectAll(), limit: 2, after: { namespace: "ns", name: "d" } });
    expect([last.entries.map((e) => e.name), last.next, last.remaining]).toEqual([["e"], undefined, undefined]);
    expect(cache.list({ selection: select({ labels: "!x" }), limit: 2 }).remaining).toBeUndefined();
  });
});
