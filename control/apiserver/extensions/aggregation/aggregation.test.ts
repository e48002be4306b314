import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { IncomingHttpHeaders } from "node:http";
import { KindRegistry } from "../../../../api/registry.ts";
import type { AnyObject } from "../../../../api/types.ts";
import { createStrategies } from "../../kinds/index.ts";
import type { Strategies } from "../../kinds/strategy.ts";
import { call, makeCertificate, startTestServer, type TestServer } from "../../testing.ts";
import { Aggregator } from "./aggregator.ts";

const SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices";
let server: TestServer;
let remote: Server;
let aggregator: Aggregator;
let seen: IncomingHttpHeaders = {};

beforeAll(async () => {
  const certificate = await makeCertificate("remote");
  remote = createServer({ ...certificate, requestCert: true, rejectUnauthorized: false }, (request, response) => {
    seen = request.headers;
    if (request.url?.startsWith("/apis/wardle.example.com/v1alpha1?") || request.url === "/apis/wardle.example.com/v1alpha1") return void response.end(JSON.stringify({ kind: "APIResourceList", groupVersion: "wardle.example.com/v1alpha1", resources: [{ name: "flunders", singularName: "flunder", namespaced: true, kind: "Flunder", verbs: ["get", "list"] }] }));
    response.setHeader("content-type", "application/json");
    if (request.url?.endsWith("/missing")) response.statusCode = 404;
    if (request.url?.endsWith("/missing")) return void response.end(JSON.stringify({ kind: "Status", message: "no such flunder", reason: "NotFound", code: 404 }));
    response.end(JSON.stringify({ kind: "Flunder", path: request.url, method: request.method }));
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
  for (let attempt = 0; attempt < 800; attempt++) {
    const value = await read();
    if (holds(value)) return value;
    await Bun.sleep(10);
  }
  throw new Error("it never came true");
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

  await call(server, "DELETE", path);
  await until(() => call(server, "GET", "/apis"), ({ body }) => !body["groups"].some(({ name }: AnyObject) => name === "wardle.example.com"));
}, 20_000);
