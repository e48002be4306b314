// Everything about who may what, put together: the one call an API server makes.
// Ask for it before the informers start; it answers once they are synced.
import type { Informers } from "../../../api/client/informer.ts";
import type { Clock } from "../../../lib/clock.ts";
import type { AdmissionPlugin } from "../admission/plugin.ts";
import type { UserInfo } from "../request.ts";
import type { Authorizer } from "./auth.ts";
import { RequestAuthenticator } from "./authenticate.ts";
import { UnionAuthorizer } from "./authorize.ts";
import { rbacEscalation } from "./escalation.ts";
import { TokenKeys } from "./jwt.ts";
import { LegacyTokenUse } from "./legacytokens.ts";
import { informerLookup } from "./lookup.ts";
import { NodeAuthorizer } from "./node.ts";
import { NodeGraph } from "./nodegraph.ts";
import { RbacAuthorizer } from "./rbac.ts";
import { SyncGate } from "./ready.ts";
import { reviewHandlers, type ReviewHandler } from "./reviews.ts";
import { ServiceAccountTokens, type TokenUser } from "./serviceaccount.ts";
import { tokenRequestHandler } from "./tokenrequest.ts";

export interface AuthOptions {
  readonly informers: Informers;
  readonly clock: Clock;
  /** PEM of the authorities client certificates may come from. */
  readonly clientAuthorities: readonly string[];
  /** PEM of the key tokens are signed with, and of older ones whose tokens are still good. */
  readonly serviceAccountKeyPem: string;
  readonly olderServiceAccountKeys?: readonly string[] | undefined;
  /** `https://kubernetes.default.svc.cluster.local`, unless configured otherwise. */
  readonly issuer: string;
  /** The issuer when left out. */
  readonly audiences?: readonly string[] | undefined;
  readonly staticTokens?: ReadonlyMap<string, UserInfo> | undefined;
  /** Any further kind of bearer token; undefined for a token that is not of that kind. */
  readonly furtherTokens?: ((token: string) => Promise<TokenUser | undefined>) | undefined;
}

export interface Auth {
  readonly authenticator: RequestAuthenticator;
  readonly authorizer: Authorizer;
  /** Issues service-account tokens; its keys are what `/openid/v1/jwks` shows. */
  readonly tokens: ServiceAccountTokens;
  readonly keys: TokenKeys;
  /** Answers to POSTs that are not stored, by `<plural>` or `<plural>/<subresource>`. */
  readonly postHandlers: Readonly<Record<string, ReviewHandler>>;
  readonly admission: readonly AdmissionPlugin[];
}

/** Authentication, authorization and the APIs about them. */
export function createAuth(options: AuthOptions): Auth {
  const { informers, clock, issuer, audiences = [issuer], staticTokens, furtherTokens } = options;
  const lookup = informerLookup(informers);
  const keys = new TokenKeys(options.serviceAccountKeyPem, options.olderServiceAccountKeys);
  const legacyUse = new LegacyTokenUse(() => informers.client, clock);
  const tokens = new ServiceAccountTokens({ keys, issuers: [issuer], audiences, lookup, clock, onLegacyUse: (secret) => legacyUse.note(secret) });
  const gate = new SyncGate(informers, clock);
  const authenticator = new RequestAuthenticator({ clientAuthorities: options.clientAuthorities, tokens, lookup, clock, gate, staticTokens, further: furtherTokens });
  const rbac = new RbacAuthorizer(informers);
  const authorizer = new UnionAuthorizer([new NodeAuthorizer(new NodeGraph(informers)), rbac], gate);
  return {
    authenticator, authorizer, tokens, keys,
    postHandlers: {
      ...reviewHandlers({ tokens: authenticator.tokens, audiences, authorizer, rbac }),
      "serviceaccounts/token": tokenRequestHandler({ tokens, lookup, clock }),
    },
    admission: [rbacEscalation(rbac, authorizer)],
  };
}
