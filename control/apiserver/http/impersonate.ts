// Acting as somebody else: the `Impersonate-*` headers, each of which the real user must be allowed to use.
import { badRequest } from "../../../api/errors.ts";
import type { AccessRequest, Authorizer } from "../auth/auth.ts";
import type { UserInfo } from "../request.ts";
import { refusal } from "./chain.ts";
import type { Request } from "./exchange.ts";

const EXTRA_PREFIX = "impersonate-extra-";
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/** Whether a request asks to act as somebody else at all. */
export function isImpersonating({ headers }: Request): boolean {
  return headers["impersonate-user"] !== undefined || headers["impersonate-group"] !== undefined || headers["impersonate-uid"] !== undefined;
}

/** The user the headers name; throws 403 unless `user` may impersonate every part of them. */
export async function impersonate(authorizer: Authorizer, user: UserInfo, request: Request): Promise<UserInfo> {
  const headers = distinctHeaders(request);
  const name = headers["impersonate-user"]?.[0] ?? "";
  const groups = headers["impersonate-group"] ?? [];
  const uid = headers["impersonate-uid"]?.[0];
  const extra = extrasOf(headers);
  if (name === "") throw badRequest("requested impersonation without a user");
  const account = SERVICE_ACCOUNT.exec(name);
  const may = async (resource: string, wanted: string, part: Partial<AccessRequest & { group: string; subresource: string; namespace: string }> = {}): Promise<void> => {
    const request = { user, verb: "impersonate", group: "", version: "v1", resource, subresource: "", namespace: "", name: wanted, ...part } as AccessRequest;
    const decision = await authorizer.authorize(request);
    if (!decision.allowed) throw refusal(request, decision.reason ?? "");
  };
  if (account) await may("serviceaccounts", account[2] as string, { namespace: account[1] as string });
  else await may("users", name);
  for (const group of groups) await may("groups", group);
  if (uid !== undefined) await may("uids", uid, { group: "authentication.k8s.io" });
  for (const [key, values] of Object.entries(extra)) for (const value of values) await may("userextras", value, { group: "authentication.k8s.io", subresource: key });
  return { name, groups: withImplied(name, groups, account), ...(uid !== undefined && { uid: uid }), ...(Object.keys(extra).length > 0 && { extra }) };
}

function withImplied(name: string, groups: readonly string[], account: RegExpExecArray | null): string[] {
  const all = account && groups.length === 0 ? ["system:serviceaccounts", `system:serviceaccounts:${account[1]}`] : [...groups];
  const implied = name === "system:anonymous" ? "system:unauthenticated" : "system:authenticated";
  return all.includes(implied) ? all : [...all, implied];
}

function extrasOf(headers: Readonly<Record<string, string[]>>): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [header, values] of Object.entries(headers)) {
    if (header.startsWith(EXTRA_PREFIX)) found[unescaped(header.slice(EXTRA_PREFIX.length))] = values;
  }
  return found;
}

/** Keys may be escaped as in a path; what is not so escaped means itself. */
function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}

/** Headers with every value apart: groups are given by repeating one, and may contain commas. */
function distinctHeaders({ rawHeaders }: Request): Record<string, string[]> {
  const distinct: Record<string, string[]> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) (distinct[(rawHeaders[index] as string).toLowerCase()] ??= []).push(rawHeaders[index + 1] as string);
  return distinct;
}
