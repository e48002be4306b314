// A key of the node's own and a certificate for it, asked of the cluster by a CertificateSigningRequest.
// What the certificate is for and where it is kept is decided by the callers.
// The certificate library needs its metadata store before it is loaded.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Client } from "../../api/client/client.ts";
import type { ClientCertificate } from "../../api/client/transport.ts";
import { builtinKind } from "../../api/registry.ts";
import type { CertificateSigningRequest, Stored } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";

const log = logger("node-certificates");
const CSR = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const WATCH_SECONDS = 300;
const RETRY_MS = 500;

/** The cluster will not issue this certificate; the message says what it answered. */
export class CsrError extends Error {
  override readonly name = "CsrError";
}

/** A certificate a node may ask for. */
export interface NodeCertificateRequest {
  readonly signerName: "kubernetes.io/kube-apiserver-client-kubelet" | "kubernetes.io/kubelet-serving";
  readonly nodeName: string;
  /** Names and addresses a serving certificate is good for. */
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

/** Asks for a certificate and waits until it is issued; rejects with CsrError when it is denied or the signal aborts. */
export async function requestCertificate({ client, clock }: { client: Client; clock: Clock }, request: NodeCertificateRequest, signal: AbortSignal): Promise<ClientCertificate> {
  const { requestPem, keyPem } = await makeRequest(request);
  const usage = request.signerName === "kubernetes.io/kubelet-serving" ? "server auth" : "client auth";
  const created = await client.create<CertificateSigningRequest>(CSR, {
    apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest",
    metadata: { generateName: "csr-" },
    spec: { request: Buffer.from(requestPem).toString("base64"), signerName: request.signerName, usages: ["digital signature", usage] },
  });
  log.info({ csr: created.metadata.name, signer: request.signerName }, "asked for a certificate");
  return { keyPem, certPem: await issued({ client, clock }, created, signal) };
}

async function makeRequest({ nodeName, dnsNames = [], ipAddresses = [] }: NodeCertificateRequest): Promise<{ requestPem: string; keyPem: string }> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const names = [...dnsNames.map((value) => ({ type: "dns" as const, value })), ...ipAddresses.map((value) => ({ type: "ip" as const, value }))];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ O: ["system:nodes"] }, { CN: [`system:node:${nodeName}`] }],
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : [],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { requestPem: request.toString("pem"), keyPem: `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n` };
}

async function issued({ client, clock }: { client: Client; clock: Clock }, created: Stored<CertificateSigningRequest>, signal: AbortSignal): Promise<string> {
  const { name } = created.metadata;
  while (!signal.aborted) {
    const current = await client.get<CertificateSigningRequest>(CSR, { name });
    const certificate = outcome(current);
    if (certificate !== undefined) return certificate;
    const watch = client.watch<CertificateSigningRequest>(CSR, { fieldSelector: `metadata.name=${name}`, resourceVersion: current.metadata.resourceVersion, timeoutSeconds: WATCH_SECONDS, signal });
    try {
      for await (const event of watch) {
        if (event.type === "BOOKMARK") continue;
        const found = outcome(event.object);
        if (found !== undefined) return found;
      }
    } catch (error) {
      if (error instanceof CsrError) throw error;
      log.debug({ err: error }, "waiting for a certificate was interrupted");
    }
    await clock.sleep(RETRY_MS, signal);
  }
  throw new CsrError(`gave up waiting for certificate request ${name}`);
}

function outcome(csr: CertificateSigningRequest): string | undefined {
  const refused = csr.status?.conditions?.find(({ type }) => type === "Denied" || type === "Failed");
  if (refused) throw new CsrError(`certificate request ${csr.metadata.name} was ${refused.type === "Denied" ? "denied" : "not signed"}: ${refused.message || refused.reason || "no reason was given"}`);
  return csr.status?.certificate ? Buffer.from(csr.status.certificate, "base64").toString("utf8") : undefined;
}
