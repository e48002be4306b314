// Acting as somebody else: the `Impersonate-*` headers, each of which the real user must be allowed to use.
import { badRequest } from "../../../api/errors.ts";
import type { AccessRequest, Authorizer } from "../auth/auth.ts";
import type { UserInfo } from "../request.ts";
import { refusal } from "./chain.ts";
import type { Request } from "./exchange.ts";

const EXTRA_PREFIX = "impersonate-extra-";
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/** The user the headers name; throws 403 unless `user` may impersonate every part of them. */
export async function impersonate(authorizer: Authorizer, user: UserInfo, { headers }: Request): Promise<UserInfo> {
  const name = String(headers["impersonate-user"] ?? "");
  const groups = listOf(headers["impersonate-group"]);
  const uid = headers["impersonate-uid"];
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
  if (uid !== undefined) await may("uids", String(uid), { group: "authentication.k8s.io" });
  for (const [key, values] of Object.entries(extra)) for (const value of values) await may("userextras", value, { group: "authentication.k8s.io", subresource: key });
  return { name, groups: withImplied(name, groups, account), ...(uid !== undefined && { uid: String(uid) }), ...(Object.keys(extra).length > 0 && { extra }) };
}

function withImplied(name: string, groups: readonly string[], account: RegExpExecArray | null): string[] {
  const all = account && groups.length === 0 ? ["system:serviceaccounts", `system:serviceaccounts:${account[1]}`] : [...groups];
  const implied = name === "system:anonymous" ? "system:unauthenticated" : "system:authenticated";
  return all.includes(implied) ? all : [...all, implied];
}

function extrasOf(headers: Request["headers"]): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [header, value] of Object.entries(headers)) {
    if (header.startsWith(EXTRA_PREFIX)) found[decodeURIComponent(header.slice(EXTRA_PREFIX.length))] = listOf(value);
  }
  return found;
}

/** Repeated headers arrive joined by commas. */
function listOf(value: string | string[] | undefined): string[] {
  if (value === undefined) return [];
  return (Array.isArray(value) ? value : value.split(",")).map((item) => item.trim()).filter(Boolean);
}
