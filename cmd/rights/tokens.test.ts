import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPublicKey, verify } from "node:crypto";
import { builtinKind } from "../../api/registry.ts";
import type { ConfigMap, KubeObject, Secret, Stored } from "../../api/types.ts";
import { eventually } from "../../lib/testing.ts";
import { startPlane, type TestPlane } from "./testing.ts";

const ACCOUNT = builtinKind("", "v1", "ServiceAccount");
const POD = builtinKind("", "v1", "Pod");
const NODE = builtinKind("", "v1", "Node");
const SECRET = builtinKind("", "v1", "Secret");

let plane: TestPlane;
beforeAll(async () => {
  plane = await startPlane();
  await plane.admin.create(builtinKind("", "v1", "Namespace"), { metadata: { name: "team" } });
  await plane.admin.create(ACCOUNT, { metadata: { name: "robot", namespace: "team" } });
});
afterAll(() => plane.stop());

interface Issued {
  readonly spec: { readonly audiences: string[]; readonly expirationSeconds: number };
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

const issue = (spec: object): Promise<Issued> => plane.admin.post<object, Issued>(ACCOUNT, { namespace: "team", name: "robot" }, "token", { spec });
const codeOf = async (token: string): Promise<number> => (await plane.withToken(token).request("GET", "/version")).status;
const claimsOf = (token: string): Record<string, unknown> => JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

const becomes = (token: string, code: number): Promise<unknown> => eventually(`code ${code}`, async () => (await codeOf(token)) === code);

describe("a token bound to", () => {
  const objects: readonly (readonly [string, () => Promise<Stored<KubeObject>>])[] = [
    ["Pod", () => plane.admin.create(POD, { metadata: { name: "p", namespace: "team" }, spec: { serviceAccountName: "robot", containers: [{ name: "c", image: "i" }], terminationGracePeriodSeconds: 0 } } as KubeObject)],
    ["Secret", () => plane.admin.create(SECRET, { metadata: { name: "s", namespace: "team" } })],
    ["Node", () => plane.admin.create(NODE, { metadata: { name: "n" } })],
  ];

  test.each(objects)("a %s ends with it, and does not come back with another of the same name", async (kind, make) => {
    const object = await make();
    const { name, namespace } = object.metadata;
    const { status: { token } } = await issue({ boundObjectRef: { apiVersion: "v1", kind, name, uid: object.metadata.uid } });
    await becomes(token, 200);
    await plane.admin.delete(builtinKind("", "v1", kind), { name, ...(namespace && { namespace }) }, { gracePeriodSeconds: 0 });
    await becomes(token, 401);
    await make();
    await Bun.sleep(50);
    expect(await codeOf(token)).toBe(401);
  });
});

describe("a token", () => {
  test("is for its audiences only, and says what upstream's say", async () => {
    const { spec, status } = await issue({ audiences: ["vault"], expirationSeconds: 700 });
    expect(spec).toMatchObject({ audiences: ["vault"], expirationSeconds: 700 });
    expect(await codeOf(status.token)).toBe(401);
    const claims = claimsOf(status.token);
    expect(Object.keys(claims).toSorted()).toEqual(["aud", "exp", "iat", "iss", "jti", "kubernetes.io", "nbf", "sub"]);
    expect(claims).toMatchObject({ aud: ["vault"], sub: "system:serviceaccount:team:robot", iss: "https://kubernetes.default.svc.cluster.local", "kubernetes.io": { namespace: "team", serviceaccount: { name: "robot" } } });
    expect(Number(claims["exp"]) - Number(claims["iat"])).toBe(700);
    expect(Math.abs(Date.parse(status.expirationTimestamp) / 1000 - Number(claims["exp"]))).toBeLessThanOrEqual(1);
  });

  test("that a kubelet asks for where clients do not reload lives a year, and says when to warn", async () => {
    const pod = await plane.admin.create(POD, { metadata: { name: "old", namespace: "team" }, spec: { serviceAccountName: "robot", containers: [{ name: "c", image: "i" }] } } as KubeObject);
    const { status, spec } = await issue({ expirationSeconds: 3607, boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "old", uid: pod.metadata.uid } });
    const claims = claimsOf(status.token) as { exp: number; iat: number; "kubernetes.io": { warnafter: number } };
    expect([claims.exp - claims.iat, claims["kubernetes.io"].warnafter - claims.iat, spec.expirationSeconds]).toEqual([365 * 86_400, 3607, 3607]);
  });

  test("is refused when its object is another one than was meant", async () => {
    for (const [ref, code] of [[{ kind: "Pod", name: "none" }, 404], [{ kind: "Node", name: "none" }, 404], [{ kind: "ConfigMap", name: "c" }, 400]] as const) {
      const failure = await issue({ boundObjectRef: { apiVersion: "v1", ...ref } }).then(() => undefined, (error: unknown) => error);
      expect(failure).toMatchObject({ code });
    }
  });
});

