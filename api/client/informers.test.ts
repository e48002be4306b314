import { afterEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { eventually } from "../../lib/testing.ts";
import { ApiError, badRequest } from "../errors.ts";
import { builtinKind } from "../registry.ts";
import type { ConfigMap, Stored } from "../types.ts";
import type { ObjectName } from "./client.ts";
import { createInformers } from "./informers.ts";
import type { Informer } from "./informer.ts";
import { MemoryClient, type Call } from "./testing.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const stop: AbortController[] = [];
/** Back-off passes at once. */
const hasty = { ...systemClock, sleep: (_ms: number, signal?: AbortSignal) => systemClock.sleep(1, signal) };

afterEach(() => stop.splice(0).forEach((controller) => controller.abort()));

const aConfigMap = (name: string, value = "1"): ConfigMap => ({ metadata: { name, namespace: "default" }, data: { value } });
const name = (name: string): ObjectName => ({ namespace: "default", name });
const heard = (informer: Informer<ConfigMap>): string[] => {
  const log: string[] = [];
  informer.addHandler({
    add: (object) => log.push(`add ${object.metadata.name}=${object.data?.["value"]}`),
    update: (object, old) => log.push(`update ${object.metadata.name}=${old.data?.["value"]}>${object.data?.["value"]}`),
    delete: (object) => log.push(`delete ${object.metadata.name}`),
  });
  return log;
};
async function started(client: MemoryClient): Promise<Informer<ConfigMap>> {
  const informers = createInformers(client, hasty);
  const informer = informers.for<ConfigMap>(CONFIG_MAP);
  const controller = new AbortController();
  stop.push(controller);
  informers.start(controller.signal);
  await informers.waitForSync();
  return informer;
}
const until = (condition: () => boolean): Promise<unknown> => eventually("what the informer is told", condition, 2);

describe("informers", () => {
  test("hold what is there, then follow every change in order", async () => {
    const client = new MemoryClient();
    const a = await client.create(CONFIG_MAP, aConfigMap("a"));
    const informer = await started(client);
    const log = heard(informer);
    expect(log).toEqual(["add a=1"]);
    await client.update<ConfigMap>(CONFIG_MAP, { ...a, data: { value: "2" } });
    await client.create(CONFIG_MAP, aConfigMap("b"));
    await client.delete(CONFIG_MAP, { namespace: "default", name: "a" });
    await until(() => log.length === 4);
    expect(log).toEqual(["add a=1", "update a=1>2", "add b=1", "delete a"]);
    expect(informer.lister.list().map((o) => o.metadata.name)).toEqual(["b"]);
  });

  test("the same kind and scope is watched once", () => {
    const informers = createInformers(new MemoryClient());
    expect(informers.for(CONFIG_MAP)).toBe(informers.for(CONFIG_MAP));
    expect(informers.for(CONFIG_MAP, { namespace: "x" })).not.toBe(informers.for(CONFIG_MAP));
  });

  test("after missed events a fresh list becomes deletes, updates and adds", async () => {
    const client = new MemoryClient();
    await client.create(CONFIG_MAP, aConfigMap("stays"));
    await client.create(CONFIG_MAP, aConfigMap("changes"));
    await client.create(CONFIG_MAP, aConfigMap("goes"));
    await client.create(CONFIG_MAP, aConfigMap("replaced"));
    let isOutage = false;
    const streams = new Set<AbortController>();
    const watch = client.watch.bind(client);
    client.watch = ((kind, options) => {
      const outage = new AbortController();
      streams.add(outage);
      return watch(kind, { ...options, signal: AbortSignal.any([options.signal, outage.signal]) });
    }) as typeof client.watch;
    client.intercept = (call: Call) => {
      if (isOutage && call.verb === "watch") throw new Error("connection refused");
    };
    const log = heard(await started(client));
    isOutage = true;
    for (const stream of streams) stream.abort();
    log.length = 0;
    await client.patch(CONFIG_MAP, name("changes"), { data: { value: "2" } }, { type: "merge" });
    await client.delete(CONFIG_MAP, name("goes"));
    await client.delete(CONFIG_MAP, name("replaced"));
    await client.create(CONFIG_MAP, aConfigMap("replaced", "other"));
    await client.create(CONFIG_MAP, aConfigMap("new"));
    client.compact();
    isOutage = false;
    await until(() => log.length === 5);
    expect(log.toSorted()).toEqual(["add new=1", "add replaced=other", "delete goes", "delete replaced", "update changes=1>2"]);
  });

  test("a server that cannot stream lists is listed", async () => {
    const client = new MemoryClient();
    await client.create(CONFIG_MAP, aConfigMap("a"));
    const watch = client.watch.bind(client);
    client.watch = ((kind, options) => {
      if (options.sendInitialEvents) throw badRequest("sendInitialEvents is forbidden");
      return watch(kind, options);
    }) as typeof client.watch;
    const informer = await started(client);
    const log = heard(informer);
    await client.create(CONFIG_MAP, aConfigMap("b"));
    await until(() => log.length === 2);
    expect(log).toEqual(["add a=1", "add b=1"]);
  });

  test("a handler that throws keeps nobody from hearing", async () => {
    const client = new MemoryClient();
    const informer = await started(client);
    informer.addHandler({ add: () => { throw new ApiError(500, "", "boom"); } });
    const log = heard(informer);
    await client.create(CONFIG_MAP, aConfigMap("a"));
    await client.create(CONFIG_MAP, aConfigMap("b"));
    await until(() => log.length === 2);
  });

  test("indexes follow the objects", async () => {
    const client = new MemoryClient();
    const informer = await started(client);
    informer.addIndex("value", (object: Stored<ConfigMap>) => [object.data?.["value"] ?? ""]);
    const log = heard(informer);
    await client.create(CONFIG_MAP, aConfigMap("a", "x"));
    await client.create(CONFIG_MAP, aConfigMap("b", "x"));
    await client.patch(CONFIG_MAP, { namespace: "default", name: "a" }, { data: { value: "y" } }, { type: "merge" });
    await until(() => log.length === 3);
    const names = (value: string) => informer.lister.byIndex("value", value).map((o) => o.metadata.name);
    expect(names("x")).toEqual(["b"]);
    expect(names("y")).toEqual(["a"]);
    expect(() => informer.lister.byIndex("none", "")).toThrow("no index named none");
  });
});
