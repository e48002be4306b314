// Node certificates: approves the requests a node may make for itself, signs what is approved, and clears away what is old.
// Which usages and names each signer allows is decided in pure functions below; keys stay with whoever gives `signCertificate`.
import { WorkQueue } from "../../api/client/workqueue.ts";
import type { Client } from "../../api/client/client.ts";
import { keyOf, type Informer } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { CertificateSigningRequest, Node, Stored } from "../../api/types.ts";
import { timestamp, type Clock } from "../../lib/clock.ts";
import { readRequest, type RequestedNames } from "../pki/certificates.ts";
import { isSame } from "./template.ts";
import { controllerOf, telling, type Controller, type ControllerDeps, type ControllerSettings, type SignCertificate } from "./controller.ts";

type Csr = Stored<CertificateSigningRequest>;

const CSR = builtinKind("certificates.k8s.io", "v1", "CertificateSigningRequest");
const NODE = builtinKind("", "v1", "Node");
const NODE_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet";
const NODE_SERVING = "kubernetes.io/kubelet-serving";
const ANY_CLIENT = "kubernetes.io/kube-apiserver-client";
const YEAR_MS = 365 * 86_400_000;
/** Upstream's: requests somebody decided on are forgotten after an hour, pending ones after a day. */
const KEEP_DECIDED_MS = 3_600_000;
const KEEP_PENDING_MS = 24 * 3_600_000;

/** Usages each signer allows and issues; `digital signature` and `key encipherment` go with all of them. */
const USAGES: Readonly<Record<string, readonly string[]>> = { [NODE_CLIENT]: ["client auth"], [NODE_SERVING]: ["server auth"], [ANY_CLIENT]: ["client auth"] };

export const certificateApprover = (deps: ControllerDeps): Controller => new Certificates(deps, "certificatesigningrequest-approving-controller", "approve").controller;
export const certificateSigner = (deps: ControllerDeps): Controller => new Certificates(deps, "certificatesigningrequest-signing-controller", "sign").controller;
export const certificateCleaner = (deps: ControllerDeps): Controller => new Certificates(deps, "certificatesigningrequest-cleaner-controller", "clean").controller;

/** One of three things done about requests, each of which can be left to others. */
class Certificates {
  readonly controller: Controller;
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #sign: SignCertificate | undefined;
  readonly #allowed: ControllerSettings["mayRequest"];
  readonly #requests: Informer<CertificateSigningRequest>;
  readonly #nodes: Informer<Node>;
  readonly #queue: WorkQueue;

  constructor(deps: ControllerDeps, name: string, private readonly part: "approve" | "sign" | "clean") {
    const { informers, clientFor, clock, settings } = deps;
    this.#client = clientFor("certificate-controller");
    this.#clock = clock;
    this.#sign = settings.signCertificate;
    this.#allowed = settings.mayRequest;
    this.#requests = informers.for<CertificateSigningRequest>(CSR);
    this.#nodes = informers.for<Node>(NODE);
    this.#queue = new WorkQueue({ clock });
    const enqueue = (request: Csr): void => this.#queue.add(keyOf(request));
    this.#requests.addHandler({ add: enqueue, update: enqueue });
    if (part === "approve") this.#followNodes();
    this.controller = controllerOf({ name, queue: this.#queue, informers, workers: 2, reconcile: (key) => this.#reconcile(key), subject: telling(deps, name, this.#requests) });
  }

  /** A node asks for its serving certificate before its addresses are known. */
  #followNodes(): void {
    const changed = ({ metadata }: Stored<Node>): void => {
      const waiting = this.#requests.lister.list().filter(({ spec, status }) => spec.username === `system:node:${metadata.name}` && !status?.conditions?.length);
      for (const request of waiting) this.#queue.add(keyOf(request));
    };
    this.#nodes.addHandler({ add: changed, update: (node, old) => (isSame(node.status?.addresses, old.status?.addresses) ? undefined : changed(node)) });
  }

  async #reconcile(key: string): Promise<void> {
    const request = this.#requests.lister.get(key);
    if (!request) return;
    const condition = (type: string): boolean => request.status?.conditions?.some((one) => one.type === type && one.status === "True") ?? false;
    const isDecided = condition("Denied") || condition("Failed") || request.status?.certificate !== undefined;
    if (this.part === "clean") return this.#forgetLater(key, request, isDecided || condition("Approved") ? KEEP_DECIDED_MS : KEEP_PENDING_MS);
    if (isDecided || !USAGES[request.spec.signerName] || condition("Approved") !== (this.part === "sign")) return;
    if (this.part === "sign") return this.#issue(request);
    const verdict = await this.#judge(request);
    if (verdict === "approve") await this.#approve(request);
  }

