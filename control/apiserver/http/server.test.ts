import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { X509Certificate } from "node:crypto";
import { builtinKind } from "../../../api/registry.ts";
import type { ConfigMap } from "../../../api/types.ts";
import { TEST_TIMEOUT_MS } from "../../../lib/testing.ts";
import type { AccessRequest, Authenticator, Authorizer } from "../auth/auth.ts";
import type { UserInfo } from "../request.ts";
import { ADMIN, call, makeCertificate, selfSigned, startTestServer, type TestServer } from "../testing.ts";

const CONFIG_MAP = builtinKind("", "v1", "ConfigMap");
const MAPS = "/api/v1/namespaces/default/configmaps";

/** Knows tokens `user:<name>`, and whoever shows a certificate by its common name. */
const names: Authenticator = {
  authenticate: ({ bearerToken, peerCertificate }) => {
    if (bearerToken === "admin") return ADMIN;
    if (bearerToken?.startsWith("user:")) return { name: bearerToken.slice(5), groups: [] };
    if (peerCertificate) return { name: new X509Certificate(peerCertificate).subject, groups: [] };
    return undefined;
  },
};
const asked: AccessRequest[] = [];
let allow: (request: AccessRequest) => boolean = () => false;
const authorizer: Authorizer = {
  authorize: (request) => {
    asked.push(request);
    return { allowed: request.user.groups.includes("system:masters") || allow(request) };
  },
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ http: { authenticators: [names], authorizer } });
  await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "a", namespace: "default" } });
});
afterAll(() => server.stop());

const as = (token: string, extra: Record<string, string> = {}): { headers: Record<string, string> } => ({ headers: { authorization: `Bearer ${token}`, ...extra } });

