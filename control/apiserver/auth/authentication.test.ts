import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "bun:test";
import { FakeClock } from "../../../lib/clock.ts";
import { createAuthority, DAY_MS, issue, type KeyPair, type LeafOptions } from "../../pki/certificates.ts";
import { createAuth, type Auth, type AuthOptions } from "./create.ts";
import { FakeInformers } from "./fakes.ts";
import { peekClaims, TokenKeys } from "./jwt.ts";
import { parseTokenFile } from "./tokenfile.ts";

const ISSUER = "https://kubernetes.default.svc.cluster.local";
const NOW = Date.parse("2026-06-01T12:00:00Z");
const ecKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) as string;
const rsaKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ type: "pkcs8", format: "pem" }) as string;
let authority: KeyPair;
let stranger: KeyPair;
beforeAll(async () => {
  [authority, stranger] = await Promise.all([createAuthority("ca", 3650 * DAY_MS, NOW), createAuthority("ca", 3650 * DAY_MS, NOW)]);
});

function setUp(options: Partial<AuthOptions> = {}): { auth: Auth; objects: FakeInformers; clock: FakeClock } {
  const objects = new FakeInformers();
  const clock = new FakeClock(NOW);
  const auth = createAuth({ informers: objects, clock, clientAuthorities: [authority.certPem], serviceAccountKeyPem: ecKey, issuer: ISSUER, ...options });
  return { auth, objects, clock };
}

async function certificate(options: Partial<LeafOptions> & { signer?: KeyPair } = {}): Promise<Uint8Array> {
  const { signer = authority, ...leaf } = options;
  const pair = await issue(signer, { commonName: "jane", organizations: ["dev", "ops"], usages: ["client auth"], lifetimeMs: DAY_MS, now: NOW, ...leaf });
  return new Uint8Array(new X509Certificate(pair.certPem).raw);
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const unauthorized = { code: 401 };

async function outcome(run: () => unknown): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    return error;
  }
}

describe("client certificates", () => {
  test("name the user and the groups", async () => {
    const { auth } = setUp();
    expect(await auth.authenticator.authenticate({ peerCertificate: await certificate() })).toMatchObject({ name: "jane", groups: ["dev", "ops", "system:authenticated"] });
  });

  test("of another authority with the same name are refused", async () => {
    const { auth } = setUp();
    const peerCertificate = await certificate({ signer: stranger });
    expect(await outcome(() => auth.authenticator.authenticate({ peerCertificate }))).toMatchObject(unauthorized);
  });

  test("for servers are refused", async () => {
    const { auth } = setUp();
    const peerCertificate = await certificate({ usages: ["server auth"] });
    expect(await outcome(() => auth.authenticator.authenticate({ peerCertificate }))).toMatchObject(unauthorized);
  });

  test("stop working when they expire, even once known", async () => {
    const { auth, clock } = setUp();
    const peerCertificate = await certificate();
    expect(await auth.authenticator.authenticate({ peerCertificate })).toMatchObject({ name: "jane" });
    await clock.advance(DAY_MS + 1);
    expect(await outcome(() => auth.authenticator.authenticate({ peerCertificate }))).toMatchObject(unauthorized);
  });

  test("garbage is refused, and nothing at all is nobody", async () => {
    const { auth } = setUp();
    expect(await outcome(() => auth.authenticator.authenticate({ peerCertificate: new Uint8Array([1, 2, 3]) }))).toMatchObject(unauthorized);
    expect(await auth.authenticator.authenticate({})).toBeUndefined();
  });
});

