import { generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createInformers } from "../../../api/client/informers.ts";
import type { Client } from "../../../api/client/client.ts";
import { builtinKind } from "../../../api/registry.ts";
import { createAuthority, DAY_MS, issue, type KeyPair } from "../../pki/certificates.ts";
import { systemClock } from "../../../lib/clock.ts";
import { becomes } from "../../../lib/testing.ts";
import { createStrategies } from "../kinds/index.ts";
import { startTestServer, type TestServer } from "../testing.ts";
import { createAuth } from "./create.ts";
import { ensureRbac } from "./policy/ensure.ts";

const RBAC = (kind: string) => builtinKind("rbac.authorization.k8s.io", "v1", kind);
const stop = new AbortController();
let server: TestServer;
let authority: KeyPair;

beforeAll(async () => {
  authority = await createAuthority("ca", 365 * DAY_MS);
  const made: { server?: TestServer } = {};
  const client = new Proxy({} as Client, { get: (_target, name) => Reflect.get((made.server as TestServer).client, name).bind(made.server?.client) });
  const informers = createInformers(client, systemClock);
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  const auth = createAuth({ informers, clock: systemClock, clientAuthorities: [authority.certPem], serviceAccountKeyPem: key, issuer: "https://test" });
  server = made.server = await startTestServer({ strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }), admission: auth.admission, postHandlers: auth.postHandlers, http: { authenticators: [auth.authenticator], authorizer: auth.authorizer } });
  informers.start(stop.signal);
  await ensureRbac(server.client);
  await informers.waitForSync();
  await server.client.create(builtinKind("", "v1", "Namespace"), { metadata: { name: "team" } });
  await server.client.create(builtinKind("", "v1", "ServiceAccount"), { metadata: { name: "robot", namespace: "team" } });
  const view = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "view" };
  await server.client.create(RBAC("RoleBinding"), { metadata: { name: "robots", namespace: "team" }, roleRef: view, subjects: [{ kind: "ServiceAccount", name: "robot", namespace: "team" }] } as never);
});

afterAll(async () => {
  stop.abort();
  await server.stop();
});

interface Reply { code: number; body: { message?: string; status?: { token?: string; userInfo?: { username?: string } }; items?: unknown[] } }

async function call(path: string, options: { method?: string; body?: object; headers?: Record<string, string>; as?: KeyPair } = {}): Promise<Reply> {
  const { method = "GET", body, headers = {}, as } = options;
  const reply = await fetch(server.url + path, {
    method, headers: { "content-type": "application/json", ...headers }, ...(body && { body: JSON.stringify(body) }),
    tls: { rejectUnauthorized: false, ...(as && { cert: as.certPem, key: as.keyPem }) },
  } as RequestInit);
  return { code: reply.status, body: (await reply.json().catch(() => ({}))) as Reply["body"] };
}

/** Asks until the watch that answers follow has caught up. */
async function eventually(ask: () => Promise<Reply>, code: number): Promise<number> {
  await becomes(code, async () => (await ask()).code);
  return code;
}

const identity = (commonName: string, organizations: string[] = []) => issue(authority, { commonName, organizations, usages: ["client auth"], lifetimeMs: DAY_MS });
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const whoami = { method: "POST", body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" } };

describe("over HTTPS", () => {
  test("nobody sees versions and nothing else", async () => {
    expect((await call("/version")).code).toBe(200);
    expect(await call("/api/v1/namespaces/team/pods")).toMatchObject({ code: 403, body: { message: 'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "team"' } });
    expect((await call("/metrics")).body.message).toBe('forbidden: User "system:anonymous" cannot get path "/metrics"');
  });

  test("a wrong token is refused, not taken for nobody", async () => {
    expect(await call("/version", bearer("nonsense"))).toMatchObject({ code: 401, body: { message: "Unauthorized" } });
  });

  test("a certificate names its user, and masters may do everything", async () => {
    const jane = await identity("jane", ["dev"]);
    expect(await call("/apis/authentication.k8s.io/v1/selfsubjectreviews", { ...whoami, as: jane })).toMatchObject({ code: 201, body: { status: { userInfo: { username: "jane", groups: ["dev", "system:authenticated"] } } } });
    expect((await call("/api/v1/secrets", { as: jane })).code).toBe(403);
    expect((await call("/api/v1/secrets", { as: await identity("root", ["system:masters"]) })).code).toBe(200);
  });

  test("a service account's own token gives it what its bindings say, until the account goes", async () => {
    const root = await identity("root", ["system:masters"]);
    const made = await call("/api/v1/namespaces/team/serviceaccounts/robot/token", { method: "POST", as: root, body: { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 600 } } });
    expect(made.code).toBe(201);
    const token = made.body.status?.token ?? "";
    expect((await call("/api/v1/namespaces/team/pods", bearer(token))).code).toBe(200);
    expect((await call("/api/v1/namespaces/team/secrets", bearer(token))).code).toBe(403);
    expect((await call("/api/v1/namespaces/other/pods", bearer(token))).code).toBe(403);
    expect((await call("/api/v1/namespaces/team", bearer(token))).code).toBe(200);
    await server.client.delete(builtinKind("", "v1", "ServiceAccount"), { name: "robot", namespace: "team" });
    expect(await eventually(() => call("/api/v1/namespaces/team/pods", bearer(token)), 401)).toBe(401);
  });

  test("a node reads its own pods by selector and no others", async () => {
    const node = await identity("system:node:n1", ["system:nodes"]);
    expect((await call("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", { as: node })).code).toBe(200);
    expect((await call("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", { as: node })).code).toBe(403);
    expect((await call("/api/v1/secrets", { as: node })).code).toBe(403);
  });

  test("nobody grants more than they hold", async () => {
    const ann = await identity("ann");
    const admin = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "admin" };
    await server.client.create(RBAC("RoleBinding"), { metadata: { name: "anns", namespace: "team" }, roleRef: admin, subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: "ann" }] } as never);
    const bind = (role: string) => call("/apis/rbac.authorization.k8s.io/v1/namespaces/team/rolebindings", { method: "POST", as: ann, body: { metadata: { name: `ann-${role}` }, roleRef: { ...admin, name: role }, subjects: [{ kind: "User", apiGroup: "rbac.authorization.k8s.io", name: "bob" }] } });
    expect(await eventually(() => bind("view"), 201)).toBe(201);
    expect((await bind("cluster-admin")).body.message).toStartWith('rolebindings.rbac.authorization.k8s.io "ann-cluster-admin" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:["*"], Resources:["*"], Verbs:["*"]}');
  });
});
