// Who may call this node's API, decided by the cluster: client certificates by its authority, tokens and rights by its reviews.
// Answers are remembered briefly, so that scrapers do not become load on the API server.
import { X509Certificate } from "node:crypto";
import { builtinKind } from "../../api/registry.ts";
import type { Client } from "../../api/client/client.ts";
import type { SubjectAccessReview, TokenReview } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { NodeAccess, NodeAuthority, NodeCredentials, NodeUser } from "./access.ts";

const TOKEN_REVIEW = builtinKind("authentication.k8s.io", "v1", "TokenReview");
const ACCESS_REVIEW = builtinKind("authorization.k8s.io", "v1", "SubjectAccessReview");
/** Upstream's cache times: two minutes for tokens, five for a yes, half a minute for a no. */
const TOKEN_MS = 120_000;
const ALLOWED_MS = 300_000;
const DENIED_MS = 30_000;
const MAX_REMEMBERED = 1_000;

export interface DelegatedOptions {
  readonly client: Client;
  readonly caPem: string;
  readonly nodeName: string;
  readonly clock: Clock;
}

interface Remembered<T> {
  readonly answer: T;
  readonly until: number;
}

/** Asks the API server what the node cannot know itself. */
export class DelegatedAuthority implements NodeAuthority {
  readonly #options: DelegatedOptions;
  readonly #authority: X509Certificate;
  readonly #tokens = new Map<string, Remembered<NodeUser | undefined>>();
  readonly #access = new Map<string, Remembered<boolean>>();

  constructor(options: DelegatedOptions) {
    this.#options = options;
    this.#authority = new X509Certificate(options.caPem);
  }

  async authenticate({ peerCertificate, bearerToken }: NodeCredentials): Promise<NodeUser | undefined> {
    const byCertificate = peerCertificate && this.#certificateUser(peerCertificate);
    if (byCertificate) return byCertificate;
    if (!bearerToken) return undefined;
    const key = new Bun.CryptoHasher("sha256").update(bearerToken).digest("hex");
    return this.#remember({ cache: this.#tokens, key, ask: () => this.#review(bearerToken), keepMs: () => TOKEN_MS });
  }

  async isAllowed({ user, verb, subresource }: NodeAccess): Promise<boolean> {
    if (user.groups.includes("system:masters")) return true;
    const key = JSON.stringify([user.name, user.groups, verb, subresource]);
    return this.#remember({ cache: this.#access, key, ask: () => this.#mayAccess(user, verb, subresource), keepMs: (isAllowed) => (isAllowed ? ALLOWED_MS : DENIED_MS) });
  }

  #certificateUser(der: Uint8Array): NodeUser | undefined {
    const certificate = new X509Certificate(Buffer.from(der));
    const now = this.#options.clock.now();
    const isOurs = certificate.checkIssued(this.#authority) && certificate.verify(this.#authority.publicKey);
    if (!isOurs || Date.parse(certificate.validFrom) > now || Date.parse(certificate.validTo) <= now) return undefined;
    const names = certificate.subject.split("\n");
    const valuesOf = (attribute: string): string[] => names.filter((name) => name.startsWith(`${attribute}=`)).map((name) => name.slice(attribute.length + 1));
    const [name] = valuesOf("CN");
    return name ? { name, groups: [...valuesOf("O"), "system:authenticated"] } : undefined;
  }

  async #review(token: string): Promise<NodeUser | undefined> {
    const { status } = await this.#options.client.create<TokenReview>(TOKEN_REVIEW, { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", metadata: {}, spec: { token } });
    const user = status?.user;
    return status?.authenticated && user?.username ? { name: user.username, groups: user.groups ?? [], ...(user.uid && { uid: user.uid }), ...(user.extra && { extra: user.extra }) } : undefined;
  }

  // One question of the review API has these three parts.
  async #mayAccess(user: NodeUser, verb: string, subresource: string): Promise<boolean> {
    const spec = {
      user: user.name, groups: [...user.groups], ...(user.uid && { uid: user.uid }), ...(user.extra && { extra: user.extra as Record<string, string[]> }),
      resourceAttributes: { verb, group: "", version: "v1", resource: "nodes", subresource, name: this.#options.nodeName },
    };
    const { status } = await this.#options.client.create<SubjectAccessReview>(ACCESS_REVIEW, { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", metadata: {}, spec });
    return status?.allowed ?? false;
  }

  async #remember<T>({ cache, key, ask, keepMs }: { cache: Map<string, Remembered<T>>; key: string; ask: () => Promise<T>; keepMs: (answer: T) => number }): Promise<T> {
    const now = this.#options.clock.now();
    const known = cache.get(key);
    if (known && known.until > now) return known.answer;
    const answer = await ask();
    cache.delete(key);
    cache.set(key, { answer, until: now + keepMs(answer) });
    if (cache.size > MAX_REMEMBERED) cache.delete(cache.keys().next().value as string);
    return answer;
  }
}
