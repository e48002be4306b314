// Certificate requests: approves those a node may make for itself, signs what is approved, and clears away what is old.
// Which usages and names each signer allows is `certificaterules.ts`'s business; keys stay with whoever gives `signCertificate`.
import { keyOf, type Informer } from "../../api/client/informer.ts";
import { orAbsent } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { CertificateSigningRequest, Node, Stored } from "../../api/types.ts";
import { timestamp } from "../../lib/clock.ts";
import { readRequest } from "../pki/certificates.ts";
import { forgetAt, isTrue, NODE_CLIENT, NODE_SERVING, refusal, USAGES, type Csr } from "./certificaterules.ts";
import { KindController, type Controller, type ControllerDeps, type ControllerSettings } from "./controller.ts";
import { isSame } from "./template.ts";

const CSR = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const NODE = builtinKind("", "v1", "Node");
const YEAR_MS = 365 * 86_400_000;
const NODE_USER = "system:node:";

export const certificateApprover = (deps: ControllerDeps): Controller => new Approver(deps, "certificatesigningrequest-approving-controller");
export const certificateSigner = (deps: ControllerDeps): Controller => new Signer(deps, "certificatesigningrequest-signing-controller");
export const certificateCleaner = (deps: ControllerDeps): Controller => new Cleaner(deps, "certificatesigningrequest-cleaner-controller");

/** One of three things done about requests, each of which can be left to others. */
abstract class Certificates extends KindController<CertificateSigningRequest> {
  constructor(protected readonly deps: ControllerDeps, name: string) {
    super(deps, { name, kind: CSR, client: "certificate-controller", workers: 2 });
  }

  protected abstract handle(request: Csr): Promise<void>;

  protected async reconcile(key: string): Promise<void> {
    const request = this.objects.lister.get(key);
    if (request) await this.handle(request);
  }

  protected async write(request: Csr, status: NonNullable<Csr["status"]>, subresource: "approval" | "status"): Promise<void> {
    await this.client.update<CertificateSigningRequest>(CSR, { ...request, status: { ...request.status, ...status } }, { subresource });
  }

  protected withCondition(request: Csr, condition: { type: string; reason: string; message: string }): NonNullable<Csr["status"]> {
    const now = timestamp(this.clock.now());
    return { conditions: [...(request.status?.conditions ?? []), { ...condition, status: "True", lastUpdateTime: now, lastTransitionTime: now }] };
  }
}

/** Only what a node asks for itself is approved without a person. */
class Approver extends Certificates {
  readonly #nodes: Informer<Node>;

  constructor(deps: ControllerDeps, name: string) {
    super(deps, name);
    this.#nodes = deps.informers.for<Node>(NODE);
    // A node asks for its serving certificate before its addresses are known.
    const changed = ({ metadata }: Stored<Node>): void => {
      const waiting = this.objects.lister.list().filter(({ spec, status }) => spec.username === NODE_USER + metadata.name && !status?.conditions?.length);
      for (const request of waiting) this.queue.add(keyOf(request));
    };
    this.#nodes.addHandler({ add: changed, update: (node, old) => (isSame(node.status?.addresses, old.status?.addresses) ? undefined : changed(node)) });
  }

  protected async handle(request: Csr): Promise<void> {
    if (request.status?.certificate !== undefined || isTrue(request, "Approved") || isTrue(request, "Denied") || isTrue(request, "Failed")) return;
    const message = await this.#approval(request);
    if (message) await this.write(request, this.withCondition(request, { type: "Approved", reason: "AutoApproved", message }), "approval");
  }

  /** Why it is approved; undefined when that is for somebody else to say. */
  async #approval({ spec }: Csr): Promise<string | undefined> {
    if (spec.signerName !== NODE_CLIENT && spec.signerName !== NODE_SERVING) return undefined;
    const names = await readRequest(pemOf(spec)).catch(() => undefined);
    if (!names || refusal(spec, names) !== undefined) return undefined;
    if (spec.signerName === NODE_CLIENT) return this.#clientApproval(spec, spec.username === names.commonName);
    if (spec.username !== names.commonName) return undefined;
    const known = new Set(this.#nodes.lister.get(names.commonName.slice(NODE_USER.length))?.status?.addresses?.map(({ address }) => address));
    return [...names.dnsNames, ...names.ipAddresses].every((name) => known.has(name)) ? "Auto approving kubelet serving certificate for the node's own addresses." : undefined;
  }

  /** For itself, or for any node: two rights, which roles give. */
  async #clientApproval(spec: Csr["spec"], isSelf: boolean): Promise<string | undefined> {
    const may: NonNullable<ControllerSettings["mayRequest"]> = this.deps.settings.mayRequest ?? (async (who, right) => right === "selfnodeclient" || (who.groups ?? []).includes("system:bootstrappers"));
    if (isSelf && (await may(spec, "selfnodeclient"))) return "Auto approving self kubelet client certificate after SubjectAccessReview.";
    return (await may(spec, "nodeclient")) ? "Auto approving kubelet client certificate after SubjectAccessReview." : undefined;
  }
}

/** Signs what was approved; says why when it must not. */
class Signer extends Certificates {
  protected async handle(request: Csr): Promise<void> {
    const sign = this.deps.settings.signCertificate;
    const { spec } = request;
    const usages = USAGES[spec.signerName];
    if (!sign || !usages || request.status?.certificate !== undefined || !isTrue(request, "Approved") || isTrue(request, "Denied") || isTrue(request, "Failed")) return;
    const message = refusal(spec, await readRequest(pemOf(spec)));
    if (message !== undefined) return this.write(request, this.withCondition(request, { type: "Failed", reason: "SignerValidationFailure", message }), "status");
    const certPem = await sign({ csrPem: pemOf(spec), usages, lifetimeMs: Math.min(YEAR_MS, (spec.expirationSeconds ?? Infinity) * 1000) });
    await this.write(request, { certificate: Buffer.from(certPem).toString("base64") }, "status");
  }
}

/** Forgets requests about which nothing is left to do. */
class Cleaner extends Certificates {
  protected async handle(request: Csr): Promise<void> {
    const { name, uid } = request.metadata;
    const left = forgetAt(request) - this.clock.now();
    if (left > 0 && left < Infinity) this.queue.addAfter(keyOf(request), left);
    else if (left <= 0) await orAbsent(this.client.delete(CSR, { name }, { preconditions: { uid } }));
  }
}

function pemOf({ request }: Csr["spec"]): string {
  return Buffer.from(request, "base64").toString();
}