describe("service account tokens", () => {
  const path = { namespace: "team", name: "robot" };
  const asked = (auth: Auth, spec: object = {}, metadata: object = {}) => outcome(() => auth.postHandlers["serviceaccounts/token"]?.({ ...path } as never, { metadata, spec } as never)) as Promise<{ status: { token: string; expirationTimestamp: string }; spec: object }>;
  const tokenOf = async (auth: Auth, spec: object = {}) => (await asked(auth, spec)).status.token;

  function withAccount(options: Partial<AuthOptions> = {}) {
    const made = setUp(options);
    made.objects.put("ServiceAccount", { metadata: { ...path } });
    made.objects.put("Node", { metadata: { name: "n1" } });
    made.objects.put("Pod", { metadata: { name: "p", namespace: "team" }, spec: { serviceAccountName: "robot", nodeName: "n1", containers: [] } });
    made.objects.put("Secret", { metadata: { name: "s", namespace: "team" } });
    return made;
  }

  test.each([["EC", ecKey, "ES256"], ["RSA", rsaKey, "RS256"]])("are issued and accepted with an %s key", async (_kind, serviceAccountKeyPem, algorithm) => {
    const { auth } = withAccount({ serviceAccountKeyPem });
    const token = await tokenOf(auth);
    expect(JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString())).toMatchObject({ alg: algorithm, kid: expect.any(String) });
    expect(await auth.authenticator.authenticate({ bearerToken: token })).toMatchObject({
      name: "system:serviceaccount:team:robot", uid: "robot-uid",
      groups: ["system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"],
    });
  });

  test("carry upstream's claims and say which pod on which node they are for", async () => {
    const { auth } = withAccount();
    const token = await tokenOf(auth, { audiences: [ISSUER], expirationSeconds: 7200, boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "p", uid: "p-uid" } });
    const seconds = NOW / 1000;
    expect(peekClaims(token)).toEqual({
      aud: [ISSUER], exp: seconds + 7200, iat: seconds, iss: ISSUER, jti: expect.any(String), nbf: seconds, sub: "system:serviceaccount:team:robot",
      "kubernetes.io": { namespace: "team", node: { name: "n1", uid: "n1-uid" }, pod: { name: "p", uid: "p-uid" }, serviceaccount: { name: "robot", uid: "robot-uid" } },
    });
    const user = await auth.authenticator.authenticate({ bearerToken: token });
    expect(user?.extra).toMatchObject({ "authentication.kubernetes.io/pod-name": ["p"], "authentication.kubernetes.io/node-name": ["n1"], "authentication.kubernetes.io/node-uid": ["n1-uid"] });
  });

  test("that kubelets ask for live a year and warn after an hour", async () => {
    const { auth } = withAccount();
    const reply = await asked(auth, { expirationSeconds: 3607, boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "p" } });
    const claims = peekClaims(reply.status.token) as { exp: number; "kubernetes.io": { warnafter: number } };
    expect(claims.exp).toBe(NOW / 1000 + 365 * 24 * 3600);
    expect(claims["kubernetes.io"].warnafter).toBe(NOW / 1000 + 3607);
    expect(reply.status.expirationTimestamp).toBe("2026-06-01T13:00:07Z");
  });

  test.each<[string, (objects: FakeInformers) => void, object]>([
    ["the account", (o) => o.remove("ServiceAccount", "team/robot"), {}],
    ["the pod", (o) => o.remove("Pod", "team/p"), { boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "p" } }],
    ["the secret", (o) => o.remove("Secret", "team/s"), { boundObjectRef: { kind: "Secret", apiVersion: "v1", name: "s" } }],
    ["the node", (o) => o.remove("Node", "n1"), { boundObjectRef: { kind: "Node", apiVersion: "v1", name: "n1" } }],
    ["an account made anew under the name", (o) => void o.put("ServiceAccount", { metadata: { ...path, uid: "another" } }), {}],
  ])("die with %s", async (_what, change, spec) => {
    const { auth, objects } = withAccount();
    const token = await tokenOf(auth, spec);
    expect(await auth.authenticator.authenticate({ bearerToken: token })).toBeDefined();
    change(objects);
    expect(await outcome(() => auth.authenticator.authenticate({ bearerToken: token }))).toMatchObject(unauthorized);
  });

  test("expire, and are not for other audiences", async () => {
    const { auth, clock } = withAccount();
    const foreign = await tokenOf(auth, { audiences: ["vault"] });
    expect(await outcome(() => auth.authenticator.authenticate({ bearerToken: foreign }))).toMatchObject(unauthorized);
    const token = await tokenOf(auth, { expirationSeconds: 600 });
    await clock.advance(700_000);
    expect(await outcome(() => auth.authenticator.authenticate({ bearerToken: token }))).toMatchObject(unauthorized);
  });

  test("signed by somebody else, or altered, are refused", async () => {
    const { auth } = withAccount();
    const token = await tokenOf(auth);
    const claims = peekClaims(token) ?? {};
    const forged = new TokenKeys(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }) as string).sign(claims);
    const [head, , signature] = token.split(".");
    const altered = `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: "system:serviceaccount:kube-system:admin" })).toString("base64url")}.${signature}`;
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${token.split(".")[1]}.`;
    for (const bearerToken of [forged, altered, unsigned]) expect(await outcome(() => auth.authenticator.authenticate({ bearerToken }))).toMatchObject(unauthorized);
  });

  test("of an older key are still accepted, and both keys are published", async () => {
    const { auth: before } = withAccount({ serviceAccountKeyPem: rsaKey });
    const token = await tokenOf(before);
    const { auth } = withAccount({ olderServiceAccountKeys: [rsaKey] });
    expect(await auth.authenticator.authenticate({ bearerToken: token })).toMatchObject({ name: "system:serviceaccount:team:robot" });
    expect(auth.keys.jwks().keys.map((k) => [k["kty"], k["alg"], k["use"], "d" in k])).toEqual([["EC", "ES256", "sig", false], ["RSA", "RS256", "sig", false]]);
  });

  test("kept in a Secret are good for as long as the Secret holds them", async () => {
    const { auth, objects } = withAccount();
    const account = objects.put("ServiceAccount", { metadata: { ...path } });
    const token = auth.tokens.issueLegacy(account as never, "robot-token");
    expect(await outcome(() => auth.authenticator.authenticate({ bearerToken: token }))).toMatchObject(unauthorized);
    objects.put("Secret", { metadata: { name: "robot-token", namespace: "team" }, data: { token: base64(token) } });
    expect(await auth.authenticator.authenticate({ bearerToken: token })).toMatchObject({ name: "system:serviceaccount:team:robot" });
    objects.remove("Secret", "team/robot-token");
    expect(await outcome(() => auth.authenticator.authenticate({ bearerToken: token }))).toMatchObject(unauthorized);
  });

  test.each<[string, object, object, object]>([
    ["a short life", { expirationSeconds: 60 }, {}, { code: 422, message: 'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes' }],
    ["another name", {}, { name: "x" }, { code: 422 }],
    ["a pod that is not there", { boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "q" } }, {}, { code: 404, message: 'pods "q" not found' }],
    ["another pod of the name", { boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "p", uid: "old" } }, {}, { code: 409 }],
    ["a kind nothing can be bound to", { boundObjectRef: { kind: "Job", apiVersion: "batch/v1", name: "j" } }, {}, { code: 400, message: "cannot bind token to object of type batch/v1, Kind=Job" }],
  ])("are refused for %s", async (_what, spec, metadata, error) => {
    const { auth } = withAccount();
    expect(await asked(auth, spec, metadata)).toMatchObject(error);
  });

  test("are refused for accounts that do not exist and pods of other accounts", async () => {
    const { auth, objects } = withAccount();
    objects.put("Pod", { metadata: { name: "other", namespace: "team" }, spec: { serviceAccountName: "default", containers: [] } });
    expect(await asked(auth, { boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "other" } })).toMatchObject({ code: 400, message: 'cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name.' });
    objects.remove("ServiceAccount", "team/robot");
    expect(await asked(auth)).toMatchObject({ code: 404, message: 'serviceaccounts "robot" not found' });
  });
});

const secret = (data: Record<string, string> = {}) => ({
  metadata: { name: "bootstrap-token-abcdef", namespace: "kube-system" }, type: "bootstrap.kubernetes.io/token",
  data: Object.fromEntries(Object.entries({ "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true", "auth-extra-groups": "system:bootstrappers:minik8s:default-node-token", ...data }).map(([k, v]) => [k, base64(v)])),
});

describe("bootstrap tokens", () => {
  const bearerToken = "abcdef.0123456789abcdef";

  test("make somebody who may join", async () => {
    const { auth, objects } = setUp();
    objects.put("Secret", secret({ expiration: "2026-06-01T13:00:00Z" }));
    expect(await auth.authenticator.authenticate({ bearerToken })).toEqual({
      name: "system:bootstrap:abcdef", groups: ["system:bootstrappers", "system:bootstrappers:minik8s:default-node-token", "system:authenticated"],
    });
  });

  test.each<[string, Record<string, string>]>([
    ["an expired one", { expiration: "2026-06-01T11:00:00Z" }],
    ["one with another secret", { "token-secret": "fedcba9876543210" }],
    ["one for signing only", { "usage-bootstrap-authentication": "false" }],
    ["one that claims groups it may not", { "auth-extra-groups": "system:masters" }],
  ])("refuse %s", async (_what, data) => {
    const { auth, objects } = setUp();
    objects.put("Secret", secret(data));
    expect(await outcome(() => auth.authenticator.authenticate({ bearerToken }))).toMatchObject(unauthorized);
  });
});

describe("other tokens", () => {
  test("of a file name users with ids and groups", async () => {
    const staticTokens = parseTokenFile('# comment\nt1,ann,7,"a,b"\n\nt2,bob,\n');
    const { auth } = setUp({ staticTokens });
    expect(await auth.authenticator.authenticate({ bearerToken: "t1" })).toEqual({ name: "ann", uid: "7", groups: ["a", "b", "system:authenticated"] });
    expect(await auth.authenticator.authenticate({ bearerToken: "t2" })).toEqual({ name: "bob", groups: ["system:authenticated"] });
    expect(await outcome(() => auth.authenticator.authenticate({ bearerToken: "t3" }))).toMatchObject(unauthorized);
    expect(() => parseTokenFile("only-a-token")).toThrow("line 1");
  });

  test("a good token stands beside a certificate that is not ours", async () => {
    const { auth } = setUp({ staticTokens: parseTokenFile("t1,ann,7") });
    const peerCertificate = await certificate({ signer: stranger });
    expect(await auth.authenticator.authenticate({ peerCertificate, bearerToken: "t1" })).toMatchObject({ name: "ann" });
  });
});

const review = (auth: Auth, spec: object) => outcome(() => auth.postHandlers["tokenreviews"]?.({} as never, { metadata: {}, spec } as never));

describe("token reviews", () => {
  test("say who a token stands for, for the audiences asked about", async () => {
    const { auth, objects } = setUp();
    const account = objects.put("ServiceAccount", { metadata: { name: "robot", namespace: "team" } });
    const token = auth.tokens.issue({ account: account as never, audiences: ["vault", "other"], lifetimeSeconds: 600 });
    expect(await review(auth, { token, audiences: ["vault"] })).toMatchObject({ status: { authenticated: true, audiences: ["vault"], user: { username: "system:serviceaccount:team:robot", uid: "robot-uid" } } });
    expect(await review(auth, { token })).toMatchObject({ status: { error: expect.stringContaining("is invalid for the target audiences") } });
  });

  test("need a token", async () => {
    expect(await review(setUp().auth, {})).toMatchObject({ code: 400, message: "token is required for TokenReview in authentication" });
  });
});
