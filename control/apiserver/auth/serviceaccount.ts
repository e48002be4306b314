// Service-account tokens: what is in one, and whether what it is bound to still stands.
// Claim layout: k8s.io/kubernetes/pkg/serviceaccount; signatures are checked once per token, lives on every use.
import { randomUUID } from "node:crypto";
import type { KubeObject, Pod, Secret, ServiceAccount, Stored } from "../../../api/types.ts";
import type { Clock } from "../../../lib/clock.ts";
import type { UserInfo } from "../request.ts";
import { BoundedMap } from "./bounded.ts";
import { peekClaims, type Claims, type TokenKeys } from "./jwt.ts";
import { invalidation } from "./legacytokens.ts";
import type { Lookup } from "./lookup.ts";
import { AUTHENTICATED, EXTRA, serviceAccountGroups, serviceAccountUser } from "./user.ts";

const LEGACY_ISSUER = "kubernetes/serviceaccount";
/** Clocks may differ, and deletion may take, this much. */
const LEEWAY_SECONDS = 60;
const MAX_REMEMBERED = 8_192;

/** A token that is ours but no longer (or not yet) good; the message is upstream's. */
export class TokenError extends Error {
  override readonly name = "TokenError";
}

export interface ServiceAccountTokenOptions {
  /** Hears of every use of a token that lives in a Secret. */
  readonly onLegacyUse?: ((secret: Stored<Secret>) => void) | undefined;
  readonly keys: TokenKeys;
  /** `iss` of new tokens; tokens of the further ones are still accepted. */
  readonly issuers: readonly [string, ...string[]];
  /** What the API server answers to as audience. */
  readonly audiences: readonly string[];
  readonly lookup: Lookup;
  readonly clock: Clock;
}

/** What a token is to be good for. */
export interface TokenWish {
  readonly account: Stored<ServiceAccount>;
  readonly audiences: readonly string[];
  readonly lifetimeSeconds: number;
  /** From when on its use is worth a warning. */
  readonly warnAfterSeconds?: number | undefined;
  readonly pod?: Stored<Pod> | undefined;
  readonly secret?: Stored<Secret> | undefined;
  /** The pod's node, or what the token is bound to when there is no pod. */
  readonly node?: { readonly name: string; readonly uid: string } | undefined;
}

/** Who a token stands for and whom it is meant for. */
export interface TokenUser {
  readonly user: UserInfo;
  readonly audiences: readonly string[];
}

interface Reference {
  readonly name: string;
  readonly uid: string;
}

interface Bound {
  readonly namespace: string;
  readonly serviceaccount: Reference;
  readonly pod?: Reference;
  readonly secret?: Reference;
  readonly node?: Reference;
  readonly warnafter?: number;
}

/** Issues and verifies the tokens of service accounts. */
export class ServiceAccountTokens {
  readonly #verified = new BoundedMap<string, Claims>(MAX_REMEMBERED);
  /** The same user object for the same token, so that what is remembered about the user is found quickly. */
  readonly #users = new WeakMap<Claims, TokenUser>();

  constructor(private readonly options: ServiceAccountTokenOptions) {}

  get audiences(): readonly string[] {
    return this.options.audiences;
  }

  issue(wish: TokenWish): string {
    const { keys, issuers, clock } = this.options;
    const { account, pod, secret, node } = wish;
    const now = Math.floor(clock.now() / 1000);
    const namespace = account.metadata.namespace ?? "";
    const bound: Bound = {
      namespace,
      ...(node && { node: { name: node.name, uid: node.uid } }),
      ...(pod && { pod: referenceTo(pod) }),
      ...(secret && { secret: referenceTo(secret) }),
      serviceaccount: referenceTo(account),
      ...(wish.warnAfterSeconds !== undefined && { warnafter: now + wish.warnAfterSeconds }),
    };
    return keys.sign({
      aud: wish.audiences, exp: now + wish.lifetimeSeconds, iat: now, iss: issuers[0], jti: randomUUID(),
      "kubernetes.io": bound, nbf: now, sub: serviceAccountUser(namespace, account.metadata.name),
    });
  }

  /** The token a `kubernetes.io/service-account-token` Secret holds: it lives as long as the Secret. */
  issueLegacy(account: Stored<ServiceAccount>, secretName: string): string {
    const { name, namespace = "", uid } = account.metadata;
    return this.options.keys.sign({
      iss: LEGACY_ISSUER, "kubernetes.io/serviceaccount/namespace": namespace, "kubernetes.io/serviceaccount/secret.name": secretName,
      "kubernetes.io/serviceaccount/service-account.name": name, "kubernetes.io/serviceaccount/service-account.uid": uid, sub: serviceAccountUser(namespace, name),
    });
  }

