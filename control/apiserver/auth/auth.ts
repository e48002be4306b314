// Who is asking and may they: the two questions every request answers before anything else.
// Authenticators are tried in order until one knows the credential; authorizers until one has an opinion.
import type { UserInfo } from "../request.ts";

/** What a request offers as proof. */
export interface Credentials {
  /** DER of the client certificate, when TLS verified that the peer holds its key; its trust is ours to check. */
  readonly peerCertificate?: Uint8Array | undefined;
  readonly bearerToken?: string | undefined;
}

export interface Authenticator {
  /** The user, undefined when this credential is not for this authenticator; throws ApiError(401) when it is and is bad. */
  authenticate(credentials: Credentials): Promise<UserInfo | undefined> | UserInfo | undefined;
}

/** What is asked of the authorizer; either a resource or a path. */
export type AccessRequest =
  | { readonly user: UserInfo; readonly verb: string; readonly group: string; readonly version: string; readonly resource: string; readonly subresource: string; readonly namespace: string; readonly name: string; readonly fieldSelector?: string; readonly labelSelector?: string; readonly path?: undefined }
  | { readonly user: UserInfo; readonly verb: string; readonly path: string };

export interface Decision {
  readonly allowed: boolean;
  /** A deny that no later authorizer may overrule. */
  readonly denied?: boolean;
  readonly reason?: string;
}

export interface Authorizer {
  /** Answered from caches; called on every request, so a repeated question must cost next to nothing. */
  authorize(request: AccessRequest): Decision | Promise<Decision>;
}
