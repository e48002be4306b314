// The X.509 library needs its polyfill before it is loaded.
// oxlint-disable-next-line import/no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { builtinKind } from "../../api/registry.ts";
import type { ClusterRole, ClusterRoleBinding, KubeObject, PolicyRule, Role, RoleBinding, ServiceAccount } from "../../api/types.ts";
import { eventually, TEST_TIMEOUT_MS } from "../../lib/testing.ts";
import { EVERY_ACCOUNT, mayAsk, mayVisit, type Grant } from "./oracle.ts";
import { askAll, discover, isUnauthorized, questionsOf, startPlane, textOf, type Answer, type Asker, type Discovered, type Question, type TestPlane } from "./testing.ts";

const RBAC = "rbac.authorization.k8s.io";
const kind = (name: string) => builtinKind(RBAC, "v1", name);
const PATHS = ["/metrics", "/metrics/slis", "/healthz", "/healthz/ping", "/livez/ping", "/logs", "/logs/x", "/version", "/openid/v1/jwks", "/api/v1/", "/apis/apps", "/", "/flagz"];
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const SEEDS = [1, 2, 3, 4, 5, 6];

let plane: TestPlane;
let certificateRequest = "";
let resources: Discovered[];
let questions: Question[];

beforeAll(async () => {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  certificateRequest = Buffer.from((await x509.Pkcs10CertificateRequestGenerator.create({ name: "CN=someone", keys, signingAlgorithm: ALGORITHM })).toString("pem")).toString("base64");
  plane = await startPlane();
  for (const name of ["team", "other"]) await plane.admin.create(builtinKind("", "v1", "Namespace"), { metadata: { name } });
  resources = await discover(await plane.as("root", "system:masters"));
  questions = questionsOf(resources, { namespaces: ["team", "other"], names: ["one", "two"] });
});
afterAll(() => plane.stop());

