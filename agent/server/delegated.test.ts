import { beforeAll, expect, test } from "bun:test";
// The certificate library needs it, and does not bring it.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import { BasicConstraintsExtension, ExtendedKeyUsageExtension, type X509Certificate, X509CertificateGenerator } from "@peculiar/x509";
import type { Client } from "../../api/client/client.ts";
import type { KubeObject } from "../../api/types.ts";
import { FakeClock } from "../../lib/clock.ts";
import { DelegatedAuthority } from "./delegated.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const NOW = Date.parse("2026-06-01T00:00:00Z");
const VALID = { notBefore: new Date(NOW - 3_600_000), notAfter: new Date(NOW + 3_600_000) };

interface Authority {
  readonly certificate: X509Certificate;
  readonly issue: (name: string, usage?: string, validity?: { notBefore: Date; notAfter: Date }) => Promise<Uint8Array>;
}
let ours: Authority;
let others: Authority;
beforeAll(async () => {
  [ours, others] = [await authority(), await authority()];
});

async function authority(): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({ name: "CN=ca", keys, signingAlgorithm: ALGORITHM, ...VALID, extensions: [new BasicConstraintsExtension(true)] });
  const issue = async (subject: string, usage = CLIENT_AUTH, validity = VALID): Promise<Uint8Array> => {
    const { publicKey } = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const issued = await X509CertificateGenerator.create({ subject, issuer: certificate.subject, publicKey, signingKey: keys.privateKey, signingAlgorithm: ALGORITHM, ...validity, extensions: [new ExtendedKeyUsageExtension([usage])] });
    return new Uint8Array(issued.rawData);
  };
  return { certificate, issue };
}

function setup(answer: (object: KubeObject) => object = () => ({})): { authority: DelegatedAuthority; clock: FakeClock; asked: string[] } {
  const clock = new FakeClock(NOW);
  const asked: string[] = [];
  const client = { create: async (_kind: unknown, object: KubeObject) => (asked.push(object.kind ?? ""), { ...object, status: answer(object) }) } as unknown as Client;
  return { authority: new DelegatedAuthority({ client, caPem: ours.certificate.toString("pem"), nodeName: "node-1", clock }), clock, asked };
}

test("a client certificate of the cluster's CA names user and groups", async () => {
  const peerCertificate = await ours.issue("O=ops,O=dev,CN=alice");
  expect(await setup().authority.authenticate({ peerCertificate, bearerToken: undefined })).toEqual({ name: "alice", groups: ["ops", "dev", "system:authenticated"] });
});

test("certificates of another CA, for servers, or out of their time vouch for nobody", async () => {
  const { authority } = setup();
  const past = { notBefore: new Date(NOW - 7_200_000), notAfter: new Date(NOW - 3_600_000) };
  for (const peerCertificate of [await others.issue("CN=alice"), await ours.issue("CN=alice", SERVER_AUTH), await ours.issue("CN=alice", CLIENT_AUTH, past)]) {
    expect(await authority.authenticate({ peerCertificate, bearerToken: undefined })).toBeUndefined();
  }
});

test("a token is reviewed once, and again when the answer is old", async () => {
  const { authority, clock, asked } = setup(() => ({ authenticated: true, user: { username: "system:serviceaccount:a:b", groups: ["g"] } }));
  const credentials = { peerCertificate: undefined, bearerToken: "t" };
  expect(await authority.authenticate(credentials)).toEqual({ name: "system:serviceaccount:a:b", groups: ["g"] });
  await authority.authenticate(credentials);
  expect(asked).toEqual(["TokenReview"]);
  await clock.advance(120_001);
  await authority.authenticate(credentials);
  expect(asked.length).toBe(2);
});

test("rights are reviewed for this node's subresource", async () => {
  const seen: unknown[] = [];
  const { authority } = setup((object) => (seen.push((object as { spec?: unknown }).spec), { allowed: true }));
  expect(await authority.isAllowed({ user: { name: "bob", groups: ["g"] }, verb: "get", subresource: "metrics", path: "/metrics" })).toBe(true);
  expect(seen).toEqual([{ user: "bob", groups: ["g"], resourceAttributes: { verb: "get", group: "", version: "v1", resource: "nodes", subresource: "metrics", name: "node-1" } }]);
});

test("superusers are let in without asking", async () => {
  const { authority, asked } = setup(() => ({ allowed: false }));
  expect(await authority.isAllowed({ user: { name: "admin", groups: ["system:masters"] }, verb: "create", subresource: "proxy", path: "/exec" })).toBe(true);
  expect(asked).toEqual([]);
});
