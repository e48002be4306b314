// Who is asking: certificates first, then bearer tokens of every kind, then nobody.
// A credential that is offered and bad is refused; only the absence of any makes somebody anonymous.
import { ApiError, unauthorized } from "../../../api/errors.ts";
import type { Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import type { UserInfo } from "../request.ts";
import type { Authenticator, Credentials } from "./auth.ts";
import { bootstrapTokenUser } from "./bootstraptoken.ts";
import type { Lookup } from "./lookup.ts";
import type { SyncGate } from "./ready.ts";
import { TokenError, type ServiceAccountTokens, type TokenUser } from "./serviceaccount.ts";
import { authenticated } from "./user.ts";
import { CertificateAuthenticator } from "./x509.ts";

const log = logger("auth");

export interface AuthenticatorOptions {
  /** PEM of the authorities client certificates may come from. */
  readonly clientAuthorities: readonly string[];
  readonly tokens: ServiceAccountTokens;
  readonly lookup: Lookup;
  readonly clock: Clock;
  /** Closed while what tokens are bound to is not known yet. */
  readonly gate: SyncGate;
  readonly staticTokens?: ReadonlyMap<string, UserInfo> | undefined;
  /** Any further kind of token, such as OIDC; undefined when the token is not of that kind. */
  readonly further?: ((token: string) => Promise<TokenUser | undefined>) | undefined;
}

/** Knows the users of bearer tokens; what TokenReview asks too. */
export class TokenAuthenticator {
  constructor(private readonly options: AuthenticatorOptions) {}

  /**
   * The user of a token meant for one of `audiences`, undefined when nobody knows the token.
   * Throws TokenError when it is known and bad.
   */
  authenticate(token: string, audiences: readonly string[]): TokenUser | undefined | Promise<TokenUser | undefined> {
    const { tokens, staticTokens, lookup, clock, further } = this.options;
    if (tokens.claims(token)) return meantFor(tokens.verify(token), audiences);
    const user = staticTokens?.get(token) ?? bootstrapTokenUser(token, lookup, clock);
    if (user) return meantFor({ user, audiences: tokens.audiences }, audiences);
    return further?.(token).then((found) => found && meantFor(found, audiences));
  }
}

/** Tries certificate, then token; undefined for a request that offers neither. */
export class RequestAuthenticator implements Authenticator {
  readonly tokens: TokenAuthenticator;
  readonly #gate: SyncGate;
  readonly #certificates: CertificateAuthenticator;
  readonly #audiences: readonly string[];

  constructor(options: AuthenticatorOptions) {
    this.tokens = new TokenAuthenticator(options);
    this.#gate = options.gate;
    this.#certificates = new CertificateAuthenticator({ authorities: options.clientAuthorities, clock: options.clock });
    this.#audiences = options.tokens.audiences;
  }

  /** Numbers about credentials, in Prometheus' text form. */
  figures(): string {
    return this.#certificates.expirations.text();
  }

  authenticate(credentials: Credentials): UserInfo | undefined | Promise<UserInfo | undefined> {
    // A certificate that is not ours is no obstacle to a good token beside it: proxies present their own.
    const { user, isBad } = this.#byCertificate(credentials);
    if (user) return authenticated(user);
    const { bearerToken } = credentials;
    if (bearerToken) return this.#gate.isOpen ? this.#byToken(bearerToken) : this.#gate.wait().then(() => this.#byToken(bearerToken));
    if (isBad) throw unauthorized();
    return undefined;
  }

  #byCertificate(credentials: Credentials): { user?: UserInfo | undefined; isBad: boolean } {
    try {
      return { user: this.#certificates.authenticate(credentials), isBad: false };
    } catch {
      return { isBad: true };
    }
  }

  #byToken(token: string): UserInfo | Promise<UserInfo> {
    try {
      const found = this.tokens.authenticate(token, this.#audiences);
      return found instanceof Promise ? found.then(required, refused) : required(found);
    } catch (error) {
      return refused(error);
    }
  }
}

function required(found: TokenUser | undefined): UserInfo {
  if (!found) throw unauthorized();
  return authenticated(found.user);
}

/** Whatever kept a token from being checked, it was not found good. */
function refused(error: unknown): never {
  if (!(error instanceof TokenError) && !(error instanceof ApiError)) log.warn({ err: error }, "a bearer token could not be checked");
  throw unauthorized();
}

function meantFor(found: TokenUser, audiences: readonly string[]): TokenUser {
  const common = found.audiences.filter((a) => audiences.includes(a));
  if (common.length === 0) throw new TokenError(`token audiences ${JSON.stringify(found.audiences)} is invalid for the target audiences ${JSON.stringify(audiences)}`);
  return { ...found, audiences: common };
}
