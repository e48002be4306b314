// Who a caller is and what it may do, as the cluster says: client certificates by its CA, tokens and rights by review at the API server.
// Answers are kept for a while, as upstream's kubelet keeps them, so that a scrape costs no review.
import { X509Certificate } from "node:crypto";
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { SubjectAccessReview, TokenReview } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { NodeAccess, NodeAuthority, NodeCredentials, NodeUser } from "./access.ts";
import { ExpiringCache } from "./cache.ts";

export interface DelegatedAuthorityOptions {
  readonly client: Client;
  /** The cluster's client CA, PEM; more than one while it is being replaced. */
  readonly caPem: string;
  readonly nodeName: string;
  readonly clock: Clock;
}

const TOKEN_REVIEW = builtinKind("authentication.k8s.io", "v1", "TokenReview");
const ACCESS_REVIEW = builtinKind("authorization.k8s.io", "v1", "SubjectAccessReview");
const KNOWN_TOKEN_MS = 2 * 60_000;
const UNKNOWN_TOKEN_MS = 10_000;
const ALLOWED_MS = 5 * 60_000;
const DENIED_MS = 30_000;
const MAX_ENTRIES = 1024;
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
/** Allowed everything by definition; also while the API server is away. */
const SUPERUSERS = "system:masters";

/** NodeAuthority that asks the cluster. */
export class DelegatedAuthority implements NodeAuthority {
  readonly #options: DelegatedAuthorityOptions;
  readonly #authorities: readonly X509Certificate[];
  readonly #tokens: ExpiringCache<NodeUser | undefined>;
  readonly #decisions: ExpiringCache<boolean>;

  constructor(options: DelegatedAuthorityOptions) {
    this.#options = options;
    this.#authorities = pemBlocks(options.caPem).map((pem) => new X509Certificate(pem));
    this.#tokens = new ExpiringCache(options.clock, MAX_ENTRIES);
    this.#decisions = new ExpiringCache(options.clock, MAX_ENTRIES);
  }

  async authenticate({ peerCertificate, bearerToken }: NodeCredentials): Promise<NodeUser | undefined> {
    const user = peerCertificate && this.#userOf(peerCertificate);
    if (user) return user;
    return bearerToken ? this.#reviewToken(bearerToken) : undefined;
  }

  async isAllowed({ user, verb, subresource }: NodeAccess): Promise<boolean> {
    if (user.groups.includes(SUPERUSERS)) return true;
    const resourceAttributes = { verb, group: "", version: "v1", resource: "nodes", subresource, name: this.#options.nodeName };
    const key = JSON.stringify([user, resourceAttributes]);
    const known = this.#decisions.get(key);
    if (known) return known.value;
    const spec = { user: user.name, groups: [...user.groups], ...(user.uid && { uid: user.uid }), ...(user.extra && { extra: user.extra as Record<string, string[]> }), resourceAttributes };
    const review = await this.#options.client.create<SubjectAccessReview>(ACCESS_REVIEW, { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", metadata: {}, spec });
    const allowed = review.status?.allowed === true;
    // An answer that came with an evaluation error may be another one next time.
    if (allowed || !review.status?.evaluationError) this.#decisions.set(key, allowed, allowed ? ALLOWED_MS : DENIED_MS);
    return allowed;
  }

  #userOf(der: Uint8Array): NodeUser | undefined {
    const certificate = new X509Certificate(der);
    const now = this.#options.clock.now();
    const isCurrent = Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
    const isForClients = certificate.keyUsage?.includes(CLIENT_AUTH) ?? true;
    const isTrusted = this.#authorities.some((authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
    if (!isCurrent || !isForClients || !isTrusted) return undefined;
    const fields = certificate.subject.split("\n").map((line) => line.split(/=(.*)/s) as [string, string]);
    const values = (name: string): string[] => fields.filter(([key]) => key === name).map(([, value]) => value);
    const [name] = values("CN");
    return name ? { name, groups: [...values("O"), "system:authenticated"] } : undefined;
  }

  async #reviewToken(token: string): Promise<NodeUser | undefined> {
    const key = new Bun.CryptoHasher("sha256").update(token).digest("hex");
    const known = this.#tokens.get(key);
    if (known) return known.value;
    const review = await this.#options.client.create<TokenReview>(TOKEN_REVIEW, { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", metadata: {}, spec: { token } });
    const { authenticated, user } = review.status ?? {};
    const found = authenticated && user?.username ? { name: user.username, groups: user.groups ?? [], ...(user.uid && { uid: user.uid }), ...(user.extra && { extra: user.extra }) } : undefined;
    this.#tokens.set(key, found, found ? KNOWN_TOKEN_MS : UNKNOWN_TOKEN_MS);
    return found;
  }
}

function pemBlocks(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
}
