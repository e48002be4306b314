// Requests for certificates, from being asked to being forgotten; what approves nodes is tested with their renewal.
import { afterEach, describe, expect, test } from "bun:test";
// The certificate library needs its metadata store before it is loaded.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { builtinKind } from "../../api/registry.ts";
import type { CertificateSigningRequest, Node } from "../../api/types.ts";
import { FakeClock, timestamp } from "../../lib/clock.ts";
import { certificateApprover, certificateCleaner, certificateSigner } from "./certificates.ts";
import { refusal } from "./certificaterules.ts";
import { becomes, TestCluster } from "./cluster.suite.ts";
import { NODE } from "./kinds.ts";

const CSR = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const NOW = Date.parse("2026-03-01T12:00:00Z");
const HOUR = 3_600_000;
const CLIENT = "kubernetes.io/kube-apiserver-client";
const NODE_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING = "kubernetes.io/kubelet-serving";
type Status = NonNullable<CertificateSigningRequest["status"]>;

let cluster: TestCluster;
afterEach(() => cluster.stop());
const issued: unknown[] = [];

async function start(clock = new FakeClock(NOW)): Promise<FakeClock> {
  cluster = new TestCluster({ clock, settings: { signCertificate: async ({ usages, lifetimeMs }) => { issued.push([usages, lifetimeMs]); return "PEM"; } } });
  await cluster.start(certificateApprover, certificateSigner, certificateCleaner);
  return clock;
}

async function pem(name: string, names: { dns?: string[]; ip?: string[] } = {}): Promise<string> {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const alternative = [...(names.dns ?? []).map((value) => ({ type: "dns" as const, value })), ...(names.ip ?? []).map((value) => ({ type: "ip" as const, value }))];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name, keys: keys as CryptoKeyPair, signingAlgorithm: { name: "ECDSA", hash: "SHA-256" }, extensions: alternative.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternative)] : [] });
  return Buffer.from(request.toString("pem")).toString("base64");
}

const ask = (name: string, spec: Partial<CertificateSigningRequest["spec"]> & { request: string }, status?: Status): Promise<unknown> =>
  cluster.create<CertificateSigningRequest>(CSR, { metadata: { name }, spec: { signerName: CLIENT, usages: ["client auth"], username: "u", ...spec }, ...(status && { status }) });
const approved = (at = NOW): Status => ({ conditions: [{ type: "Approved", status: "True", lastUpdateTime: timestamp(at) }] });
const outcome = async (name: string): Promise<unknown> => {
  const { status } = await cluster.get<CertificateSigningRequest>(CSR, name);
  return [status?.certificate && Buffer.from(status.certificate, "base64").toString(), ...(status?.conditions ?? []).map(({ type, reason, message }) => [type, reason, message].filter(Boolean).join(": "))];
};
const names = async (): Promise<string[]> => (await cluster.list(CSR)).map(({ metadata }) => metadata.name).toSorted();

describe("a request that a person approved", () => {
  test("is signed for what its signer is for, and for no longer than it asks", async () => {
    await start();
    await ask("ann", { request: await pem("CN=ann, O=dev"), expirationSeconds: 600 }, approved());
    await becomes(() => outcome("ann"), ["PEM", "Approved"]);
    expect(issued.pop()).toEqual([["client auth"], 600_000]);
  });

  test("and that its signer must not sign fails in upstream's words, once", async () => {
    await start();
    await ask("server", { request: await pem("CN=ann"), usages: ["server auth", "client auth"] }, approved());
    await ask("stranger", { request: await pem("CN=ann, O=dev"), signerName: NODE_CLIENT, usages: ["digital signature", "client auth"] }, approved());
    await becomes(() => outcome("server"), [undefined, "Approved", "Failed: SignerValidationFailure: invalid usage for client certificate: server auth"]);
    await becomes(() => outcome("stranger"), [undefined, "Approved", "Failed: SignerValidationFailure: subject organization is not system:nodes"]);
  });

  test("is left alone when it is another signer's", async () => {
    await start();
    await ask("other", { request: await pem("CN=ann"), signerName: "example.com/mine" }, approved());
    await ask("ann", { request: await pem("CN=ann") }, approved());
    await becomes(() => outcome("ann"), ["PEM", "Approved"]);
    expect(await outcome("other")).toEqual([undefined, "Approved"]);
  });
});

