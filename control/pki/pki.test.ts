// The certificate library needs its metadata store before it is loaded.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import { afterAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";
import { createAuthority, DAY_MS, isDueForRenewal, issue, readRequest, signRequest, validity } from "./certificates.ts";
import { FakeClock } from "../../lib/clock.ts";
import { openPki } from "./pki.ts";

const root = mkdtempSync(join(tmpdir(), "minik8s-pki-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const served = { dnsNames: ["kubernetes", "localhost"], ipAddresses: ["127.0.0.1", "10.96.0.1"] };
const names = { names: () => served };

async function aRequest(name: string): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name, keys, signingAlgorithm: algorithm, extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: "n1" }, { type: "ip", value: "10.0.0.1" }])] });
  return request.toString("pem");
}

test("a leaf is signed by its authority and names what was asked for", async () => {
  const authority = await createAuthority("test-ca", DAY_MS);
  const leaf = new X509Certificate((await issue(authority, { commonName: "system:node:n1", organizations: ["system:nodes"], dnsNames: ["n1"], ipAddresses: ["10.0.0.1"], usages: ["client auth", "server auth"], lifetimeMs: DAY_MS })).certPem);
  expect(leaf.verify(new X509Certificate(authority.certPem).publicKey)).toBe(true);
  expect(leaf.subject).toBe("O=system:nodes\nCN=system:node:n1");
  expect(leaf.checkHost("n1")).toBe("n1");
  expect(leaf.checkIP("10.0.0.1")).toBe("10.0.0.1");
  expect(leaf.ca).toBe(false);
});

test("a leaf never outlives its authority", async () => {
  const authority = await createAuthority("test-ca", DAY_MS);
  const leaf = await issue(authority, { commonName: "x", usages: ["client auth"], lifetimeMs: 400 * DAY_MS });
  expect(validity(leaf.certPem).notAfter).toBe(validity(authority.certPem).notAfter);
});

test("a signed request keeps its subject and names, and a broken one is refused", async () => {
  const authority = await createAuthority("test-ca", DAY_MS);
  const request = await aRequest("O=system:nodes,CN=system:node:n1");
  const certificate = new X509Certificate(await signRequest(authority, request, { usages: ["server auth"], lifetimeMs: DAY_MS }));
  expect(certificate.subject).toBe("O=system:nodes\nCN=system:node:n1");
  expect(certificate.subjectAltName).toBe("DNS:n1, IP Address:10.0.0.1");
  await expect(readRequest("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----")).rejects.toThrow();
});

test("four fifths into its life a certificate is due", async () => {
  const authority = await createAuthority("test-ca", 100 * DAY_MS, 0);
  expect(isDueForRenewal(authority.certPem, 79 * DAY_MS)).toBe(false);
  expect(isDueForRenewal(authority.certPem, 81 * DAY_MS)).toBe(true);
});

test("a second start finds the same authority and certificates, and keys are private", async () => {
  const directory = join(root, "again");
  const first = await openPki({ directory, ...names });
  const second = await openPki({ directory, ...names });
  expect(second.roots).toEqual(first.roots);
  expect(second.leaf("apiserver")).toEqual(first.leaf("apiserver"));
  for (const key of ["ca.key", "sa.key", "admin.key"]) expect(statSync(join(directory, key)).mode & 0o777).toBe(0o600);
});

test("another address gives the API server a new certificate from the same authority", async () => {
  const directory = join(root, "moved");
  const first = await openPki({ directory, ...names });
  const moved = await openPki({ directory, names: () => ({ ...served, ipAddresses: ["192.0.2.7"] }) });
  expect(moved.roots).toEqual(first.roots);
  expect(new X509Certificate(moved.leaf("apiserver").certPem).checkIP("192.0.2.7")).toBe("192.0.2.7");
  expect(moved.leaf("admin")).toEqual(first.leaf("admin"));
});

test("certificates near their end, or for another address, are replaced while running, and listeners hear of it", async () => {
  const clock = new FakeClock(Date.now());
  let ipAddresses = ["192.0.2.1"];
  const pki = await openPki({ directory: join(root, "aging"), names: () => ({ ...served, ipAddresses }), clock });
  const before = pki.leaf("apiserver");
  const renewed: string[] = [];
  pki.onRenewed((name) => renewed.push(name));
  await pki.renew();
  expect(renewed).toEqual([]);
  ipAddresses = ["192.0.2.2"];
  await pki.renew();
  expect(renewed.splice(0)).toEqual(["apiserver"]);
  expect(new X509Certificate(pki.leaf("apiserver").certPem).checkIP("192.0.2.2")).toBe("192.0.2.2");
  await clock.advance(300 * DAY_MS);
  await pki.renew();
  expect(renewed.toSorted()).toEqual(["admin", "apiserver", "front-proxy-client", "kubelet-client"]);
  expect(validity(pki.leaf("apiserver").certPem).notAfter).toBeGreaterThan(validity(before.certPem).notAfter);
});

test("a control plane that was off past the end of its certificates starts with new ones of the same authority", async () => {
  const directory = join(root, "off");
  const clock = new FakeClock(Date.now());
  const before = await openPki({ directory, ...names, clock });
  await clock.advance(3 * 365 * DAY_MS);
  const after = await openPki({ directory, ...names, clock });
  expect(after.roots).toEqual(before.roots);
  for (const { name, notAfter } of after.expirations()) expect([name, notAfter > clock.now()]).toEqual([name, true]);
  expect(validity(before.leaf("admin").certPem).notAfter).toBeLessThan(clock.now());
});
