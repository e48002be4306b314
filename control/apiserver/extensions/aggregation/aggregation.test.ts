import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { connect } from "node:tls";
import type { IncomingHttpHeaders } from "node:http";
import { KindRegistry } from "../../../../api/registry.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { becomes, eventually, TEST_TIMEOUT_MS } from "../../../../lib/testing.ts";
import { createStrategies } from "../../kinds/index.ts";
import type { Strategies } from "../../kinds/strategy.ts";
import { call, makeCertificate, startTestServer, type TestServer } from "../../testing.ts";
import { Aggregator } from "./aggregator.ts";

const SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices";
let server: TestServer;
let remote: Server;
let aggregator: Aggregator;
/** What came with the last request for an object: the aggregator asks for documents by itself. */
let seen: IncomingHttpHeaders = {};

beforeAll(async () => {
  const certificate = await makeCertificate("remote");
  remote = createServer({ ...certificate, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    if (request.url?.includes("/flunders")) seen = request.headers;
    if (request.url?.startsWith("/apis/wardle.example.com/v1alpha1?") || request.url === "/apis/wardle.example.com/v1alpha1") return void response.end(JSON.stringify({ kind: "APIResourceList", groupVersion: "wardle.example.com/v1alpha1", resources: [{ name: "flunders", singularName: "flunder", namespaced: true, kind: "Flunder", verbs: ["get", "list"] }] }));
    response.setHeader("content-type", "application/json");
    if (request.url === "/openapi/v2") return void response.end(JSON.stringify({ swagger: "2.0", paths: { "/apis/wardle.example.com/v1alpha1/flunders": { get: { responses: { 200: { schema: { $ref: "#/definitions/flunder" } } } } }, "/apis/": { get: {} } }, definitions: { flunder: { type: "object" }, unused: {} } }));
    if (request.url === "/openapi/v3") return void response.end(JSON.stringify({ paths: { "apis/wardle.example.com/v1alpha1": { serverRelativeURL: "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=1" } } }));
    if (request.url?.startsWith("/openapi/v3/apis/")) return void response.end(JSON.stringify({ openapi: "3.0.0", components: { schemas: { flunder: {} } } }));
    if (request.url?.endsWith("/missing")) response.statusCode = 404;
    if (request.url?.endsWith("/missing")) return void response.end(JSON.stringify({ kind: "Status", message: "no such flunder", reason: "NotFound", code: 404 }));
    response.end(JSON.stringify({ kind: "Flunder", path: request.url, method: request.method }));
  });
  remote.on("upgrade", (request, socket) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\nhello ${request.headers["x-remote-user"]}`);
    socket.on("data", (chunk) => socket.end(chunk));
  });
  await new Promise<void>((resolve) => remote.listen(0, "127.0.0.1", resolve));
  const kinds = new KindRegistry();
  aggregator = new Aggregator({ kinds, frontProxy: () => certificate });
  server = await startTestServer({ kinds, extensions: [aggregator], strategies: anywhere(createStrategies({ serviceCidrs: ["10.96.0.0/16"] })), http: { aggregator } });
});

afterAll(async () => {
  remote.closeAllConnections();
  remote.close();
  await server.stop();
});

/** Endpoints on this machine would be refused. */
function anywhere(strategies: Strategies): Strategies {
  return { for: (kind) => (kind.kind === "EndpointSlice" ? { group: kind.group, kind: kind.kind } : strategies.for(kind)) };
}

async function until<T>(read: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  const { value } = await eventually("what is aggregated", async () => {
    const found = await read();
    return holds(found) && { value: found };
  });
  return value;
}

/** Asks for another protocol, says "ping" and reads to the end. */
function upgraded(path: string): Promise<{ head: string; rest: string }> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] }, () => socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.endsWith("hello admin")) socket.write("ping");
    });
    socket.on("error", reject);
    socket.on("close", () => resolve({ head: text.split("\r\n")[0] as string, rest: text.slice(text.indexOf("\r\n\r\n") + 4) }));
  });
}

const conditionOf = ({ body }: { body: AnyObject }): AnyObject | undefined => body["status"]?.conditions?.[0];

test("what is served here has an APIService that is available", async () => {
  const found = await until(() => call(server, "GET", `${SERVICES}/v1.apps`), ({ status }) => status === 200);
  expect(found.body["spec"]).toMatchObject({ group: "apps", version: "v1", groupPriorityMinimum: 17_800 });
  expect(conditionOf(found)).toMatchObject({ type: "Available", status: "True", reason: "Local" });
});

test("a group-version behind a Service is checked, discovered, and proxied as its caller", async () => {
  const { port } = remote.address() as AddressInfo;
  const spec = { group: "wardle.example.com", version: "v1alpha1", service: { namespace: "default", name: "api" }, insecureSkipTLSVerify: true, groupPriorityMinimum: 2000, versionPriority: 200 };
  const made = await call(server, "POST", SERVICES, { body: { apiVersion: "apiregistration.k8s.io/v1", kind: "APIService", metadata: { name: "v1alpha1.wardle.example.com" }, spec } });
  expect(made.status).toBe(201);
  const path = `${SERVICES}/v1alpha1.wardle.example.com`;
  const missing = await until(() => call(server, "GET", path), (found) => conditionOf(found) !== undefined);
  expect(conditionOf(missing)).toMatchObject({ status: "False", reason: "ServiceNotFound", message: 'service/api in "default" is not present' });
  expect((await call(server, "GET", "/apis/wardle.example.com/v1alpha1/flunders")).status).toBe(503);

  await call(server, "POST", "/api/v1/namespaces/default/services", { body: { apiVersion: "v1", kind: "Service", metadata: { name: "api" }, spec: { ports: [{ port: 443, targetPort: port }] } } });
  await call(server, "POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", { body: { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", metadata: { name: "api-1", labels: { "kubernetes.io/service-name": "api" } }, addressType: "IPv4", endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }], ports: [{ name: "", port, protocol: "TCP" }] } });
  const ready = await until(() => call(server, "GET", path), (found) => conditionOf(found)?.["status"] === "True");
  expect(conditionOf(ready)).toMatchObject({ reason: "Passed", message: "all checks passed" });

  const answer = await call(server, "GET", "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders/x?a=b", { headers: { "x-remote-user": "mallory" } });
  expect(answer.body).toMatchObject({ kind: "Flunder", path: "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders/x?a=b" });
  expect([seen["x-remote-user"], seen["x-remote-group"], seen.authorization]).toEqual(["admin", "system:masters, system:authenticated", undefined]);

  expect([answer.headers.get("audit-id"), seen["audit-id"]]).toEqual([seen["audit-id"] as string, expect.stringMatching(/^[0-9a-f-]{36}$/)]);

  const account = { name: "system:serviceaccount:kube-system:reader", groups: ["system:authenticated"] };
  expect(aggregator.availableVersion("wardle.example.com", ["v1", "v1alpha1"])).toBe("v1alpha1");
  expect(await aggregator.read("/apis/wardle.example.com/v1alpha1/namespaces/default/flunders/y?c=d", account)).toMatchObject({ path: "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders/y?c=d" });
  expect(seen["x-remote-user"]).toBe(account.name);
  expect(await aggregator.read("/apis/wardle.example.com/v1alpha1/flunders/missing", account).catch((error: Error) => error.message)).toBe("no such flunder");

  const groups = await call(server, "GET", "/apis");
  expect(groups.body["groups"].map(({ name }: AnyObject) => name)).toContain("wardle.example.com");
  const aggregated = await call(server, "GET", "/apis", { headers: { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" } });
  const group = aggregated.body["items"].find(({ metadata }: AnyObject) => metadata.name === "wardle.example.com");
  expect(group.versions[0].resources[0]).toMatchObject({ resource: "flunders", responseKind: { kind: "Flunder" }, scope: "Namespaced" });

  const index = await until(() => call(server, "GET", "/openapi/v3"), ({ body }) => body["paths"]["apis/wardle.example.com/v1alpha1"] !== undefined);
  expect(index.body["paths"]["apis/apps/v1"]).toBeDefined();
  expect((await call(server, "GET", "/openapi/v3/apis/wardle.example.com/v1alpha1")).body["components"]).toEqual({ schemas: { flunder: {} } });
  const whole = await call(server, "GET", "/openapi/v2");
  expect(whole.body["paths"]["/apis/wardle.example.com/v1alpha1/flunders"]).toEqual({ get: { responses: { 200: { schema: { $ref: "#/definitions/flunder" } } } } });
  expect(whole.body["definitions"]).toMatchObject({ flunder: { type: "object" }, "io.k8s.api.apps.v1.Deployment": {} });
  // A server too busy to answer its check in time is unavailable until the next one.
  await becomes({ head: "HTTP/1.1 101 Switching Protocols", rest: "hello adminping" }, () => upgraded("/apis/wardle.example.com/v1alpha1/namespaces/default/flunders/x/exec"));

  await call(server, "DELETE", path);
  await until(() => call(server, "GET", "/apis"), ({ body }) => !body["groups"].some(({ name }: AnyObject) => name === "wardle.example.com"));
  expect((await call(server, "GET", "/openapi/v2")).body["definitions"]["flunder"]).toBeUndefined();
}, TEST_TIMEOUT_MS);
