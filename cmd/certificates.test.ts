import { afterAll, beforeAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expiryOf, identityPaths, renewalTime, RotatingCertificate, type Overdue } from "../agent/kubelet/identity.ts";
import { createInformers } from "../api/client/informers.ts";
import { BackgroundEventRecorder } from "../api/client/recorder.ts";
import type { Client } from "../api/client/client.ts";
import { KindRegistry, builtinKind } from "../api/registry.ts";
import type { Event } from "../api/types.ts";
import { CertificateAuthenticator } from "../control/apiserver/auth/x509.ts";
import { startTestServer, type TestServer } from "../control/apiserver/testing.ts";
import { certificateApprover, certificateSigner } from "../control/controllers/certificates.ts";
import { runControllers } from "../control/controllers/index.ts";
import type { Requester } from "../control/controllers/controller.ts";
import { createStrategies } from "../control/apiserver/kinds/index.ts";
import { DAY_MS, signRequest, validity, type Usage } from "../control/pki/certificates.ts";
import { expirationFigures, expirationWarnings } from "../control/pki/expiry.ts";
import { openPki, type Pki } from "../control/pki/pki.ts";
import { FakeClock, systemClock } from "../lib/clock.ts";
import { eventually, TEST_TIMEOUT_MS } from "../lib/testing.ts";
import { keepCertificates } from "./certificates.ts";

const YEAR_DAYS = 365;
const directory = mkdtempSync(join(tmpdir(), "minik8s-certificates-"));
const clock = new FakeClock(Date.now());
const running = new AbortController();
const names = () => ({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
let pki: Pki;
let server: TestServer;

beforeAll(async () => {
  pki = await openPki({ directory: join(directory, "pki"), names, clock });
  server = await startTestServer({ strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }) });
  const informers = createInformers(server.client, systemClock);
  const deps = {
    informers, clock: systemClock, kinds: new KindRegistry(), clientFor: () => server.client, recorderFor: (component: string) => new BackgroundEventRecorder({ client: server.client, component, clock: systemClock }),
    settings: { mayRequest: async ({ groups = [] }: Requester, right: string) => groups.includes(right === "nodeclient" ? "system:bootstrappers:good" : "system:nodes"), signCertificate: ({ csrPem, usages, lifetimeMs }: { csrPem: string; usages: readonly string[]; lifetimeMs: number }) => signRequest(pki.roots.authority, csrPem, { usages: usages as Usage[], lifetimeMs, now: clock.now() }) },
  } as unknown as Parameters<typeof certificateApprover>[0];
  void runControllers(deps, [certificateApprover(deps), certificateSigner(deps)], running.signal);
});

