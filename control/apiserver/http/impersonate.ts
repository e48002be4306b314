// Acting as somebody else: the `Impersonate-*` headers. Either the real user may be them (`impersonate`, every part of them),
// or may be them for this one request (`impersonate:<mode>` and `impersonate-on:<mode>:<verb>`, KEP 5284), which is asked first.
import { badRequest } from "../../../api/errors.ts";
import { subdomainErrors } from "../../../api/labels.ts";
import type { AccessRequest, Authorizer } from "../auth/auth.ts";
import { AUTHENTICATED, EXTRA, NODE_USER_PREFIX, NODES, parseServiceAccountUser, serviceAccountGroups, UNAUTHENTICATED, MASTERS } from "../auth/user.ts";
import type { UserInfo } from "../request.ts";
import { refusal } from "./chain.ts";
import type { Request } from "./exchange.ts";

type ResourceAccess = Extract<AccessRequest, { resource: string }>;

/** Whom the headers name. */
interface Wanted {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** What decides about one request to act as somebody. */
export interface Impersonation {
  readonly authorizer: Authorizer;
  /** Who really asks. */
  readonly user: UserInfo;
  readonly request: Request;
  /** What is asked, as the authorizer is asked about the real user. */
  readonly access: AccessRequest;
}

const HEADER_PREFIX = "impersonate-";
const EXTRA_PREFIX = "impersonate-extra-";
const AUTHENTICATION = "authentication.k8s.io";
const MANY = 4;

/** Whether a request asks to act as somebody else at all. */
export function isImpersonating({ headers }: Request): boolean {
  for (const name in headers) if (name.startsWith(HEADER_PREFIX)) return true;
  return false;
}

/** The user the headers name, or the real one when they name none; throws 403 unless `user` may be them. */
export async function impersonate(impersonation: Impersonation): Promise<UserInfo> {
  const wanted = wantedOf(impersonation.request);
  if (!wanted) return impersonation.user;
  let first: unknown;
  for (const mode of MODES) {
    if (!mode.isFor(wanted, impersonation.user)) continue;
    try {
      return await mode.become(wanted, impersonation);
    } catch (error) {
      // The answer names the narrowest right that would do.
      first ??= error;
    }
  }
  throw first;
}

interface Mode {
  isFor(wanted: Wanted, user: UserInfo): boolean;
  become(wanted: Wanted, impersonation: Impersonation): Promise<UserInfo>;
}

const hasOnlyName = ({ uid, groups, extra }: Wanted): boolean => uid === "" && groups.length === 0 && Object.keys(extra).length === 0;

/** In the order they are tried: the narrowest first. */
const MODES: readonly Mode[] = [
  { isFor: (wanted, user) => hasOnlyName(wanted) && isOnNode(user, nodeNameOf(wanted.name)), become: (wanted, impersonation) => become(wanted, impersonation, "associated-node") },
  { isFor: (wanted) => hasOnlyName(wanted) && nodeNameOf(wanted.name) !== undefined, become: (wanted, impersonation) => become(wanted, impersonation, "arbitrary-node") },
  { isFor: (wanted) => hasOnlyName(wanted) && parseServiceAccountUser(wanted.name) !== undefined, become: (wanted, impersonation) => become(wanted, impersonation, "serviceaccount") },
  { isFor: ({ name }) => nodeNameOf(name) === undefined && parseServiceAccountUser(name) === undefined, become: (wanted, impersonation) => become(wanted, impersonation, "user-info") },
  { isFor: () => true, become: (wanted, impersonation) => become(wanted, impersonation, undefined) },
];

/** Asks for every part; `mode` undefined is the unconstrained right. */
async function become(wanted: Wanted, { authorizer, user, access }: Impersonation, mode: string | undefined): Promise<UserInfo> {
  const verb = mode === undefined ? "impersonate" : `impersonate:${mode}`;
  const group = mode === undefined ? "" : AUTHENTICATION;
  // A pod's node is checked above, so that one rule for any node will do, and nothing of the pod is told.
  const asking = mode === "associated-node" ? { ...user, extra: { "authentication.kubernetes.io/associated-node-keys": Object.keys(user.extra ?? {}).toSorted() } } : user;
  const may = async (asked: AccessRequest): Promise<void> => {
    const decision = await authorizer.authorize(asked);
    if (!decision.allowed) throw refusal(asked, decision.reason ?? "");
  };
  const question = (resource: string, name: string): ResourceAccess => ({ user: asking, verb, group, version: "v1", resource, subresource: "", namespace: "", name });
  const parts: Parts = { mayBe: (resource, name, part) => may({ ...question(resource, name), ...part }), refuse: (resource, name, reason) => refusal(question(resource, name), reason) };
  if (mode !== undefined) await may({ ...access, user: asking, verb: `impersonate-on:${mode}:${access.verb}` });

  const groups = await authorizeName(wanted, mode, parts);
  if (wanted.uid !== "") await parts.mayBe("uids", wanted.uid, { group: AUTHENTICATION });
  await authorizeGroups(wanted, mode, parts);
  await authorizeExtra(wanted, mode, parts);
  return { name: wanted.name, groups: withImplied(wanted.name, groups), ...(wanted.uid !== "" && { uid: wanted.uid }), ...(Object.keys(wanted.extra).length > 0 && { extra: wanted.extra }) };
}

/** Asks about one part of somebody; throws 403 when it is refused. */
interface Parts {
  readonly mayBe: (resource: string, name: string, part?: Partial<ResourceAccess>) => Promise<void>;
  /** What is refused whatever the rights are. */
  readonly refuse: (resource: string, name: string, reason: string) => Error;
}

/** Returns the groups that come with the name, or those that were named. */
async function authorizeName({ name, groups }: Wanted, mode: string | undefined, { mayBe }: Parts): Promise<readonly string[]> {
  const node = mode === undefined ? undefined : nodeNameOf(name);
  const account = parseServiceAccountUser(name);
  if (node !== undefined) {
    await mayBe("nodes", mode === "associated-node" ? "*" : node);
    return [NODES];
  }
  if (!account) {
    await mayBe("users", name);
    return groups;
  }
  await mayBe("serviceaccounts", account.name, { namespace: account.namespace });
  return groups.length === 0 ? serviceAccountGroups(account.namespace) : groups;
}

async function authorizeGroups({ groups }: Wanted, mode: string | undefined, { mayBe, refuse }: Parts): Promise<void> {
  if (mode !== undefined && groups.includes("")) throw refuse("groups", "", "impersonating the empty string group is not allowed");
  if (mode !== undefined && groups.includes(MASTERS)) throw refuse("groups", MASTERS, `impersonating the ${MASTERS} group is not allowed`);
  if (mode !== undefined && groups.length >= MANY && (await isAllowed(mayBe("groups", "*")))) return;
  for (const group of groups) await mayBe("groups", group);
}

async function authorizeExtra({ extra }: Wanted, mode: string | undefined, { mayBe, refuse }: Parts): Promise<void> {
  const values = Object.entries(extra).flatMap(([key, of]) => of.map((value) => ({ key, value })));
  if (mode !== undefined && values.some(({ key, value }) => key === "" || value === "")) throw refuse("userextras", "", `impersonating the empty string ${values.some(({ key }) => key === "") ? "key" : "value"} in extra is not allowed`);
  if (mode !== undefined && values.length >= MANY && (await isAllowed(mayBe("userextras", "*", { group: AUTHENTICATION, subresource: "*" })))) return;
  for (const { key, value } of values) await mayBe("userextras", value, { group: AUTHENTICATION, subresource: key });
}

async function isAllowed(asking: Promise<void>): Promise<boolean> {
  try {
    await asking;
    return true;
  } catch {
    return false;
  }
}

function withImplied(name: string, groups: readonly string[]): string[] {
  if (name !== "system:anonymous" && groups.includes(UNAUTHENTICATED)) return [...groups];
  const implied = name === "system:anonymous" ? UNAUTHENTICATED : AUTHENTICATED;
  return groups.includes(implied) ? [...groups] : [...groups, implied];
}

function nodeNameOf(name: string): string | undefined {
  const node = name.startsWith(NODE_USER_PREFIX) ? name.slice(NODE_USER_PREFIX.length) : "";
  return node !== "" && subdomainErrors(node).length === 0 ? node : undefined;
}

/** Whether the user is a service account whose pod runs on the node. */
function isOnNode({ name, extra }: UserInfo, node: string | undefined): boolean {
  const nodes = extra?.[EXTRA.nodeName];
  return node !== undefined && parseServiceAccountUser(name) !== undefined && nodes?.length === 1 && nodes[0] === node;
}

/** undefined when nobody is named; throws 400 when only parts of somebody are. */
function wantedOf(request: Request): Wanted | undefined {
  const headers = distinctHeaders(request);
  const wanted: Wanted = { name: headers["impersonate-user"]?.[0] ?? "", uid: headers["impersonate-uid"]?.[0] ?? "", groups: headers["impersonate-group"] ?? [], extra: extrasOf(headers) };
  if (wanted.name !== "") return wanted;
  if (hasOnlyName(wanted)) return undefined;
  throw badRequest(`requested ${formatWanted(wanted)} without impersonating a user name`);
}

/** As Go prints the structure upstream has. */
function formatWanted({ uid, groups, extra }: Wanted): string {
  const entries = Object.entries(extra);
  const extras = entries.length === 0 ? "map[string][]string(nil)" : `map[string][]string{${entries.map(([key, values]) => `${JSON.stringify(key)}:${formatStrings(values)}`).join(", ")}}`;
  return `&user.DefaultInfo{Name:"", UID:${JSON.stringify(uid)}, Groups:${formatStrings(groups)}, Extra:${extras}}`;
}

function formatStrings(values: readonly string[]): string {
  return values.length === 0 ? "[]string(nil)" : `[]string{${values.map((value) => JSON.stringify(value)).join(", ")}}`;
}

function extrasOf(headers: Readonly<Record<string, string[]>>): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [header, values] of Object.entries(headers)) {
    if (header.startsWith(EXTRA_PREFIX)) found[unescaped(header.slice(EXTRA_PREFIX.length))] = values;
  }
  return found;
}

/** What cannot be unescaped is meant as it stands. */
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
