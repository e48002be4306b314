// The handler chain: who is asking, may they, and then the resource or document they asked for.
import { ApiError, forbidden, unauthorized } from "../../../api/errors.ts";
import type { AccessRequest, Authenticator, Authorizer, Credentials, Decision } from "../auth/auth.ts";
import type { UserInfo } from "../request.ts";
import type { Request } from "./exchange.ts";
import { impersonate, isImpersonating } from "./impersonate.ts";
import type { Target } from "./target.ts";
import { tokenProtocolOf } from "./websocket.ts";

const ANONYMOUS: UserInfo = { name: "system:anonymous", groups: ["system:unauthenticated"] };
const AUTHENTICATED = "system:authenticated";

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
  if (header === undefined && request.headers["upgrade"] !== undefined) return tokenProtocolOf(request.headers);
  if (header === undefined || header.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  return header.slice(7).trim();
}

/** The user a request acts as: itself, or whom its headers name; throws 403 when it may not. */
export async function actingUser(authorizer: Authorizer, user: UserInfo, { request, target, method }: { request: Request; target: Target; method: string }): Promise<UserInfo> {
  return isImpersonating(request) ? impersonate({ authorizer, user, request, access: accessRequestOf(user, target, method) }) : user;
}

/** Throws 403 unless the user may do this. */
export async function authorize(authorizer: Authorizer, user: UserInfo, { target, method, note }: { target: Target; method: string; note?: ((decision: Decision) => void) | undefined }): Promise<void> {
  const request = accessRequestOf(user, target, method);
  const pending = authorizer.authorize(request);
  const decision = pending instanceof Promise ? await pending : pending;
  note?.(decision);
  if (!decision.allowed) throw refusal(request, decision.reason ?? "");
}

function accessRequestOf(user: UserInfo, target: Target, method: string): AccessRequest {
  if (target.type === "path") return { user, verb: method.toLowerCase(), path: target.path };
  const { verb, group, version, plural, subresource, name, fieldSelector, labelSelector } = target;
  // A namespace is in itself: rights within it include reading it.
  const namespace = group === "" && plural === "namespaces" ? name : target.namespace;
  return { user, verb, group, version, resource: plural, subresource, namespace, name, ...(fieldSelector && { fieldSelector }), ...(labelSelector && { labelSelector }) };
}

/** What upstream's authorizer answers, word for word. */
export function refusal(request: AccessRequest, reason: string): ApiError {
  const { user, verb } = request;
  const suffix = reason === "" ? "" : `: ${reason}`;
  if (request.path !== undefined) return new ApiError(403, "Forbidden", `forbidden: User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(request.path)}${suffix}`, {});
  const { group, resource, subresource, namespace, name } = request;
  const what = subresource === "" ? resource : `${resource}/${subresource}`;
  const where = namespace === "" ? " at the cluster scope" : ` in the namespace ${JSON.stringify(namespace)}`;
  return forbidden({ group, plural: resource }, name, `${escapeHtml(`User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(what)} in API group ${JSON.stringify(group)}${where}`)}${suffix}`);
}

/** Names come from outside: what looks like markup is made harmless, as upstream does. */
function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
