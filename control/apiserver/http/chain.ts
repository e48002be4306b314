// The handler chain: who is asking, may they, and then the resource or document they asked for.
import { unauthorized } from "../../../api/errors.ts";
import type { AccessRequest, Authenticator, Authorizer, Credentials } from "../auth/auth.ts";
import { forbiddenError } from "../auth/authorize.ts";
import { impersonate, isImpersonating } from "../auth/impersonation.ts";
import { ANONYMOUS, AUTHENTICATED } from "../auth/user.ts";
import type { UserInfo } from "../request.ts";
import type { Request } from "./exchange.ts";
import type { Target } from "./target.ts";

/** Who asks; throws 401 for credentials nobody vouches for. Without any credentials it is the anonymous user. */
export async function authenticate(authenticators: readonly Authenticator[], credentials: Credentials): Promise<UserInfo> {
  if (credentials.bearerToken === undefined && credentials.peerCertificate === undefined) return ANONYMOUS;
  for (const authenticator of authenticators) {
    const pending = authenticator.authenticate(credentials);
    const user = pending instanceof Promise ? await pending : pending;
    if (user) return user.groups.includes(AUTHENTICATED) ? user : { ...user, groups: [...user.groups, AUTHENTICATED] };
  }
  throw unauthorized();
}

/** The credentials a request carries, apart from its certificate. */
export function bearerTokenOf(request: Request): string | undefined {
  const header = request.headers["authorization"];
  if (header === undefined || header.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  return header.slice(7).trim();
}

/** The user a request acts as: itself, or whom its headers name; throws 403 when it may not. */
export async function actingUser(authorizer: Authorizer, user: UserInfo, request: Request): Promise<UserInfo> {
  return isImpersonating(request.headers) ? impersonate(user, distinctHeaders(request), authorizer) : user;
}

/** Headers with every value apart: groups are given by repeating one, and may contain commas. */
function distinctHeaders({ rawHeaders }: Request): Record<string, string[]> {
  const distinct: Record<string, string[]> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) (distinct[(rawHeaders[index] as string).toLowerCase()] ??= []).push(rawHeaders[index + 1] as string);
  return distinct;
}

/** Throws 403 unless the user may do this. */
export async function authorize(authorizer: Authorizer, user: UserInfo, { target, method }: { target: Target; method: string }): Promise<void> {
  const request = accessRequestOf(user, target, method);
  const pending = authorizer.authorize(request);
  const decision = pending instanceof Promise ? await pending : pending;
  if (!decision.allowed) throw forbiddenError(request, decision.reason);
}

function accessRequestOf(user: UserInfo, target: Target, method: string): AccessRequest {
  if (target.type === "path") return { user, verb: method.toLowerCase(), path: target.path };
  const { verb, group, version, plural, subresource, name, fieldSelector } = target;
  // A namespace is in itself: rights within it include reading it.
  const namespace = group === "" && plural === "namespaces" ? name : target.namespace;
  return { user, verb, group, version, resource: plural, subresource, namespace, name, ...(fieldSelector && { fieldSelector }) };
}
