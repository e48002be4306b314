// What a node may ask to be signed: certificates in its own name only.
import { readRequest } from "../../pki/certificates.ts";
import { refuse } from "./attributes.ts";
import type { Attributes } from "./plugin.ts";

const NODE_SIGNERS = ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];

/** Refuses a node's request for another name. */
export async function restrictNodeRequest(nodeName: string, attributes: Attributes): Promise<void> {
  const { signerName, request } = (attributes.object?.["spec"] ?? {}) as { signerName?: string; request?: string };
  if (attributes.operation !== "CREATE" || !NODE_SIGNERS.includes(signerName ?? "")) return;
  const { commonName } = await readRequest(Buffer.from(request ?? "", "base64").toString()).catch((error: unknown) => {
    throw refuse(attributes, `unable to parse csr: ${(error as Error).message}`);
  });
  if (commonName !== `system:node:${nodeName}`) throw refuse(attributes, `can only create a node CSR with CN=system:node:${nodeName}`);
}
