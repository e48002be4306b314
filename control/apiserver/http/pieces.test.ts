import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { request as httpsRequest } from "node:https";
import { builtinKind } from "../../../api/registry.ts";
import type { AnyObject, ConfigMap } from "../../../api/types.ts";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import { call, startTestServer, type TestServer } from "../testing.ts";
import { replyInPieces } from "./pieces.ts";
import { readYaml } from "./yaml.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const COUNT = 600;
const LONG = "/api/v1/namespaces/long/configmaps";
const HEAVY = "/api/v1/namespaces/heavy/configmaps";
const parseYaml = (text: string): unknown => JSON.parse((readYaml(text) as { json: string }).json);
const accepting = (accept: string): { headers: Record<string, string> } => ({ headers: { accept } });

let server: TestServer;
let items: AnyObject[];
beforeAll(async () => {
  server = await startTestServer({ http: true });
  for (let index = 0; index < COUNT; index++) await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: `m-${index}`, namespace: "long", labels: { parity: index % 2 ? "odd" : "even" } }, data: { text: `line ${index}\nsecond "line" [] äö\n`, empty: "" } });
  for (let index = 0; index < 20; index++) await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: `m-${index}`, namespace: "heavy" }, data: { text: "x".repeat(1_000_000) } });
  items = (await call(server, "GET", LONG)).body["items"];
});
afterAll(() => server.stop());

describe("a long list", () => {
  test("is the same in every form as a short one would be", async () => {
    expect(items).toHaveLength(COUNT);
    const table = (await call(server, "GET", LONG, accepting("application/json;as=Table;g=meta.k8s.io;v=v1"))).body;
    expect(table["columnDefinitions"].length).toBeGreaterThan(0);
    expect(table["rows"].map((row: AnyObject) => row["object"].metadata)).toEqual(items.map(({ metadata }) => metadata));
    const partial = (await call(server, "GET", LONG, accepting("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"))).body;
    expect(partial.kind).toBe("PartialObjectMetadataList");
    expect(partial["items"]).toEqual(items.map(({ metadata }) => ({ kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata })));
    const whole = (await call(server, "GET", LONG)).body;
    const pretty = await call(server, "GET", `${LONG}?pretty=true`);
    expect(pretty.body).toEqual(whole);
    expect(pretty.text).toBe(`${JSON.stringify(pretty.body, null, 2)}\n`);
    expect(parseYaml((await call(server, "GET", LONG, accepting("application/yaml"))).text)).toEqual(whole);
    expect((await call(server, "GET", `${LONG}?labelSelector=parity%3Dodd`)).body["items"]).toEqual(items.filter(({ metadata }) => metadata.labels?.["parity"] === "odd"));
  }, TEST_TIMEOUT_MS);

  test("that is empty is a list in every form", async () => {
    const none = `${LONG}?labelSelector=parity%3Dnone`;
    const whole = (await call(server, "GET", none)).body;
    expect(whole["items"]).toEqual([]);
    expect((await call(server, "GET", `${none}&pretty=true`)).text).toBe(`${JSON.stringify(whole, null, 2)}\n`);
    expect(parseYaml((await call(server, "GET", none, accepting("application/yaml"))).text)).toEqual(whole);
    expect((await call(server, "GET", none, accepting("application/json;as=Table;g=meta.k8s.io;v=v1"))).body["rows"]).toEqual([]);
  });

  test("of many megabytes arrives whole, over HTTP/1.1, compressed or not, and HEAD has no body", async () => {
    const plain = await call(server, "GET", HEAVY, { headers: { "accept-encoding": "identity" } });
    expect(plain.body["items"]).toHaveLength(20);
    expect(plain.text.length).toBeGreaterThan(20_000_000);
    const compressed = await call(server, "GET", HEAVY, { headers: { "accept-encoding": "gzip" } });
    expect(compressed.headers.get("content-encoding")).toBe("gzip");
    expect(compressed.body).toEqual(plain.body);
    expect((await call(server, "HEAD", HEAVY)).text).toBe("");
  }, TEST_TIMEOUT_MS);

  test("whose reader leaves half-way bothers nobody", async () => {
    await new Promise<void>((resolve, reject) => {
      const asking = httpsRequest(`${server.url}${HEAVY}`, { rejectUnauthorized: false, headers: { authorization: "Bearer admin" } }, (reply) => {
        reply.once("data", () => asking.destroy());
        reply.on("error", () => undefined);
        reply.on("close", () => resolve());
      });
      asking.on("error", reject).end();
    });
    expect((await call(server, "GET", LONG)).body["items"]).toHaveLength(COUNT);
  });
});

test("a reply that fails half-way is broken off, not ended as if it were whole", async () => {
  const calls: string[] = [];
  const response = { headersSent: false, destroyed: false, writeHead: () => calls.push("head"), write: () => true, end: () => calls.push("end"), destroy: () => calls.push("destroy"), on: () => undefined };
  const pieces = function* (): Generator<string> {
    yield "[";
    throw new Error("no printer");
  };
  let failure: unknown;
  try {
    await replyInPieces({ request: { headers: {} }, response, warnings: [] } as never, pieces(), {});
  } catch (error) {
    failure = error;
  }
  expect((failure as Error).message).toBe("no printer");
  expect(calls).toEqual(["head", "destroy"]);
});