describe("who asks", () => {
  test("a token nobody knows is 401; no credentials at all is the anonymous user", async () => {
    expect((await call(server, "GET", MAPS, as("nonsense"))).body).toMatchObject({ kind: "Status", code: 401, reason: "Unauthorized", message: "Unauthorized" });
    expect((await call(server, "GET", MAPS, { headers: { authorization: "" } })).body["message"]).toBe('configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "default"');
  });

  test("a client certificate is handed to whoever judges it, over HTTP/1.1 and HTTP/2", async () => {
    const { cert, key } = await selfSigned();
    allow = ({ user }) => user.name === "CN=test";
    const overHttp1 = await new Promise<number>((resolve, reject) => httpsRequest(`${server.url}${MAPS}`, { cert, key, rejectUnauthorized: false }, (reply) => resolve(reply.resume().statusCode ?? 0)).on("error", reject).end());
    const session = connectHttp2(server.url, { cert, key, rejectUnauthorized: false });
    const overHttp2 = await new Promise<number>((resolve, reject) => session.request({ ":path": MAPS }).on("response", (headers) => resolve(Number(headers[":status"]))).on("error", reject).end());
    session.destroy();
    expect([overHttp1, overHttp2]).toEqual([200, 200]);
    allow = () => false;
  });

  test("every reply has the id its request goes by, the client's own where it gave one", async () => {
    const own = await call(server, "GET", MAPS, as("admin", { "audit-id": "mine" }));
    const made = [await call(server, "GET", MAPS, as("admin")), await call(server, "GET", "/nope", as("nonsense"))].map(({ headers }) => headers.get("audit-id"));
    expect(own.headers.get("audit-id")).toBe("mine");
    expect(made).toEqual([expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    expect(made[0]).not.toBe(made[1] as string);
  });

  test("everyone known is in system:authenticated", async () => {
    asked.length = 0;
    await call(server, "GET", MAPS, as("user:bob"));
    expect(asked[0]?.user).toEqual({ name: "bob", groups: ["system:authenticated"] });
  });
});

describe("may they", () => {
  test.each([
    ["GET", `${MAPS}/a`, { verb: "get", resource: "configmaps", namespace: "default", name: "a", group: "", subresource: "" }],
    ["GET", "/api/v1/configmaps", { verb: "list", namespace: "", name: "" }],
    ["GET", `${MAPS}?watch=1`, { verb: "watch", namespace: "default" }],
    ["GET", `${MAPS}?fieldSelector=metadata.name%3Da`, { verb: "list", name: "a" }],
    ["POST", MAPS, { verb: "create", name: "" }],
    ["PUT", `${MAPS}/a`, { verb: "update", name: "a" }],
    ["PATCH", `${MAPS}/a`, { verb: "patch" }],
    ["DELETE", `${MAPS}/a`, { verb: "delete" }],
    ["DELETE", MAPS, { verb: "deletecollection", name: "" }],
    ["GET", "/apis/apps/v1/namespaces/default/deployments/d/status", { verb: "get", group: "apps", resource: "deployments", subresource: "status" }],
    ["POST", "/api/v1/namespaces/default/pods/p/exec", { verb: "create", resource: "pods", subresource: "exec" }],
    ["GET", "/api/v1/namespaces/n", { verb: "get", resource: "namespaces", name: "n", namespace: "n" }],
    ["PUT", "/api/v1/namespaces/n/finalize", { verb: "update", resource: "namespaces", name: "n", subresource: "finalize" }],
    ["GET", "/readyz", { verb: "get", path: "/readyz" }],
  ])("%s %s asks for %p", async (method, path, expected) => {
    asked.length = 0;
    expect((await call(server, method, path, as("user:bob"))).status).toBe(403);
    expect(asked[0]).toMatchObject(expected);
  });

  test("refusals are worded as upstream words them", async () => {
    expect((await call(server, "GET", "/apis/apps/v1/deployments", as("user:bob"))).body).toMatchObject({ code: 403, reason: "Forbidden", message: 'deployments.apps is forbidden: User "bob" cannot list resource "deployments" in API group "apps" at the cluster scope', details: { group: "apps", kind: "deployments" } });
    expect((await call(server, "GET", `${MAPS}/a`, as("user:bob"))).body["message"]).toBe('configmaps "a" is forbidden: User "bob" cannot get resource "configmaps" in API group "" in the namespace "default"');
    expect((await call(server, "GET", "/metrics", as("user:bob"))).body["message"]).toBe('forbidden: User "bob" cannot get path "/metrics"');
  });

  test("applying what does not exist takes the right to create it", async () => {
    const apply = (): ReturnType<typeof call> => call(server, "PATCH", `${MAPS}/new?fieldManager=m`, { body: '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"new"}}', headers: { authorization: "Bearer user:bob", "content-type": "application/apply-patch+yaml" } });
    allow = ({ verb }) => verb === "patch";
    expect((await apply()).body["message"]).toBe('configmaps "new" is forbidden: User "bob" cannot create resource "configmaps" in API group "" in the namespace "default"');
    allow = ({ verb }) => verb === "patch" || verb === "create";
    expect([(await apply()).status, (await apply()).status]).toEqual([201, 200]);
    allow = () => false;
  });

  test("what does not exist is forbidden to those who may not know", async () => {
    expect((await call(server, "GET", "/apis/secret.io/v1/things", as("user:bob"))).status).toBe(403);
  });
});

describe("acting as somebody else", () => {
  test("needs the right to, for the user and each group, and then counts as them", async () => {
    const attempt = (): ReturnType<typeof call> => call(server, "GET", MAPS, as("user:bob", { "impersonate-user": "alice", "impersonate-group": "dev" }));
    expect((await attempt()).body["message"]).toBe('configmaps is forbidden: User "bob" cannot impersonate-on:user-info:list resource "configmaps" in API group "" in the namespace "default"');
    allow = ({ verb, user }) => verb === "impersonate" || (user.name === "alice" && user.groups.includes("dev"));
    asked.length = 0;
    expect((await attempt()).status).toBe(200);
    expect(asked.map(({ verb, user }) => [verb, user.name])).toEqual([["impersonate-on:user-info:list", "bob"], ["impersonate", "bob"], ["impersonate", "bob"], ["list", "alice"]]);
    allow = () => false;
  });

  test("a service account belongs to its groups", async () => {
    asked.length = 0;
    await call(server, "GET", MAPS, as("admin", { "impersonate-user": "system:serviceaccount:ns:sa" }));
    expect(asked.at(-1)?.user as UserInfo).toMatchObject({ name: "system:serviceaccount:ns:sa", groups: ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"] });
  });
});

describe("the transport", () => {
  test("many requests share one HTTP/2 connection, large replies among them", async () => {
    await server.client.create<ConfigMap>(CONFIG_MAP, { metadata: { name: "big", namespace: "big" }, data: { v: "x".repeat(2_500_000) } });
    const session = connectHttp2(server.url, { rejectUnauthorized: false });
    const read = (path: string): Promise<number> => new Promise((resolve, reject) => {
      let size = 0;
      const stream = session.request({ ":path": path, authorization: "Bearer admin" });
      stream.on("data", (chunk: Buffer) => (size += chunk.length)).on("end", () => resolve(size)).on("error", reject);
    });
    const sizes = await Promise.all(Array.from({ length: 40 }, (_, index) => read(index % 2 === 0 ? "/api/v1/namespaces/big/configmaps/big" : `${MAPS}/a`)));
    expect(sizes.filter((size) => size > 2_500_000)).toHaveLength(20);
    expect(sizes.filter((size) => size > 100 && size < 1000)).toHaveLength(20);
    session.destroy();
  }, TEST_TIMEOUT_MS);

  test("HEAD has the headers of GET and no body", async () => {
    const reply = await call(server, "HEAD", `${MAPS}/a`);
    expect([reply.status, reply.text]).toEqual([200, ""]);
    expect(Number(reply.headers.get("content-length"))).toBeGreaterThan(100);
  });

  test("methods a resource does not have are 405", async () => {
    expect((await call(server, "POST", `${MAPS}/a`, { body: {} })).status).toBe(405);
    expect((await call(server, "DELETE", "/api/v1/namespaces")).body).toMatchObject({ code: 405, reason: "MethodNotAllowed", message: "the server does not allow this method on the requested resource" });
    expect((await call(server, "GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")).status).toBe(405);
  });

  test("a port that is taken is said, not hidden", async () => {
    const error = await startTestServer({ http: { port: server.server.port } }).catch((e: unknown) => e);
    expect((error as { code?: string }).code).toBe("EADDRINUSE");
  });

  test("another certificate is used from the next connection on, while old connections go on", async () => {
    const own = await startTestServer({ http: true });
    const old = connectHttp2(own.url, { rejectUnauthorized: false });
    await new Promise((resolve) => old.once("connect", resolve));
    
    const fresh = await makeCertificate("renewed");
    own.server.replaceCertificate(fresh);
    const subject = await new Promise<string>((resolve, reject) => {
      const session = connectHttp2(own.url, { rejectUnauthorized: false });
      session.on("error", reject);
      session.once("connect", (_session, socket) => {
        resolve(String((socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }).getPeerCertificate().subject.CN));
        session.destroy();
      });
    });
    expect(subject).toBe("renewed");
    const status = await new Promise<number>((resolve, reject) => old.request({ ":path": "/readyz", authorization: "Bearer admin" }).on("response", (headers) => resolve(Number(headers[":status"]))).on("error", reject).end());
    expect(status).toBe(200);
    old.destroy();
    await own.stop();
  });

  test("stopping lets requests under way finish", async () => {
    const begun = Promise.withResolvers<void>();
    const admit = async (): Promise<void> => {
      begun.resolve();
      await Bun.sleep(150);
    };
    const own = await startTestServer({ http: true, admission: [{ name: "Slow", handles: () => true, admit }] });
    const writing = call(own, "POST", MAPS, { body: { metadata: { name: "slow" } } });
    await begun.promise;
    await own.stop();
    expect((await writing).status).toBe(201);
  });
});