  /** Whether a token claims to be one of ours, by its issuer alone. */
  claims(token: string): boolean {
    if (this.#verified.get(token)) return true;
    const issuer = peekClaims(token)?.["iss"];
    return issuer === LEGACY_ISSUER || this.options.issuers.includes(issuer as string);
  }

  /** Who the token stands for; throws TokenError. The audience is the caller's to check. */
  verify(token: string): TokenUser {
    const claims = this.#claimsOf(token);
    return claims["iss"] === LEGACY_ISSUER ? this.#legacyUser(token, claims) : this.#user(claims);
  }

  #claimsOf(token: string): Claims {
    const known = this.#verified.get(token);
    if (known) return known;
    const claims = this.options.keys.verify(token);
    if (!claims) throw new TokenError("invalid signature");
    this.#verified.set(token, claims);
    return claims;
  }

  #user(claims: Claims): TokenUser {
    const now = this.options.clock.now() / 1000;
    if (typeof claims["exp"] === "number" && now > claims["exp"] + LEEWAY_SECONDS) throw new TokenError("service account token has expired");
    if (typeof claims["nbf"] === "number" && now < claims["nbf"] - LEEWAY_SECONDS) throw new TokenError("service account token is not valid yet");
    if (typeof claims["iat"] === "number" && now < claims["iat"] - LEEWAY_SECONDS) throw new TokenError("service account token is issued in the future");
    const bound = claims["kubernetes.io"] as Bound | undefined;
    if (!bound?.serviceaccount || !bound.namespace) throw new TokenError("service account token claims could not be validated due to unexpected validation error");
    this.#requireAccount(bound);
    this.#requireBound(bound);
    const known = this.#users.get(claims) ?? makeUser(claims, bound);
    this.#users.set(claims, known);
    return known;
  }

  #requireAccount({ namespace, serviceaccount }: Bound): void {
    const account = this.options.lookup.serviceAccount(namespace, serviceaccount.name);
    if (!account) throw new TokenError(`serviceaccounts "${serviceaccount.name}" not found`);
    if (account.metadata.uid !== serviceaccount.uid) throw new TokenError(`service account UID (${account.metadata.uid}) does not match claim (${serviceaccount.uid})`);
    if (this.#isGone(account)) throw new TokenError(`service account ${namespace}/${serviceaccount.name} has been deleted`);
  }

  #requireBound({ namespace, secret, pod, node }: Bound): void {
    const { lookup } = this.options;
    if (secret) this.#requireSame("secret", secret, lookup.secret(namespace, secret.name));
    if (pod) this.#requireSame("pod", pod, lookup.pod(namespace, pod.name));
    else if (node) this.#requireSame("node", node, lookup.node(node.name));
  }

  #requireSame(what: string, claimed: Reference, object: Stored<KubeObject> | undefined): void {
    if (!object) throw new TokenError("service account token has been invalidated");
    const { uid } = object.metadata;
    if (uid !== claimed.uid) throw new TokenError(`${what} UID (${uid}) does not match service account ${what} ref claim (${claimed.uid})`);
    if (this.#isGone(object)) throw new TokenError("service account token has been invalidated");
  }

  #isGone({ metadata }: KubeObject): boolean {
    return metadata.deletionTimestamp !== undefined && Date.parse(metadata.deletionTimestamp) < this.options.clock.now() - LEEWAY_SECONDS * 1000;
  }

  #legacyUser(token: string, claims: Claims): TokenUser {
    const claim = (name: string): string => String(claims[`kubernetes.io/serviceaccount/${name}`] ?? "");
    const namespace = claim("namespace");
    const account = { name: claim("service-account.name"), uid: claim("service-account.uid") };
    const secret = this.options.lookup.secret(namespace, claim("secret.name"));
    if (!secret || secret.metadata.deletionTimestamp !== undefined) throw new TokenError("Token has been invalidated");
    if (Buffer.from(secret.data?.["token"] ?? "", "base64").toString() !== token) throw new TokenError("Token does not match server's copy");
    this.#requireAccount({ namespace, serviceaccount: account });
    const invalid = invalidation(secret, `${namespace}/${account.name}`);
    if (invalid) throw new TokenError(invalid);
    this.options.onLegacyUse?.(secret);
    return { user: userOf(namespace, account, {}), audiences: this.options.audiences };
  }
}

function makeUser(claims: Claims, bound: Bound): TokenUser {
  const extra = {
    ...(claims["jti"] !== undefined && { [EXTRA.credentialId]: [`JTI=${String(claims["jti"])}`] }),
    ...(bound.node && { [EXTRA.nodeName]: [bound.node.name], ...(bound.node.uid && { [EXTRA.nodeUid]: [bound.node.uid] }) }),
    ...(bound.pod && { [EXTRA.podName]: [bound.pod.name], [EXTRA.podUid]: [bound.pod.uid] }),
  };
  return { user: userOf(bound.namespace, bound.serviceaccount, extra), audiences: stringsOf(claims["aud"]) };
}

function userOf(namespace: string, { name, uid }: Reference, extra: Readonly<Record<string, readonly string[]>>): UserInfo {
  return { name: serviceAccountUser(namespace, name), uid, groups: [...serviceAccountGroups(namespace), AUTHENTICATED], ...(Object.keys(extra).length > 0 && { extra }) };
}

function referenceTo(object: Stored<KubeObject>): Reference {
  return { name: object.metadata.name, uid: object.metadata.uid };
}

function stringsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((v): v is string => typeof v === "string") : [];
}
