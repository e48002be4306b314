// Joining a cluster over HTTPS, against the real API server with a memory store.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { builtinKind } from "../../api/registry.ts";
import type { CertificateSigningRequest, Stored } from "../../api/types.ts";
import type { Authenticator } from "../../control/apiserver/auth/auth.ts";
import { selfSigned, startTestServer, type TestServer } from "../../control/apiserver/testing.ts";
import { createAuthority, issue, readRequest, signRequest } from "../../control/pki/certificates.ts";
import { FakeClock, systemClock } from "../../lib/clock.ts";
import { identityPaths, isValid, loadCertificate, renewalTime, RotatingCertificate, saveCertificate } from "./identity.ts";
import { join, JoinError, type JoinOptions } from "./join.ts";

const CSR = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const TOKEN = "abcdef.0123456789abcdef";
const dir = mkdtempSync(joinPath(tmpdir(), "kubelet-join-"));
const stop = new AbortController();
const tokenUser: Authenticator = { authenticate: ({ bearerToken }) => (bearerToken === TOKEN ? { name: "system:bootstrap:abcdef", groups: ["system:bootstrappers"] } : undefined) };
let server: TestServer;
let caSha256: string;
let asked: string[] = [];

/** Signs or denies every request it sees, as the cluster's controllers do. */
async function controllers(signal: AbortSignal): Promise<void> {
  const authority = await createAuthority("kubernetes", 86_400_000);
  for await (const event of server.client.watch<CertificateSigningRequest>(CSR, { resourceVersion: "0", sendInitialEvents: true, signal })) {
    if (event.type !== "ADDED") continue;
    const csr = event.object as Stored<CertificateSigningRequest>;
    const csrPem = Buffer.from(csr.spec.request, "base64").toString();
    const names = await readRequest(csrPem);
    asked.push(`${names.organizations.join()}/${names.commonName}`);
    const isDenied = names.commonName.endsWith("unwanted");
    const status = isDenied ? { conditions: [{ type: "Denied", status: "True", reason: "Policy", message: "not here" }] } : { certificate: Buffer.from(await signRequest(authority, csrPem, { usages: ["client auth"], lifetimeMs: 3_600_000 })).toString("base64") };
    await server.client.patch(CSR, { name: csr.metadata.name }, { status }, { type: "merge", subresource: isDenied ? "approval" : "status" });
  }
}

beforeAll(async () => {
  server = await startTestServer({ http: { authenticators: [tokenUser], authorizer: { authorize: () => ({ allowed: true }) } } });
  caSha256 = createHash("sha256").update(new X509Certificate((await selfSigned()).cert).raw).digest("hex");
  void controllers(stop.signal).catch(() => undefined);
});

afterAll(async () => {
  stop.abort();
  await server.stop();
  rmSync(dir, { recursive: true, force: true });
});

const options = (overrides: Partial<JoinOptions> = {}): JoinOptions => ({ server: server.url, token: TOKEN, caSha256, nodeName: "n1", nodeIp: "127.0.0.1", dataDir: joinPath(dir, overrides.nodeName ?? "n1"), clock: systemClock, signal: stop.signal, ...overrides });

test("a node joins with the token, keeps its key to itself, and needs no token the next time", async () => {
  const identity = await join(options());
  expect(asked).toEqual(["system:nodes/system:node:n1"]);
  expect(isValid(identity.client.current, Date.now())).toBe(true);
  const path = identityPaths(joinPath(dir, "n1")).client;
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await loadCertificate(path)).toEqual(identity.client.current);
  asked = [];
  const again = await join(options({ token: "", caSha256: "" }));
  expect(again.client.current).toEqual(identity.client.current);
  expect(asked).toEqual([]);
});

test("a server of another authority, a wrong token and no token are each one clear refusal", async () => {
  const failure = (overrides: Partial<JoinOptions>): Promise<unknown> => join(options(overrides)).then(() => undefined, (error: unknown) => error);
  expect(String(await failure({ nodeName: "n2", caSha256: "0".repeat(64) }))).toContain("does not belong to the authority in the join token");
  expect(String(await failure({ nodeName: "n3", token: "abcdef.wrong" }))).toContain("the join token is not valid (any more)");
  expect(await failure({ nodeName: "n4", token: "" })).toBeInstanceOf(JoinError);
  expect(String(await failure({ nodeName: "unwanted" }))).toContain("was denied: not here");
});

test("a node whose certificate ended while it was off is told so, and joins again with a token", async () => {
  const later = { ...systemClock, now: () => Date.now() + 2 * 3_600_000 };
  const failure = await join(options({ token: "", caSha256: "", clock: later })).then(() => undefined, (error: unknown) => error);
  expect(String(failure)).toMatch(/this machine's certificate ended on \d{4}-\d\d-\d\d, and only a new token lets it in again: run `minik8s token create`/);
  expect(String(await join(options({ token: "abcdef.wrong", clock: later })).then(() => undefined, (error: unknown) => error))).toMatch(/certificate ended .*; the join token is not valid/);
  const before = (await loadCertificate(identityPaths(joinPath(dir, "n1")).client))?.certPem;
  const identity = await join(options({ clock: later }));
  expect(identity.client.current?.certPem).not.toBe(before as string);
});

test("a certificate for another address than the machine has now is not used", async () => {
  const path = joinPath(dir, "moved.pem");
  const authority = await createAuthority("kubernetes", 86_400_000);
  await saveCertificate(path, await issue(authority, { commonName: "system:node:n1", dnsNames: ["n1"], ipAddresses: ["192.0.2.1"], usages: ["server auth"], lifetimeMs: 3_600_000 }));
  const at = (address: string): Promise<boolean> => new RotatingCertificate({ path, clock: systemClock, request: { signerName: "kubernetes.io/kubelet-serving", nodeName: "n1", dnsNames: ["n1"], ipAddresses: [address] } }).load();
  expect([await at("192.0.2.1"), await at("192.0.2.2")]).toEqual([true, false]);
});

test("a certificate is renewed in the last third of its life", async () => {
  const { certPem } = (await loadCertificate(identityPaths(joinPath(dir, "n1")).client)) ?? { certPem: "" };
  const { validFromDate, validToDate } = new X509Certificate(certPem);
  const life = validToDate.getTime() - validFromDate.getTime();
  expect((renewalTime(certPem, 0) - validFromDate.getTime()) / life).toBeCloseTo(0.7);
  expect((renewalTime(certPem, 1) - validFromDate.getTime()) / life).toBeCloseTo(0.9);
});

test("a certificate whose end comes by a date set forward, or while the machine slept, is renewed a minute later", async () => {
  const path = identityPaths(joinPath(dir, "n1")).client;
  const clock = new FakeClock(Date.now());
  const certificate = new RotatingCertificate({ path, clock, request: { signerName: "kubernetes.io/kube-apiserver-client-kubelet", nodeName: "n1" } }, await loadCertificate(path));
  const renewed = Promise.withResolvers<void>();
  certificate.onChange(renewed.resolve);
  const done = new AbortController();
  const kept = certificate.keepFresh(server.client, done.signal);
  await clock.advance(60_000);
  const before = asked.length;
  clock.jump(3_600_000);
  await clock.advance(60_000);
  await renewed.promise;
  expect(asked.length).toBe(before + 1);
  done.abort();
  await kept;
});
