// What each signer signs, in upstream's words, and how long requests are kept. Pure.
// Rules: k8s.io/kubernetes/pkg/apis/certificates, pkg/controller/certificates/{signer,cleaner}.
import type { CertificateSigningRequest, Stored } from "../../api/types.ts";
import type { RequestedNames } from "../pki/certificates.ts";

export type Csr = Stored<CertificateSigningRequest>;

export const NODE_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet";
export const NODE_SERVING = "kubernetes.io/kubelet-serving";
const ANY_CLIENT = "kubernetes.io/kube-apiserver-client";
/** What a certificate of each signer is for. */
export const USAGES: Readonly<Record<string, readonly string[]>> = { [NODE_CLIENT]: ["client auth"], [NODE_SERVING]: ["server auth"], [ANY_CLIENT]: ["client auth"] };
const NODE_NAME = "system:node:";
const HOUR_MS = 3_600_000;

/** Why a signer does not sign this, in upstream's words; undefined when it does. */
export function refusal({ signerName, usages = [] }: Csr["spec"], names: RequestedNames): string | undefined {
  if (signerName === ANY_CLIENT) return wrongClientUsage(usages);
  const wanted = USAGES[signerName]?.[0] ?? "";
  return wrongNames(signerName, names) ?? (hasExactly(usages, wanted) ? undefined : `usages did not match [${[wanted, "digital signature", "key encipherment"].toSorted().join(" ")}]`);
}

/** Whether a condition of this type holds. */
export function isTrue({ status }: Csr, type: string): boolean {
  return status?.conditions?.some((condition) => condition.type === type && condition.status === "True") ?? false;
}

/** When nobody needs the request any more: an hour after what became of it, a day where nothing did. */
export function forgetAt(request: Csr): number {
  const { conditions = [], certificate } = request.status ?? {};
  const decided = conditions.map(({ type, lastUpdateTime }) => Date.parse(lastUpdateTime ?? "") + (type === "Approved" && !certificate ? 24 : 1) * HOUR_MS).filter((time) => !Number.isNaN(time));
  return conditions.length === 0 ? Date.parse(request.metadata.creationTimestamp) + 24 * HOUR_MS : Math.min(...decided);
}

function wrongClientUsage(usages: readonly string[]): string | undefined {
  const wrong = usages.find((usage) => !["client auth", "digital signature", "key encipherment"].includes(usage));
  if (wrong !== undefined) return `invalid usage for client certificate: ${wrong}`;
  return usages.includes("client auth") ? undefined : "missing required usage for client certificate: client auth";
}

function wrongNames(signerName: string, { commonName, organizations, dnsNames, ipAddresses, emails, uris }: RequestedNames): string | undefined {
  const serves = signerName === NODE_SERVING;
  if (organizations.length !== 1 || organizations[0] !== "system:nodes") return "subject organization is not system:nodes";
  if (serves && dnsNames.length + ipAddresses.length === 0) return "DNS or IP subjectAltName is required";
  if (!serves && dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (emails.length > 0) return "Email subjectAltNames are not allowed";
  if (!serves && ipAddresses.length > 0) return "IP subjectAltNames are not allowed";
  if (uris.length > 0) return "URI subjectAltNames are not allowed";
  return commonName.startsWith(NODE_NAME) ? undefined : "subject common name does not begin with system:node:";
}

/** With or without what only RSA keys need. */
function hasExactly(usages: readonly string[], wanted: string): boolean {
  const asked = new Set(usages.filter((usage) => usage !== "key encipherment"));
  return asked.size === 2 && asked.has("digital signature") && asked.has(wanted);
}
