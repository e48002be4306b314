import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { eventually, TEST_TIMEOUT_MS, PATIENCE_MS } from "../../lib/testing.ts";
import { createAuthority, DAY_MS, issue } from "../pki/certificates.ts";
import { freePort, hasEtcd, TestEtcd } from "./etcd/testing.ts";
import { EtcdUnavailable } from "./etcd/connection.ts";
import { openEtcdStore, type EtcdStoreOptions } from "./etcd.ts";
import type { WriteConflict, Change, Store } from "./store.ts";
import { describeStore } from "./store.suite.ts";

setDefaultTimeout(TEST_TIMEOUT_MS);

describe.skipIf(!hasEtcd)("on a real etcd", () => {
  const etcd = new TestEtcd();
  beforeAll(() => etcd.start());
  afterAll(() => etcd.remove());

  let count = 0;
  const prefixes = new WeakMap<Store, string>();
  const open = async (options: EtcdStoreOptions = {}, prefix = `/test${count++}`): Promise<Store> => {
    const store = await openEtcdStore([etcd.endpoint], { connectTimeoutMs: PATIENCE_MS, ...options, prefix });
    prefixes.set(store, prefix);
    return store;
  };

  describeStore("etcd", {
    open,
    reopen: async (store, options) => {
      await store.close();
      return open(options, prefixes.get(store));
    },
    // etcd's shortest lease is two seconds.
    expiry: { secondsPerSecond: 1 / 20 },
    mayWriteTwice: true,
  });

  test("what one process writes is seen by another's watch, in one order for both", async () => {
    const [one, two] = await Promise.all([open({}, "/shared"), open({}, "/shared")]);
    const [seenByOne, seenByTwo] = [watchAll(one), watchAll(two)];
    await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 ? one : two).write({ key: `/${i % 10}`, value: Buffer.from(`${i}`) })));
    await eventually("two hundred changes", () => seenByOne.changes.length === 100 && seenByTwo.changes.length === 100);
    const summary = ({ changes }: { changes: Change[] }): unknown => changes.map(({ key, revision, value }) => [key, revision, Buffer.from(value).toString()]);
    expect(summary(seenByOne)).toEqual(summary(seenByTwo));
    expect(await one.latest?.()).toBe(seenByTwo.changes.at(-1)?.revision as number);
    for (const seen of [seenByOne, seenByTwo]) seen.stop();
    await Promise.all([one.close(), two.close()]);
  });

  test("a writer refused because of another process's write has been told of that write", async () => {
    const [one, two] = await Promise.all([open({}, "/refused"), open({}, "/refused")]);
    const seen = watchAll(one);
    const first = await one.write({ key: "/a", value: Buffer.from("1") });
    const second = await two.write({ key: "/a", value: Buffer.from("2") });
    const refusal = await one.write({ key: "/a", value: Buffer.from("3"), expect: first }).catch((error: unknown) => error);
    expect((refusal as WriteConflict).current?.modRevision).toBe(second);
    expect(seen.changes.at(-1)?.revision).toBe(second);
    seen.stop();
    await Promise.all([one.close(), two.close()]);
  });

  test("what comes back from etcd is the very array that was written", async () => {
    const store = await open();
    const seen = watchAll(store);
    const value = Buffer.from("1");
    await store.write({ key: "/a", value });
    expect(seen.changes[0]?.value).toBe(value);
    seen.stop();
    await store.close();
  });

  test("a list longer than a page is whole and of one revision", async () => {
    const store = await open();
    // Not all at once: each has to be answered in its own time.
    for (let batch = 0; batch < 25; batch++) await Promise.all(Array.from({ length: 100 }, (_, i) => store.write({ key: `/l/${batch * 100 + i}`, value: Buffer.from(`${i}`) })));
    const { entries, revision } = await store.list("/l/");
    expect(new Set(entries.map(({ key }) => key)).size).toBe(2500);
    expect(revision).toBe(store.revision);
    await store.close();
  });

  test("when etcd is killed while writers are busy nothing acknowledged is lost and watchers miss nothing", async () => {
    const store = await open();
    const seen = watchAll(store);
    const acknowledged = new Map<string, number>();
    const writer = async (id: number): Promise<void> => {
      for (let i = 0; i < 60; i++) acknowledged.set(`/${id}/${i}`, await store.write({ key: `/${id}/${i}`, value: Buffer.from(`${i}`), expect: 0 }));
    };
    const writers = Promise.all(Array.from({ length: 8 }, (_, id) => writer(id)));
    await eventually("a hundred writes", () => acknowledged.size > 100);
    await etcd.kill();
    etcd.start();
    await writers;
    const { entries } = await store.list("");
    expect(new Map(entries.map(({ key, modRevision }) => [key, modRevision]))).toEqual(new Map([...acknowledged].sort(([a], [b]) => (a < b ? -1 : 1))));
    expect(seen.changes.map(({ revision }) => revision)).toEqual([...acknowledged.values()].toSorted((a, b) => a - b));
    seen.stop();
    await store.close();
  });

  test("a process that is killed while it writes has left behind everything it was told is durable", async () => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "etcd/testing-writer.ts"), etcd.endpoint, "/killed"], { stdout: "pipe", stderr: "inherit" });
    let output = "";
    for await (const chunk of child.stdout) {
      output += Buffer.from(chunk).toString();
      if (output.length > 2000) child.kill("SIGKILL");
    }
    const told = output.split("\n").slice(0, -1);
    const store = await open({}, "/killed");
    const kept = new Set((await store.list("")).entries.map(({ key, modRevision }) => `${key} ${modRevision}`));
    expect(told.length).toBeGreaterThan(50);
    expect(told.filter((line) => !kept.has(line))).toEqual([]);
    await store.close();
  });
});

