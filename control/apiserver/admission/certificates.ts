// CertificateApproval, CertificateSigning, CertificateSubjectRestriction: who may approve and sign for which signer.
import { readRequest } from "../../pki/certificates.ts";
import type { Authorizer } from "../auth/auth.ts";
import { isEqual } from "../kinds/validation/values.ts";
import { isOn, refuse } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";

const RESOURCE = "certificatesigningrequests";
const CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client";
const MASTERS = "system:masters";

/** The three plugins about certificates. */
export function certificatePlugins(authorizer: Authorizer): AdmissionPlugin[] {
  return [
    {
      name: "CertificateApproval",
      concerns: (door) => isOn(door, RESOURCE, ["UPDATE"], "approval"),
      validate: async (attributes) => {
        if (!(await mayFor(authorizer, attributes, "approve"))) throw refuse(attributes, `user not permitted to approve requests with signerName ${JSON.stringify(signerOf(attributes))}`);
      },
    },
    {
      name: "CertificateSigning",
      concerns: (door) => isOn(door, RESOURCE, ["UPDATE"], "status"),
      validate: async (attributes) => {
        const { object, oldObject } = attributes;
        if (isEqual(object?.["status"]?.certificate, oldObject?.["status"]?.certificate) && isEqual(object?.["status"]?.conditions, oldObject?.["status"]?.conditions)) return;
        if (!(await mayFor(authorizer, attributes, "sign"))) throw refuse(attributes, `user not permitted to sign requests with signerName ${JSON.stringify(signerOf(attributes))}`);
      },
    },
    {
      name: "CertificateSubjectRestriction",
      concerns: (door) => isOn(door, RESOURCE, ["CREATE"]),
      handles: ({ object }) => object?.["spec"]?.signerName === CLIENT_SIGNER,
      validate: async (attributes) => {
        const { organizations } = await readRequest(Buffer.from(String(attributes.object?.["spec"]?.request ?? ""), "base64").toString()).catch((error: unknown) => {
          throw refuse(attributes, `failed to parse CSR: ${(error as Error).message}`);
        });
        if (organizations.includes(MASTERS)) throw refuse(attributes, `use of ${CLIENT_SIGNER} signer with ${MASTERS} group is not allowed`);
      },
    },
  ];
}

function signerOf({ oldObject }: Attributes): string {
  return String(oldObject?.["spec"]?.signerName ?? "");
}

/** Rights are given for one signer, or for all of a domain. */
async function mayFor(authorizer: Authorizer, attributes: Attributes, verb: string): Promise<boolean> {
  const signer = signerOf(attributes);
  for (const name of [signer, `${signer.split("/")[0]}/*`]) {
    const { allowed } = await authorizer.authorize({ user: attributes.user, verb, group: "certificates.k8s.io", version: "*", resource: "signers", subresource: "", namespace: "", name });
    if (allowed) return true;
  }
  return false;
}
