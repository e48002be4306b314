import { expect, test } from "bun:test";
import { builtinKind } from "../../../api/registry.ts";
import type { ConfigMap } from "../../../api/types.ts";
import type { ResourceTarget } from "../http/target.ts";
import { startTestServer } from "../testing.ts";
import { seatsOf } from "./seats.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");

test("lists cost by what they send, everything else costs one seat", async () => {
  const { client, server, stop } = await startTestServer();
  const make = (namespace: string, count: number, bytes: number): Promise<unknown> => Promise.all(Array.from({ length: count }, (_, index) => client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: `m-${index}`, namespace }, data: { text: "x".repeat(bytes) } })));
  await make("light", 200, 10);
  await make("heavy", 50, 10_000);
  const seats = (verb: string, namespace: string, query = "", more: Partial<ResourceTarget> = {}): number => seatsOf(server.engine, { type: "resource", verb, group: "", version: "v1", plural: "configmaps", namespace, name: "", subresource: "", rest: "", ...more }, new URLSearchParams(query));
  expect([seats("list", "light"), seats("list", "heavy"), seats("list", ""), seats("list", "none")]).toEqual([1, 6, 7, 1]);
  expect([seats("list", "heavy", "limit=10"), seats("list", "heavy", "", { name: "m-1" }), seats("get", "heavy", "", { name: "m-1" }), seats("create", "heavy")]).toEqual([2, 1, 1, 1]);
  expect([seats("watch", "heavy"), seats("watch", "heavy", "resourceVersion=0"), seats("watch", "heavy", "resourceVersion=17"), seats("watch", "heavy", "resourceVersion=17&sendInitialEvents=true")]).toEqual([6, 6, 1, 6]);
  await make("heavy2", 100, 100_000);
  expect([seats("list", ""), seats("list", "heavy2"), seats("list", "x", "", { plural: "nothings" })]).toEqual([10, 10, 1]);
  await stop();
});