  /** Only what a node asks for itself is approved without a person. */
  async #judge(request: Csr): Promise<"approve" | "leave"> {
    const { spec } = request;
    const names = await readRequest(pemOf(request)).catch(() => undefined);
    if (!names || !hasUsages(spec)) return "leave";
    if (spec.signerName === NODE_CLIENT) return isNodeClient(names) && (await this.#mayRequest(spec, names.commonName)) ? "approve" : "leave";
    if (spec.signerName !== NODE_SERVING || !isNodeServing(names) || spec.username !== names.commonName) return "leave";
    const addresses = this.#nodes.lister.get(names.commonName.slice("system:node:".length))?.status?.addresses;
    if (!addresses?.length) return "leave";
    const known = new Set(addresses.map(({ address }) => address));
    return [...names.dnsNames, ...names.ipAddresses].every((name) => known.has(name)) ? "approve" : "leave";
  }

  /** For itself, or for any node: two rights, which roles give. */
  async #mayRequest(spec: Csr["spec"], commonName: string): Promise<boolean> {
    const isSelf = spec.username === commonName;
    if (!this.#allowed) return isSelf || (spec.groups ?? []).includes("system:bootstrappers");
    return (isSelf && (await this.#allowed(spec, "selfnodeclient"))) || this.#allowed(spec, "nodeclient");
  }

  async #approve(request: Csr): Promise<void> {
    const now = timestamp(this.#clock.now());
    const condition = { type: "Approved", status: "True", reason: "AutoApproved", message: "Auto approving kubelet certificate after SubjectAccessReview.", lastUpdateTime: now, lastTransitionTime: now };
    await this.#client.update<CertificateSigningRequest>(CSR, { ...request, status: { ...request.status, conditions: [...(request.status?.conditions ?? []), condition] } }, { subresource: "approval" });
  }

  async #issue(request: Csr): Promise<void> {
    if (!this.#sign) return;
    const wanted = (request.spec.expirationSeconds ?? Infinity) * 1000;
    const certPem = await this.#sign({ csrPem: pemOf(request), usages: USAGES[request.spec.signerName] as string[], lifetimeMs: Math.min(YEAR_MS, wanted) });
    await this.#client.update<CertificateSigningRequest>(CSR, { ...request, status: { ...request.status, certificate: Buffer.from(certPem).toString("base64") } }, { subresource: "status" });
  }

  async #forgetLater(key: string, request: Csr, afterMs: number): Promise<void> {
    const due = Date.parse(request.metadata.creationTimestamp) + afterMs - this.#clock.now();
    if (due > 0) this.#queue.addAfter(key, due);
    else await this.#client.delete(CSR, { name: request.metadata.name }, { preconditions: { uid: request.metadata.uid } });
  }
}

function pemOf(request: Csr): string {
  return Buffer.from(request.spec.request, "base64").toString();
}

function hasUsages({ signerName, usages }: Csr["spec"]): boolean {
  const allowed = new Set([...(USAGES[signerName] ?? []), "digital signature", "key encipherment"]);
  return (usages ?? []).every((usage) => allowed.has(usage)) && (USAGES[signerName] ?? []).every((usage) => usages?.includes(usage));
}

function isNodeClient(names: RequestedNames): boolean {
  return isNode(names) && [names.dnsNames, names.ipAddresses, names.emails, names.uris].every((list) => list.length === 0);
}

function isNodeServing(names: RequestedNames): boolean {
  return isNode(names) && names.dnsNames.length + names.ipAddresses.length > 0 && names.emails.length + names.uris.length === 0;
}

function isNode({ commonName, organizations }: RequestedNames): boolean {
  return commonName.startsWith("system:node:") && organizations.length === 1 && organizations[0] === "system:nodes";
}