afterAll(async () => {
  running.abort();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const asNode = (): Client => server.server.localClient({ name: "system:node:n1", groups: ["system:nodes", "system:authenticated"] });
const asBootstrapper = (): Client => server.server.localClient({ name: "system:bootstrap:abcdef", groups: ["system:bootstrappers", "system:bootstrappers:good", "system:authenticated"] });
const aCertificate = (): RotatingCertificate => new RotatingCertificate({ path: identityPaths(directory).client, clock, request: { signerName: "kubernetes.io/kube-apiserver-client-kubelet", nodeName: "n1" } });

/** Whether the API server lets this certificate in today, and as whom. */
function userOf(certPem: string): string | undefined {
  const authenticator = new CertificateAuthenticator({ authorities: [pki.roots.authority.certPem], clock });
  try {
    return authenticator.authenticate({ peerCertificate: new X509Certificate(certPem).raw })?.name;
  } catch {
    return undefined;
  }
}

/** Day by day, with time for what really takes some: making keys and signing. */
async function live(days: number, daily: () => Promise<void> | void): Promise<void> {
  for (let day = 0; day < days; day++) {
    await clock.advance(DAY_MS);
    await Bun.sleep(2);
    await daily();
  }
}

test("a cluster lives through years: everything it shows is good on every single day, and nobody does anything", async () => {
  const node = aCertificate();
  await node.renew(asBootstrapper(), running.signal);
  const life = new AbortController();
  const keeping = node.keepFresh(asNode(), life.signal);
  const seen = new Set([node.current?.certPem]);
  await live(3 * YEAR_DAYS, async () => {
    await pki.renew();
    // Signing takes as long as it takes, however few milliseconds a day has here.
    await eventually("a new certificate", () => clock.now() <= renewalTime(node.current?.certPem ?? "", 1), 2);
    seen.add(node.current?.certPem);
    expect(userOf(node.current?.certPem ?? "")).toBe("system:node:n1");
    expect(userOf(pki.leaf("admin").certPem)).toBe("kubernetes-admin");
    for (const { notAfter } of pki.expirations()) expect(notAfter - clock.now()).toBeGreaterThan(30 * DAY_MS);
  });
  life.abort();
  await keeping;
  expect(seen.size).toBeGreaterThan(3);
  expect(await aCertificate().load()).toBe(true);
}, TEST_TIMEOUT_MS);

test("a request is approved only for who has the right to it: for itself, or for any node", async () => {
  const asked = new AbortController();
  const node = new RotatingCertificate({ ...aCertificate().options, path: join(directory, "refused.pem") });
  const eve = server.server.localClient({ name: "system:bootstrap:eve", groups: ["system:bootstrappers", "system:authenticated"] });
  const waiting = node.renew(eve, asked.signal).then(() => "issued", () => "given up");
  const other = new RotatingCertificate({ ...node.options, path: join(directory, "other.pem"), request: { ...node.options.request, nodeName: "n2" } });
  const waitingToo = other.renew(asNode(), asked.signal).then(() => "issued", () => "given up");
  await new RotatingCertificate({ ...node.options, path: join(directory, "good.pem") }).renew(asNode(), running.signal);
  await Bun.sleep(200);
  asked.abort();
  expect(await Promise.all([waiting, waitingToo])).toEqual(["given up", "given up"]);
});

test("a node that was off past the end of its certificate says so, and comes back with a token", async () => {
  await live(2 * YEAR_DAYS, () => pki.renew());
  const node = aCertificate();
  expect(await node.load()).toBe(false);
  expect(node.ended).toBeLessThan(clock.now());
  await node.renew(asBootstrapper(), running.signal);
  expect(userOf(node.current?.certPem ?? "")).toBe("system:node:n1");
}, TEST_TIMEOUT_MS);

test("a control plane that was off past the end of its certificates lets the same nodes in as before", async () => {
  const node = aCertificate();
  expect(await node.load()).toBe(true);
  const admin = pki.leaf("admin").certPem;
  await clock.advance(validity(admin).notAfter - clock.now() - DAY_MS);
  expect(userOf(admin)).toBe("kubernetes-admin");
  await clock.advance(2 * DAY_MS);
  expect(userOf(admin)).toBeUndefined();
  pki = await openPki({ directory: join(directory, "pki"), names, clock });
  expect(userOf(pki.leaf("admin").certPem)).toBe("kubernetes-admin");
  expect(userOf(node.current?.certPem ?? "")).toBe("system:node:n1");
  await node.renew(asNode(), running.signal);
});

test("a node that cannot renew goes on trying, and complains once the end is near, as numbers do", async () => {
  const node = aCertificate();
  expect(await node.load()).toBe(true);
  const expiresAt = expiryOf(node.current!);
  const life = new AbortController();
  const complaints: Overdue[] = [];
  const refuses = { create: async () => { throw new Error("no signer"); } } as unknown as Client;
  // Every failure is followed by ten seconds of rest, which would be all of this test.
  const patient = new RotatingCertificate({ ...node.options, clock: { now: () => clock.now(), monotonic: () => clock.monotonic(), sleep: (ms, signal) => clock.sleep(Math.max(ms, DAY_MS / 2), signal) } }, node.current);
  const keeping = patient.keepFresh(refuses, life.signal, (overdue) => void complaints.push(overdue));
  while (clock.now() < expiresAt - 40 * DAY_MS) await live(1, () => {});
  expect(complaints).toEqual([]);
  expect(patient.current).toEqual(node.current!);
  // Making a key for each try takes as long as it takes.
  await eventually("many tries, beyond the end", async () => {
    await live(1, () => {});
    return clock.now() >= expiresAt + DAY_MS && patient.failures > 30;
  }, 0);
  expect(complaints[0]).toMatchObject({ expiresAt, error: { message: "no signer" } });
  life.abort();
  await clock.advance(DAY_MS);
  await keeping;
}, TEST_TIMEOUT_MS);

test("what the control plane cannot renew is told as a number, in the log and as an event, well before its end", async () => {
  const notAfter = clock.now() + 20 * DAY_MS;
  const expirations = [{ name: "apiserver", notAfter }, { name: "admin", notAfter: notAfter + 100 * DAY_MS }, { name: "ca", notAfter: clock.now() + 200 * DAY_MS }];
  expect(expirationFigures(expirations)).toContain(`minik8s_certificate_expiration_timestamp_seconds{name="apiserver"} ${Math.floor(notAfter / 1000)}`);
  const warnings = expirationWarnings(expirations, clock.now());
  expect(warnings).toHaveLength(2);
  expect(warnings[0]).toMatch(/^the certificate apiserver ends on .* and could not be renewed/);
  const life = new AbortController();
  const recorder = new BackgroundEventRecorder({ client: server.client, component: "certificates", clock: systemClock });
  await server.client.create(builtinKind("", "v1", "Namespace"), { metadata: { name: "default" } }).catch(() => {});
  await server.client.create(builtinKind("", "v1", "Namespace"), { metadata: { name: "kube-system" } }).catch(() => {});
  const keeping = keepCertificates({ pki: { expirations: () => expirations, onRenewed: () => {}, keepFresh: async () => {} } as unknown as Pki, client: server.client, recorder, figures: new Set(), clock, use: () => {} }, life.signal);
  const events = await eventually("both events", async () => {
    const expiring = (await server.client.list<Event>(builtinKind("", "v1", "Event"))).items.filter(({ reason }) => reason === "CertificateExpiring");
    return expiring.length >= 2 && expiring;
  });
  expect(events.map(({ type, message }) => [type, message]).toSorted()).toEqual(warnings.map((message) => ["Warning", message]).toSorted());
  life.abort();
  await keeping;
});
