// Requests for certificates in bad weather: what is approved is signed once, what must not be is not, and all are forgotten in time.
import { describe } from "bun:test";
// The certificate library needs its metadata store before it is loaded.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { builtinKind } from "../../../api/registry.ts";
import type { CertificateSigningRequest, Stored } from "../../../api/types.ts";
import { plays, type Script } from "./play.suite.ts";
import { check, unlessRefused, type World } from "./world.suite.ts";

const CSR = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const CLIENT = "kubernetes.io/kube-apiserver-client";
const CONTROLLERS = ["certificatesigningrequest-approving-controller", "certificatesigningrequest-signing-controller", "certificatesigningrequest-cleaner-controller"];

async function aRequest(): Promise<string> {
  const keys = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"])) as CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({ name: "CN=ann", keys, signingAlgorithm: { name: "ECDSA", hash: "SHA-256" } });
  return Buffer.from(request.toString("pem")).toString("base64");
}

/** As `kubectl certificate approve` and `deny`. */
async function decide(world: World, request: Stored<CertificateSigningRequest>, type: "Approved" | "Denied"): Promise<void> {
  if (request.status?.conditions?.length) return;
  const conditions = [{ type, status: "True", reason: "Person" }];
  await unlessRefused(world.api.update<CertificateSigningRequest>(CSR, { ...request, status: { ...request.status, conditions } }, { subresource: "approval" }));
}

describe("in bad weather", () => {
  const pem = aRequest();

  plays("requests for certificates are signed only when they are approved and may be, and are all forgotten in time", {
    controllers: CONTROLLERS, settings: { signCertificate: async () => "PEM" }, stepMs: 20 * 60_000,
    script: async (world): Promise<Script> => {
      const request = await pem;
      let made = 0;
      const ask = (usages: string[]): Promise<unknown> => unlessRefused(world.create<CertificateSigningRequest>(CSR, { metadata: { name: `csr-${made++}` }, spec: { request, signerName: CLIENT, usages } } as CertificateSigningRequest));
      const some = async (type: "Approved" | "Denied"): Promise<void> => {
        const all = await world.list<CertificateSigningRequest>(CSR);
        if (all.length > 0) await decide(world, world.pick(all), type);
      };
      const outcomes = async (): Promise<void> => {
        for (const { metadata, spec, status } of await world.list<CertificateSigningRequest>(CSR)) {
          const types = (status?.conditions ?? []).map(({ type }) => type).join();
          const mustNot = spec.usages?.includes("server auth") === true;
          check(world, !status?.certificate || (types === "Approved" && !mustNot), `${metadata.name} has a certificate and is ${types}`);
        }
      };
      return {
        actions: [
          ["a request", () => ask(["client auth"])],
          ["a request nobody may sign", () => ask(["client auth", "server auth"])],
          ["one is approved", () => some("Approved")],
          ["one is denied", () => some("Denied")],
        ],
        always: async () => {
          await Bun.sleep(2);
          await outcomes();
        },
        tend: async () => {
          // Signatures are really checked, which no pretended time waits for.
          await Bun.sleep(10);
          await world.pass(3 * 3_600_000);
        },
        atRest: async () => {
          await world.pass(25 * 3_600_000);
          const left = await world.list(CSR);
          check(world, left.length === 0, `requests are left: ${left.map(({ metadata }) => metadata.name).join(", ")}`);
        },
      };
    },
  });
});
