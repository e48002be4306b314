import { afterAll, beforeAll, expect, test } from "bun:test";
import type { AdmissionPlugin } from "./admission/plugin.ts";
import { call, startTestServer, type TestServer } from "./testing.ts";

/** Stands in for admission that fills things in. */
const stamp: AdmissionPlugin = {
  name: "Stamp",
  handles: ({ operation, kind }) => operation === "CREATE" && kind.kind === "ConfigMap",
  admit: ({ object }) => void (object && (object.metadata.labels = { ...object.metadata.labels, stamped: "yes" })),
};
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ http: true, admission: [stamp] });
});
afterAll(() => server.stop());

const maps = "/api/v1/namespaces/default/configmaps";
const deployments = "/apis/apps/v1/namespaces/default/deployments";
const aDeployment = (name: string, spec: Record<string, unknown> = {}): any => ({
  apiVersion: "apps/v1", kind: "Deployment", metadata: { name },
  spec: { selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "c", image: "i" }] } }, ...spec },
});
const apply = (path: string, body: any, manager: string): ReturnType<typeof call> => call(server, "PATCH", `${path}?fieldManager=${manager}`, { body, headers: { "content-type": "application/apply-patch+yaml" } });
const managersOf = (object: any): string[] => (object.metadata.managedFields ?? []).map((entry: any) => `${entry.manager} ${entry.operation}`);

test("applying creates an object owned by the applier alone, for what it named alone", async () => {
  const { status, body } = await apply(`${deployments}/one`, aDeployment("one"), "me");
  expect(status).toBe(201);
  expect(managersOf(body)).toEqual(["me Apply"]);
  expect(JSON.stringify(body.metadata.managedFields)).not.toContain("f:resources");
});

test("applying the same again writes nothing", async () => {
  const first = await apply(`${deployments}/two`, aDeployment("two"), "me");
  const second = await apply(`${deployments}/two`, aDeployment("two"), "me");
  expect(second.status).toBe(200);
  expect(second.body.metadata).toEqual(first.body.metadata);
});

test("what admission adds belongs to nobody", async () => {
  const { body } = await call(server, "POST", `${maps}?fieldManager=maker`, { body: { metadata: { name: "a", labels: { mine: "1" } }, data: { k: "v" } } });
  expect(body.metadata.labels).toEqual({ mine: "1", stamped: "yes" });
  expect((body.metadata.managedFields as any)[0].fieldsV1["f:metadata"]["f:labels"]).toEqual({ ".": {}, "f:mine": {} });
});

test("a patch that leaves a wrong type is 422 and quotes what was wrong", async () => {
  await apply(`${deployments}/three`, aDeployment("three"), "me");
  const { status, body } = await call(server, "PATCH", `${deployments}/three`, { body: { spec: { replicas: "x" } }, headers: { "content-type": "application/strategic-merge-patch+json" } });
  expect(status).toBe(422);
  expect(body["message"]).toBe(' "" is invalid: patch: Invalid value: "map[spec:map[replicas:x]]": cannot convert string to int32');
});

test("OpenAPI is served as JSON, as protobuf to those who ask, and not again to those who have it", async () => {
  const json = await call(server, "GET", "/openapi/v2");
  expect(json.body["swagger"]).toBe("2.0");
  const protobuf = await call(server, "GET", "/openapi/v2", { headers: { accept: "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" } });
  expect(protobuf.headers.get("content-type")).toBe("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
  const again = await call(server, "GET", "/openapi/v2", { headers: { "if-none-match": json.headers.get("etag") ?? "" } });
  expect(again.status).toBe(304);
  const { body: index } = await call(server, "GET", "/openapi/v3");
  const { body: apps } = await call(server, "GET", index["paths"]["apis/apps/v1"].serverRelativeURL as string);
  const url = index["paths"]["apis/apps/v1"].serverRelativeURL as string;
  expect((await call(server, "GET", url)).headers.get("cache-control")).toBe("public, immutable");
  const moved = await fetch(`${server.url}${url.slice(0, -3)}xyz`, { redirect: "manual", headers: { authorization: "Bearer admin" }, tls: { rejectUnauthorized: false } } as RequestInit);
  expect([moved.status, moved.headers.get("location")]).toEqual([301, url]);
  expect(apps["openapi"]).toBe("3.0.0");
});

test("a configuration that spells a key twice is refused when strict, and warned of otherwise", async () => {
  const twice = "\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: twice\ndata:\n  a: \"1\"\n  a: \"2\"\n";
  const send = (mode: string): ReturnType<typeof call> => call(server, "PATCH", `${maps}/twice?fieldManager=me&fieldValidation=${mode}`, { body: twice, headers: { "content-type": "application/apply-patch+yaml" } });
  const refused = await send("Strict");
  expect(refused.status).toBe(400);
  expect(refused.body["message"]).toBe('error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 8: key "a" already set in map');
  const warned = await send("Warn");
  expect(warned.status).toBe(201);
  expect(warned.headers.get("warning")).toContain("already set in map");
  expect(warned.body["data"]).toEqual({ a: "2" });
});