describe("a Secret's token", () => {
  test("is marked with the day of its last use, and counts no longer once it is marked invalid", async () => {
    const robot = await plane.admin.get(ACCOUNT, { namespace: "team", name: "robot" });
    const token = plane.issueLegacyToken(robot, "old-token");
    await plane.admin.create<Secret>(SECRET, { metadata: { name: "old-token", namespace: "team", annotations: { "kubernetes.io/service-account.name": "robot", "kubernetes.io/service-account.uid": robot.metadata.uid } }, type: "kubernetes.io/service-account-token", data: { token: Buffer.from(token).toString("base64") } });
    await becomes(token, 200);
    const labels = async (): Promise<Record<string, string>> => (await plane.admin.get(SECRET, { namespace: "team", name: "old-token" })).metadata.labels ?? {};
    await eventually("a label", async () => Object.keys(await labels()).length > 0);
    expect(await labels()).toEqual({ "kubernetes.io/legacy-token-last-used": new Date().toISOString().slice(0, 10) });
    expect((await plane.admin.get<ConfigMap>(builtinKind("", "v1", "ConfigMap"), { namespace: "kube-system", name: "kube-apiserver-legacy-service-account-token-tracking" })).data).toEqual({ since: new Date().toISOString().slice(0, 10) });
    await plane.admin.patch(SECRET, { namespace: "team", name: "old-token" }, { metadata: { labels: { "kubernetes.io/legacy-token-invalid-since": "2026-01-01" } } }, { type: "merge" });
    await becomes(token, 401);
  });
});

describe("relying parties", () => {
  test("find issuer and keys in upstream's form, and can check a token with them", async () => {
    const { status: { token } } = await issue({});
    const account = plane.withToken(token);
    await becomes(token, 200);
    const document = async (path: string): Promise<{ headers: Headers; json: Record<string, unknown> }> => {
      const reply = await fetch(plane.url + path, { headers: { authorization: `Bearer ${token}` }, tls: { ca: plane.pki.roots.authority.certPem } });
      return { headers: reply.headers, json: (await reply.json()) as Record<string, unknown> };
    };
    const discovery = await document("/.well-known/openid-configuration");
    expect(discovery.headers.get("content-type")).toBe("application/json");
    expect(discovery.headers.get("cache-control")).toBe("public, max-age=3600");
    expect(discovery.json).toMatchObject({ issuer: claimsOf(token)["iss"], response_types_supported: ["id_token"], subject_types_supported: ["public"] });
    const jwks = await document("/openid/v1/jwks");
    expect(jwks.headers.get("content-type")).toBe("application/jwk-set+json");
    const [header = "", body = "", signature = ""] = token.split(".");
    const { kid, alg } = JSON.parse(Buffer.from(header, "base64url").toString()) as { kid: string; alg: string };
    const jwk = (jwks.json["keys"] as { kid: string; alg: string; kty: string }[]).find((key) => key.kid === kid);
    expect([alg, jwk?.alg]).toEqual(["ES256", "ES256"]);
    const key = createPublicKey({ key: jwk!, format: "jwk" });
    expect(verify("sha256", Buffer.from(`${header}.${body}`), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url"))).toBe(true);
    account.close();
  });
});