test("a node's serving certificate is approved once all its names are the node's addresses", async () => {
  await start();
  const spec = { username: "system:node:n1", signerName: SERVING, usages: ["digital signature", "server auth"] };
  await ask("good", { ...spec, request: await pem("CN=system:node:n1, O=system:nodes", { dns: ["n1"], ip: ["10.0.0.1"] }) });
  await ask("greedy", { ...spec, request: await pem("CN=system:node:n1, O=system:nodes", { dns: ["n1"], ip: ["10.0.0.2"] }) });
  await cluster.create<Node>(NODE, { metadata: { name: "n1" }, status: { addresses: [{ type: "Hostname", address: "n1" }, { type: "InternalIP", address: "10.0.0.1" }] } });
  await becomes(() => outcome("good"), ["PEM", "Approved: AutoApproved: Auto approving kubelet serving certificate for the node's own addresses."]);
  expect(await outcome("greedy")).toEqual([undefined]);
});

test("requests are forgotten an hour after they were decided on, however long that took, and a day after nothing came of them", async () => {
  const clock = await start();
  const request = await pem("CN=ann");
  await ask("pending", { request });
  await ask("late", { request, signerName: "example.com/mine" });
  await ask("denied", { request }, { conditions: [{ type: "Denied", status: "True", lastUpdateTime: timestamp(NOW) }] });
  await Bun.sleep(20);
  await clock.advance(HOUR + 1000);
  await becomes(names, ["late", "pending"]);
  await clock.advance(22 * HOUR);
  await cluster.change<CertificateSigningRequest>(CSR, "late", (late) => { late.status = { ...approved(clock.now()), certificate: "UEVN" }; }, "status");
  await Bun.sleep(20);
  await clock.advance(HOUR - 500);
  await becomes(names, ["late"]);
  await clock.advance(3000);
  await becomes(names, []);
});

const NODE_NAMES = { commonName: "system:node:n1", organizations: ["system:nodes"], dnsNames: [], ipAddresses: [], emails: [], uris: [] };
test.each([
  ["a node's client", NODE_CLIENT, {}, ["digital signature", "client auth"], undefined],
  ["a node's client with an RSA key", NODE_CLIENT, {}, ["key encipherment", "digital signature", "client auth"], undefined],
  ["no signature", NODE_CLIENT, {}, ["client auth"], "usages did not match [client auth digital signature key encipherment]"],
  ["a node's server without names", SERVING, {}, ["digital signature", "server auth"], "DNS or IP subjectAltName is required"],
  ["a client with a name", NODE_CLIENT, { dnsNames: ["n1"] }, [], "DNS subjectAltNames are not allowed"],
  ["a client with an address", NODE_CLIENT, { ipAddresses: ["10.0.0.1"] }, [], "IP subjectAltNames are not allowed"],
  ["mail", SERVING, { dnsNames: ["n1"], emails: ["a@b"] }, [], "Email subjectAltNames are not allowed"],
  ["a URI", NODE_CLIENT, { uris: ["spiffe://x"] }, [], "URI subjectAltNames are not allowed"],
  ["somebody else", NODE_CLIENT, { commonName: "ann" }, [], "subject common name does not begin with system:node:"],
  ["a client for nothing", CLIENT, {}, ["digital signature"], "missing required usage for client certificate: client auth"],
] as const)("%s is judged as upstream does", (...[, signerName, more, usages, expected]) => {
  expect(refusal({ signerName, usages: [...usages], request: "" }, { ...NODE_NAMES, ...more } as typeof NODE_NAMES)).toBe(expected as string);
});