test.each(SEEDS)("a service account may do exactly what its roles say: random roles %#, every verb on every resource", async (seed) => {
  const grants = randomGrants(seeded(seed));
  const account = await anAccount(`robot-${seed}`, grants);
  const wrong: string[] = [];
  let allowed = 0;
  for (const [question, answer] of await askAll(account, questions)) {
    const expected = mayAsk([...grants, EVERY_ACCOUNT], question);
    if (expected) allowed++;
    if (expected === isUnauthorized(answer) && !(expected && isRightlyRefusedCreation(grants, question, answer))) wrong.push(`${textOf(question)}: ${expected ? "refused" : "allowed"}, ${answer.status} ${answer.message}`);
  }
  for (const path of PATHS) {
    for (const method of ["GET", "POST"]) {
      const answer = await account.request(method, path);
      if (mayVisit([...grants, EVERY_ACCOUNT], method, path) === isUnauthorized(answer)) wrong.push(`${method} ${path}: ${answer.status} ${answer.message}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(allowed).toBeGreaterThan(5);
  expect(allowed).toBeLessThan(questions.length);
}, TEST_TIMEOUT_MS);

describe("acting as somebody else", () => {
  test("takes the right to every part of whom one names", async () => {
    const grants: Grant[] = [{ rules: [
      { verbs: ["impersonate"], apiGroups: [""], resources: ["users"], resourceNames: ["bob"] },
      { verbs: ["impersonate"], apiGroups: [""], resources: ["groups"], resourceNames: ["dev"] },
      { verbs: ["impersonate"], apiGroups: ["authentication.k8s.io"], resources: ["userextras/scopes"], resourceNames: ["read"] },
      { verbs: ["impersonate"], apiGroups: ["authentication.k8s.io"], resources: ["uids"], resourceNames: ["7"] },
    ] }, { namespace: "team", rules: [{ verbs: ["impersonate"], apiGroups: [""], resources: ["serviceaccounts"], resourceNames: ["helper"] }] }];
    const account = await anAccount("actor", grants);
    const codeAs = async (headers: Record<string, string>): Promise<number> => (await account.request("GET", "/version", { headers })).status;
    const [user, uid, group] = ["impersonate-user", "impersonate-uid", "impersonate-group"] as const;
    expect(await codeAs({ [user]: "bob" })).toBe(200);
    expect(await codeAs({ [user]: "bob", [group]: "dev", [uid]: "7", "impersonate-extra-scopes": "read" })).toBe(200);
    expect(await codeAs({ [user]: "system:serviceaccount:team:helper" })).toBe(200);
    for (const headers of [
      { [user]: "eve" }, { [user]: "bob", [group]: "system:masters" }, { [user]: "bob", [uid]: "8" }, { [user]: "bob", "impersonate-extra-scopes": "write" }, { [user]: "bob", "impersonate-extra-other": "read" },
      { [user]: "system:serviceaccount:other:helper" }, { [user]: "system:serviceaccount:team:admin" }, { [user]: "system:node:n1" }, { [user]: "system:anonymous" },
    ]) expect([headers, await codeAs(headers)]).toEqual([headers, 403]);
    for (const headers of [{ [group]: "dev" }, { [uid]: "7" }, { "impersonate-extra-scopes": "read" }] as Record<string, string>[]) expect([headers, await codeAs(headers)]).toEqual([headers, 400]);
    expect((await account.request("GET", "/version", { headers: { [group]: "dev" } })).message).toBe('requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string(nil)} without impersonating a user name');
  });

  const on = (mode: string, verb: string, resource: string): PolicyRule => ({ verbs: [`impersonate-on:${mode}:${verb}`], apiGroups: [""], resources: [resource] });
  const be = (mode: string, resource: string, ...names: string[]): PolicyRule => ({ verbs: [`impersonate:${mode}`], apiGroups: ["authentication.k8s.io"], resources: [resource], resourceNames: names });

  test("may be allowed for some requests only, whatever else the one acted as may do", async () => {
    const account = await anAccount("narrow", [{ rules: [
      on("user-info", "list", "pods"), be("user-info", "users", "pat"), be("user-info", "groups", "dev", "system:masters"),
      on("serviceaccount", "list", "pods"), be("serviceaccount", "serviceaccounts", "helper"), on("arbitrary-node", "list", "pods"), be("arbitrary-node", "nodes", "n1"),
    ] }]);
    await plane.admin.create<ClusterRoleBinding>(kind("ClusterRoleBinding"), { metadata: { name: "pats" }, roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: "cluster-admin" }, subjects: ["User/pat", "User/system:serviceaccount:team:helper"].map((who) => ({ apiGroup: RBAC, kind: "User", name: who.slice(5) })) });
    const as = (path: string, headers: Record<string, string>) => account.request("GET", path, { headers });
    const pat = { "impersonate-user": "pat" };
    const helper = { "impersonate-user": "system:serviceaccount:team:helper" };
    await eventually("the right", async () => (await as("/api/v1/pods", pat)).status === 200);
    expect((await as("/api/v1/pods", { ...pat, "impersonate-group": "dev" })).status).toBe(200);
    expect((await as("/api/v1/pods", helper)).status).toBe(200);
    expect((await as("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", { "impersonate-user": "system:node:n1" })).status).toBe(200);
    expect((await as("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", { "impersonate-user": "system:node:n1" })).message).toContain('User "system:node:n1" cannot list resource "pods"');
    expect((await as("/api/v1/secrets", pat)).message).toContain('cannot impersonate-on:user-info:list resource "secrets" in API group "" at the cluster scope');
    expect((await as("/api/v1/secrets", helper)).message).toContain("cannot impersonate-on:serviceaccount:list");
    for (const headers of [{ ...pat, "impersonate-group": "system:masters" }, { ...pat, "impersonate-uid": "1" }, { ...helper, "impersonate-group": "dev" }, { "impersonate-user": "system:node:n2" }, { "impersonate-user": "eve" }] as Record<string, string>[]) {
      expect([headers, (await as("/api/v1/pods", headers)).status]).toEqual([headers, 403]);
    }
  });
});

describe("granting", () => {
  const cases: readonly (readonly [string, readonly PolicyRule[], boolean])[] = [
    ["what one holds", [{ verbs: ["get"], apiGroups: [""], resources: ["pods"] }], true],
    ["what one holds, of one object", [{ verbs: ["get"], apiGroups: [""], resources: ["pods"], resourceNames: ["p"] }], true],
    ["another verb", [{ verbs: ["get", "delete"], apiGroups: [""], resources: ["pods"] }], false],
    ["another resource", [{ verbs: ["get"], apiGroups: [""], resources: ["pods", "secrets"] }], false],
    ["a subresource", [{ verbs: ["get"], apiGroups: [""], resources: ["pods/exec"] }], false],
    ["everything", [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }], false],
    ["a path", [{ verbs: ["get"], nonResourceURLs: ["/metrics"] }], false],
  ];
  const own: PolicyRule[] = [{ verbs: ["get", "list"], apiGroups: [""], resources: ["pods"] }];
  const all: PolicyRule[] = [{ verbs: ["create", "update", "patch", "get"], apiGroups: [RBAC], resources: ["roles", "rolebindings", "clusterroles", "clusterrolebindings"] }];

  test.each(cases)("%s", async (title, rules, isAllowed) => {
    const id = title.replaceAll(/[^a-z]/g, "");
    const plain = await anAccount(`giver-${id}`, [{ rules: [...own, ...all] }]);
    const lifted = await anAccount(`lifted-${id}`, [{ rules: [...all, { verbs: ["escalate", "bind"], apiGroups: [RBAC], resources: ["roles", "clusterroles"] }] }]);
    const role = { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: { name: `r-${id}` }, rules };
    const path = `/apis/${RBAC}/v1/clusterroles?dryRun=All`;
    expect((await plain.request("POST", path, { body: role })).status).toBe(isAllowed ? 201 : 403);
    expect((await lifted.request("POST", path, { body: role })).status).toBe(201);
    await plane.admin.create<ClusterRole>(kind("ClusterRole"), role as ClusterRole);
    const binding = { apiVersion: `${RBAC}/v1`, kind: "ClusterRoleBinding", metadata: { name: `b-${id}` }, roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: `r-${id}` }, subjects: [{ apiGroup: RBAC, kind: "User", name: "eve" }] };
    const bindings = `/apis/${RBAC}/v1/clusterrolebindings?dryRun=All`;
    // The role just made has to reach the authorizer's cache.
    await eventually("the right", async () => (await lifted.request("POST", bindings, { body: binding })).status === 201);
    await eventually("the right", async () => (await plain.request("POST", bindings, { body: binding })).status === (isAllowed ? 201 : 403));
    const grown = { ...role, metadata: { name: "view" }, rules: [...rules] };
    if (!isAllowed) expect((await plain.request("PATCH", `/apis/${RBAC}/v1/clusterroles/view?dryRun=All`, { body: { rules: grown.rules }, contentType: "application/merge-patch+json" })).status).toBe(403);
  });
});

describe("signing and approving", () => {
  const GROUP = "certificates.k8s.io";
  const SIGNER = "kubernetes.io/kube-apiserver-client";
  const touch: PolicyRule = { verbs: ["update", "patch", "get"], apiGroups: [GROUP], resources: ["certificatesigningrequests/approval", "certificatesigningrequests/status", "certificatesigningrequests"] };

  test.each<[string, PolicyRule | undefined, { approval: number; status: number }]>([
    ["no right to any signer", undefined, { approval: 403, status: 403 }],
    ["approve for the signer", { verbs: ["approve"], apiGroups: [GROUP], resources: ["signers"], resourceNames: [SIGNER] }, { approval: 200, status: 403 }],
    ["sign for the signer", { verbs: ["sign"], apiGroups: [GROUP], resources: ["signers"], resourceNames: [SIGNER] }, { approval: 403, status: 200 }],
    ["both for the signer's domain", { verbs: ["approve", "sign"], apiGroups: [GROUP], resources: ["signers"], resourceNames: ["kubernetes.io/*"] }, { approval: 200, status: 200 }],
    ["both for another signer", { verbs: ["approve", "sign"], apiGroups: [GROUP], resources: ["signers"], resourceNames: ["kubernetes.io/kubelet-serving"] }, { approval: 403, status: 403 }],
  ])("with %s", async (title, rule, expected) => {
    const id = title.replaceAll(/[^a-z]/g, "");
    const account = await anAccount(`signer-${id}`, [{ rules: [touch, ...(rule ? [rule] : [])] }]);
    const made = await plane.admin.create(builtinKind(GROUP, "v1", "CertificateSigningRequest"), { metadata: { name: `csr-${id}` }, spec: { signerName: SIGNER, usages: ["client auth"], request: certificateRequest } } as KubeObject);
    const answer = async (subresource: string, status: object): Promise<number> => (await account.request("PUT", `/apis/${GROUP}/v1/certificatesigningrequests/csr-${id}/${subresource}?dryRun=All`, { body: { ...made, apiVersion: `${GROUP}/v1`, kind: "CertificateSigningRequest", status } })).status;
    expect({
      approval: await answer("approval", { conditions: [{ type: "Approved", status: "True", reason: "r", message: "m" }] }),
      status: await answer("status", { conditions: [{ type: "Failed", status: "True", reason: "r", message: "m" }] }),
    }).toEqual(expected);
  });
});

/** Updating what is not there makes it, where a kind allows that, which takes the right to. */
function isRightlyRefusedCreation(grants: readonly Grant[], question: Question, { message }: Answer): boolean {
  return question.verb === "update" && message.includes(" cannot create resource ") && !mayAsk(grants, { ...question, verb: "create" });
}

async function anAccount(name: string, grants: readonly Grant[]): Promise<Asker> {
  await plane.admin.create<ServiceAccount>(builtinKind("", "v1", "ServiceAccount"), { metadata: { name, namespace: "team" } });
  const subjects = [{ kind: "ServiceAccount", name, namespace: "team" }];
  for (const [index, { namespace, rules }] of grants.entries()) {
    const metadata = { name: `${name}-${index}`, ...(namespace !== undefined && { namespace }) };
    const [roleKind, bindingKind] = namespace === undefined ? ["ClusterRole", "ClusterRoleBinding"] : ["Role", "RoleBinding"];
    await plane.admin.create<Role>(kind(roleKind as string), { metadata, rules: [...rules] });
    await plane.admin.create<RoleBinding | ClusterRoleBinding>(kind(bindingKind as string), { metadata, roleRef: { apiGroup: RBAC, kind: roleKind as string, name: metadata.name }, subjects });
  }
  const { status } = await plane.admin.post<object, { status: { token: string } }>(builtinKind("", "v1", "ServiceAccount"), { name, namespace: "team" }, "token", { spec: { expirationSeconds: 3600 } });
  const account = plane.withToken(status.token);
  await eventually("the right", async () => !isUnauthorized(await account.request("GET", "/apis")) && (await hasAll(account, grants)));
  return account;
}

/** Whether the last role has reached the authorizer. */
async function hasAll(account: Asker, grants: readonly Grant[]): Promise<boolean> {
  const last = grants.at(-1);
  if (!last) return true;
  const { body } = await account.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", { body: { spec: { namespace: last.namespace ?? "team" } } });
  const { resourceRules, nonResourceRules } = (JSON.parse(body) as { status: { resourceRules: object[]; nonResourceRules: object[] } }).status;
  return resourceRules.length + nonResourceRules.length >= EVERY_ACCOUNT.rules.length + last.rules.length;
}

/** Roles as somebody careless would write them: wildcards, names, subresources, groups that do not fit, verbs that do not exist. */
function randomGrants(random: () => number): Grant[] {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const some = <T>(from: readonly T[], most: number): T[] => Array.from({ length: 1 + Math.floor(random() * most) }, () => pick(from));
  const verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "use", ...(random() < 0.2 ? ["*"] : [])];
  const names = ["one", "two", "three", "team", "other"];
  const aRule = (): PolicyRule => {
    const chosen = some(resources, 4);
    const words = chosen.flatMap(({ resource, subresources }) => [resource, ...(subresources.length > 0 && random() < 0.5 ? [`${resource}/${pick(subresources)}`] : [])]);
    if (random() < 0.15) words.push(pick(["*", "*/status", "*/scale", "pods/*", "nodes/proxy"]));
    return {
      verbs: some(verbs, 3), apiGroups: random() < 0.15 ? ["*"] : [...new Set(chosen.map(({ group }) => group))], resources: [...new Set(words)],
      ...(random() < 0.35 && { resourceNames: some(names, 2) }),
    };
  };
  const aPath = (): PolicyRule => ({ verbs: some(["get", "post", "*"], 1), nonResourceURLs: some([...PATHS, "/logs/*", "/met*", "/healthz*", "/livez/*"], 2) });
  return [
    { rules: [...Array.from({ length: 3 }, aRule), aPath()] },
    { namespace: "team", rules: Array.from({ length: 5 }, aRule) },
    { namespace: "other", rules: Array.from({ length: 2 }, aRule) },
  ];
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}
