import { afterEach, test } from "bun:test";
import type { Node } from "../../../api/types.ts";
import { becomes, consistently, TestCluster } from "../cluster.suite.ts";
import { NODE } from "../kinds.ts";
import { ttlController } from "./ttl.ts";

const cluster = new TestCluster();
afterEach(() => cluster.stop());

test("nodes may keep what they read the longer the more of them there are, and are told when they next change", async () => {
  await cluster.start(ttlController);
  const add = (index: number): Promise<unknown> => cluster.create<Node>(NODE, { metadata: { name: `n${index}` } });
  const ttl = async (index: number): Promise<string | undefined> => (await cluster.get<Node>(NODE, `n${index}`)).metadata.annotations?.["node.alpha.kubernetes.io/ttl"];
  for (let index = 0; index < 100; index++) await add(index);
  await becomes(() => ttl(99), "0");
  await add(100);
  await becomes(() => ttl(100), "15");
  await consistently(async () => (await ttl(0)) === "0");
  await cluster.change<Node>(NODE, "n0", (node) => { node.metadata.labels = { a: "b" }; });
  await becomes(() => ttl(0), "15");
});