test.skipIf(!hasEtcd)("an etcd that demands certificates is spoken to with one, and refuses those without", async () => {
  const authority = await createAuthority("etcd-ca", DAY_MS);
  const [server, client] = await Promise.all([
    issue(authority, { commonName: "etcd", ipAddresses: ["127.0.0.1"], usages: ["server auth", "client auth"], lifetimeMs: DAY_MS }),
    issue(authority, { commonName: "control", usages: ["client auth"], lifetimeMs: DAY_MS }),
  ]);
  const etcd = new TestEtcd({ ...server, clientCaPem: authority.certPem });
  etcd.start();
  try {
    const store = await openEtcdStore([etcd.endpoint], { tls: { caPem: authority.certPem, ...client }, connectTimeoutMs: PATIENCE_MS });
    const revision = await store.write({ key: "/a", value: Buffer.from("1") });
    expect((await store.get("/a"))?.modRevision).toBe(revision);
    await store.close();
    const [endpoint, elsewhere] = [etcd.endpoint, etcd.endpoint.replace("127.0.0.1", "localhost")];
    const refused = [
      { endpoint, tls: { caPem: authority.certPem } },
      { endpoint, tls: undefined },
      // Not a name in the server's certificate.
      { endpoint: elsewhere, tls: { caPem: authority.certPem, ...client } },
      { endpoint, tls: { caPem: (await createAuthority("another", DAY_MS)).certPem, ...client } },
    ];
    for (const { endpoint: host, tls } of refused) {
      expect(await openEtcdStore([host], { tls, connectTimeoutMs: 200 }).catch((error: unknown) => error)).toBeInstanceOf(EtcdUnavailable);
    }
  } finally {
    await etcd.remove();
  }
});

test.skipIf(!hasEtcd)("of several members the one that answers is used", async () => {
  const etcd = new TestEtcd();
  etcd.start();
  try {
    const store = await openEtcdStore([`127.0.0.1:${freePort()}`, etcd.endpoint], { connectTimeoutMs: PATIENCE_MS });
    expect(await store.write({ key: "/a", value: Buffer.from("1") })).toBe(store.revision);
    await store.close();
  } finally {
    await etcd.remove();
  }
});

test("when nobody answers, opening says who was asked and why it failed", async () => {
  const port = freePort();
  const failure = await openEtcdStore([`127.0.0.1:${port}`], { connectTimeoutMs: 100 }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(EtcdUnavailable);
  expect((failure as Error).message).toContain(`127.0.0.1:${port}`);
});

function watchAll(store: Store): { changes: Change[]; stop: () => void } {
  const controller = new AbortController();
  const changes: Change[] = [];
  store.watch({ prefix: "", after: store.revision, signal: controller.signal, onChanges: (batch) => changes.push(...batch) });
  return { changes, stop: () => controller.abort() };
}
