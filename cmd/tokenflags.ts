// The flags about whose bearer tokens count, under kube-apiserver's names; what they mean is `tokens.ts`'s.
import type { Flag } from "./flags.ts";

/** Flags of the control plane about whose tokens count. */
export const TOKEN_FLAGS: readonly Flag[] = [
  { name: "token-auth-file", value: "FILE", help: "static tokens, a line each: token,user,uid,\"group1,group2\"" },
  { name: "oidc-issuer-url", value: "URL", help: "OpenID Connect provider whose tokens are accepted", check: (value) => (value.startsWith("https://") ? undefined : "must be an https URL") },
  { name: "oidc-client-id", value: "ID", help: "audience the provider's tokens must be for" },
  { name: "oidc-username-claim", value: "CLAIM", help: "claim that names the user; sub when left out" },
  { name: "oidc-username-prefix", value: "PREFIX", help: "put before user names; - for nothing" },
  { name: "oidc-groups-claim", value: "CLAIM", help: "claim that lists the groups" },
  { name: "oidc-groups-prefix", value: "PREFIX", help: "put before group names" },
  { name: "oidc-required-claim", value: "K=V,...", help: "claims a token must carry" },
  { name: "oidc-signing-algs", value: "LIST", help: "accepted signatures; RS256 when left out" },
  { name: "oidc-ca-file", value: "FILE", help: "authority of the provider's certificate; the system's when left out" },
];
