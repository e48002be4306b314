// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { expect, test } from "bun:test";
import { builtinKind } from "../../../../api/registry.ts";
import type { CertificateSigningRequest } from "../../../../api/types.ts";
import { createStrategies } from "../index.ts";
import { call, startTestServer } from "../../testing.ts";

const REQUESTS = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests/ann";

async function pem(): Promise<string> {
  const keys = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])) as CryptoKeyPair;
  return (await x509.Pkcs10CertificateRequestGenerator.create({ name: "CN=ann", keys, signingAlgorithm: { name: "ECDSA", hash: "SHA-256" } })).toString("pem");
}

test.each([["an empty list", { conditions: [] }], ["none", {}]])("an approval is not taken back by %s of conditions", async (_, status) => {
  const server = await startTestServer({ http: true, strategies: createStrategies({ serviceCidrs: ["10.96.0.0/16"] }) });
  try {
    const made = await server.client.create<CertificateSigningRequest>(REQUESTS, { metadata: { name: "ann" }, spec: { request: Buffer.from(await pem()).toString("base64"), signerName: "kubernetes.io/kube-apiserver-client", usages: ["client auth"] } });
    const approved = await call(server, "PUT", `${PATH}/approval`, { body: { ...made, status: { conditions: [{ type: "Approved", status: "True", reason: "Fine", message: "" }] } } });
    expect(approved.status).toBe(200);
    const taken = await call(server, "PUT", `${PATH}/approval`, { body: { ...approved.body, status } });
    expect(taken.body).toMatchObject({ code: 422, message: 'CertificateSigningRequest.certificates.k8s.io "ann" is invalid: status.conditions: Forbidden: updates may not remove a condition of type "Approved"' });
  } finally {
    await server.stop();
  }
});
