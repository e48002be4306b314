// Tokens of an OpenID Connect provider: which of their claims become user and groups, and whose signature counts.
// Flags and rules: kube-apiserver --oidc-*; keys are fetched when first needed and again when an unknown one appears.
import { createRemoteJWKSet, customFetch, decodeJwt, errors, jwtVerify, type FetchImplementation, type JWTPayload, type JWTVerifyGetKey } from "jose";
import { TokenError, type TokenUser } from "./serviceaccount.ts";

export interface OidcOptions {
  /** `iss` of accepted tokens, and where the provider describes itself. */
  readonly issuerUrl: string;
  readonly clientId: string;
  /** The claim that names the user; `sub` when left out. */
  readonly usernameClaim?: string | undefined;
  /** Put before names; `-` for nothing. Left out: the issuer and `#`, unless the claim is `email`. */
  readonly usernamePrefix?: string | undefined;
  readonly groupsClaim?: string | undefined;
  readonly groupsPrefix?: string | undefined;
  readonly requiredClaims?: Readonly<Record<string, string>> | undefined;
  /** RS256 alone when left out. */
  readonly signingAlgorithms?: readonly string[] | undefined;
  /** PEM of the authority that signed the provider's certificate; the system's when left out. */
  readonly authorityPem?: string | undefined;
  /** What the API server's own tokens are for; OIDC tokens stand for the same audience. */
  readonly audiences: readonly string[];
  readonly fetch?: FetchImplementation | undefined;
}

/** Makes the check for tokens of this provider: undefined for others' tokens, TokenError for its own bad ones. */
export function oidcTokens(options: OidcOptions): (token: string) => Promise<TokenUser | undefined> {
  if (!options.issuerUrl.startsWith("https://")) throw new Error(`the OIDC issuer must be an https URL, not ${options.issuerUrl}`);
  const request: FetchImplementation = options.fetch ?? ((url, init) => fetch(url, { ...init, ...(options.authorityPem && { tls: { ca: options.authorityPem } }) } as RequestInit));
  let keys: Promise<JWTVerifyGetKey> | undefined;
  return async (token) => {
    if (issuerOf(token) !== options.issuerUrl) return undefined;
    // A provider that cannot be reached now is asked again with the next token.
    keys ??= discoverKeys(options.issuerUrl, request).catch((error: unknown) => {
      keys = undefined;
      throw error;
    });
    return userOf(await verified(token, await keys, options), options);
  };
}

async function discoverKeys(issuerUrl: string, request: FetchImplementation): Promise<JWTVerifyGetKey> {
  const url = `${issuerUrl.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const reply = await request(url, { headers: new Headers(), method: "GET", redirect: "manual", signal: AbortSignal.timeout(10_000) });
  if (reply.status !== 200) throw new TokenError(`oidc: ${url} answered ${reply.status}`);
  const { jwks_uri: uri } = (await reply.json()) as { jwks_uri?: string };
  if (!uri) throw new TokenError(`oidc: ${url} names no jwks_uri`);
  return createRemoteJWKSet(new URL(uri), { [customFetch]: request });
}

async function verified(token: string, keys: JWTVerifyGetKey, options: OidcOptions): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer: options.issuerUrl, audience: options.clientId, algorithms: [...(options.signingAlgorithms ?? ["RS256"])] });
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError) throw new TokenError(`oidc: verify token: ${error.message}`, { cause: error });
    throw error;
  }
}

function userOf(claims: JWTPayload, options: OidcOptions): TokenUser {
  for (const [name, value] of Object.entries(options.requiredClaims ?? {})) {
    if (claims[name] !== value) throw new TokenError(`oidc: required claim ${name} value does not match`);
  }
  const { usernameClaim = "sub", groupsClaim, groupsPrefix = "" } = options;
  const name = claims[usernameClaim];
  if (typeof name !== "string" || name === "") throw new TokenError(`oidc: parse username claims ${JSON.stringify(usernameClaim)}: claim not present`);
  if (usernameClaim === "email" && claims["email_verified"] === false) throw new TokenError("oidc: email not verified");
  const groups = groupsClaim ? textsOf(claims[groupsClaim]).map((group) => groupsPrefix + group) : [];
  const jti = typeof claims.jti === "string" ? { extra: { "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`] } } : {};
  return { user: { name: prefixOf(options) + name, groups, ...jti }, audiences: options.audiences };
}

function prefixOf({ usernamePrefix, usernameClaim = "sub", issuerUrl }: OidcOptions): string {
  if (usernamePrefix === "-") return "";
  return usernamePrefix ?? (usernameClaim === "email" ? "" : `${issuerUrl}#`);
}

function textsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Array.isArray(value) ? value.filter((v): v is string => typeof v === "string") : [];
}

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}
