// A node server on a fake runtime with throw-away certificates, for this folder's tests.
// Not used by the product.
// The certificate library needs it, and does not bring it.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import { PemConverter, X509CertificateGenerator } from "@peculiar/x509";
import type { Pod } from "../../api/types.ts";
import { systemClock } from "../../lib/clock.ts";
import { FakeRuntime } from "../runtime/fake.ts";
import { aContainer, aSandbox } from "../runtime/runtime.suite.ts";
import type { NodeAuthority } from "./access.ts";
import { type AnsweredRequest, NodeServer, type NodeServerOptions, type ServingCertificate } from "./server.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A self-signed certificate of an hour's life. */
export async function testCertificate(name: string): Promise<ServingCertificate> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned({ name: `CN=${name}`, keys, signingAlgorithm: ALGORITHM, notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) });
  return { cert: certificate.toString("pem"), key: PemConverter.encode(await crypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY") };
}

/** Lets in whoever brings the token `secret`. */
export const tokenAuthority: NodeAuthority = {
  authenticate: ({ bearerToken }) => Promise.resolve(bearerToken === "secret" || bearerToken === "weak" ? { name: bearerToken, groups: [] } : undefined),
  isAllowed: ({ user }) => Promise.resolve(user.name === "secret"),
};

/** A served node with the pod `default/web` whose container `app` runs. */
export async function serveNode(overrides: Partial<NodeServerOptions> & { readonly logDirectory?: string } = {}): Promise<{ server: NodeServer; runtime: FakeRuntime; containerId: string; pod: Pod; url: string; requests: AnsweredRequest[] }> {
  const runtime = new FakeRuntime({ writeLogs: overrides.logDirectory !== undefined });
  runtime.addImage("app:1");
  const config = aSandbox({ name: "web", namespace: "default", uid: "uid-web", logDirectory: overrides.logDirectory ?? "/nonexistent" });
  const sandbox = await runtime.pods.runSandbox(config);
  const containerId = await runtime.pods.createContainer(sandbox, aContainer({ image: "app:1", name: "app", command: ["sh", "-c", "echo one; echo two; sleep infinity"], labels: { "io.kubernetes.pod.uid": "uid-web", "io.kubernetes.container.name": "app" } }), config);
  await runtime.pods.startContainer(containerId);
  const pod = {
    metadata: { name: "web", namespace: "default", uid: "uid-web" },
    spec: { containers: [{ name: "app", image: "app:1" }] },
    status: { containerStatuses: [{ name: "app", image: "app:1", imageID: "", ready: true, restartCount: 0, containerID: `fake://${containerId}`, state: { running: { startedAt: "2026-01-31T12:00:00Z" } } }] },
  } satisfies Pod;
  const requests: AnsweredRequest[] = [];
  const server = new NodeServer({
    runtime, authority: tokenAuthority, clock: systemClock, address: "127.0.0.1", port: 0,
    pods: { list: () => [pod], get: (namespace, name) => (namespace === "default" && name === "web" ? pod : undefined) },
    certificate: await testCertificate("node"),
    pages: { "/configz": { type: "json", body: () => ({ kubeletconfig: {} }) }, "/metrics": { type: "text", body: () => "up 1\n" } },
    health: {}, onRequest: (request) => requests.push(request), ...overrides,
  });
  await server.start();
  return { server, requests, runtime, containerId, pod, url: `https://127.0.0.1:${server.port}` };
}
