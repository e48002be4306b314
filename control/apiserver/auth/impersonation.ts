// Acting as somebody else: the Impersonate-* headers, and the rights each of them takes.
// Rules: k8s.io/apiserver/pkg/endpoints/filters/impersonation.
import { ApiError } from "../../../api/errors.ts";
import type { UserInfo } from "../request.ts";
import type { AccessRequest, Authorizer } from "./auth.ts";
import { forbiddenError } from "./authorize.ts";
import { AUTHENTICATED, parseServiceAccountUser, serviceAccountGroups, UNAUTHENTICATED } from "./user.ts";

/** Request headers, lower-cased; several values as an array or joined by commas only where the protocol says so. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const EXTRA_PREFIX = "impersonate-extra-";

/** The user a request acts as: the one it asks to be when it may, itself when it does not ask. Throws ApiError(403). */
export async function impersonate(user: UserInfo, headers: Headers, authorizer: Authorizer): Promise<UserInfo> {
  const wanted = wantedUser(headers);
  if (!wanted) return user;
  for (const request of questions(user, wanted)) {
    const { allowed, reason } = await authorizer.authorize(request);
    if (!allowed) throw forbiddenError(request, reason);
  }
  return complete(wanted);
}

/** Whether a request asks to act as somebody else at all; a look at a few headers. */
export function isImpersonating(headers: Headers): boolean {
  return headers["impersonate-user"] !== undefined || headers["impersonate-group"] !== undefined || headers["impersonate-uid"] !== undefined;
}

function wantedUser(headers: Headers): UserInfo | undefined {
  const name = valuesOf(headers["impersonate-user"])[0] ?? "";
  const groups = valuesOf(headers["impersonate-group"]);
  const uid = valuesOf(headers["impersonate-uid"])[0] ?? "";
  const extra: Record<string, readonly string[]> = {};
  for (const [header, value] of Object.entries(headers)) {
    if (header.startsWith(EXTRA_PREFIX)) extra[decodeURIComponent(header.slice(EXTRA_PREFIX.length))] = valuesOf(value);
  }
  const hasExtra = Object.keys(extra).length > 0;
  if (name === "" && groups.length === 0 && uid === "" && !hasExtra) return undefined;
  if (name === "") throw new ApiError(500, "InternalError", `Internal error occurred: requested ${JSON.stringify([...groups, uid])} without impersonating a user`);
  return { name, groups, ...(uid !== "" && { uid }), ...(hasExtra && { extra }) };
}

function questions(user: UserInfo, wanted: UserInfo): AccessRequest[] {
  const ask = (what: { group?: string; resource: string; subresource?: string; namespace?: string; name: string }): AccessRequest => ({
    user, verb: "impersonate", group: what.group ?? "", version: "v1", resource: what.resource, subresource: what.subresource ?? "", namespace: what.namespace ?? "", name: what.name,
  });
  const account = parseServiceAccountUser(wanted.name);
  const group = "authentication.k8s.io";
  return [
    account ? ask({ resource: "serviceaccounts", ...account }) : ask({ resource: "users", name: wanted.name }),
    ...wanted.groups.map((name) => ask({ resource: "groups", name })),
    ...Object.entries(wanted.extra ?? {}).flatMap(([key, values]) => values.map((name) => ask({ group, resource: "userextras", subresource: key, name }))),
    ...(wanted.uid ? [ask({ group, resource: "uids", name: wanted.uid })] : []),
  ];
}

/** Groups that follow from who one is. */
function complete(wanted: UserInfo): UserInfo {
  const account = parseServiceAccountUser(wanted.name);
  const groups = wanted.groups.length === 0 && account ? serviceAccountGroups(account.namespace) : [...wanted.groups];
  const isAnonymous = wanted.name === "system:anonymous";
  const followed = isAnonymous ? UNAUTHENTICATED : AUTHENTICATED;
  if (!groups.includes(AUTHENTICATED) && !groups.includes(UNAUTHENTICATED)) groups.push(followed);
  return { ...wanted, groups };
}

function valuesOf(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}
