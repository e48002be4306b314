// The names upstream gives to users, groups and the extra facts about how somebody was authenticated.
// One place, because authenticators, authorizers and admission must agree on them to the letter.
import type { UserInfo } from "../request.ts";

export const AUTHENTICATED = "system:authenticated";
export const UNAUTHENTICATED = "system:unauthenticated";
export const MASTERS = "system:masters";
export const NODES = "system:nodes";
export const SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:";
export const NODE_USER_PREFIX = "system:node:";

/** Extra keys; values are lists of one. */
export const EXTRA = {
  credentialId: "authentication.kubernetes.io/credential-id",
  podName: "authentication.kubernetes.io/pod-name",
  podUid: "authentication.kubernetes.io/pod-uid",
  nodeName: "authentication.kubernetes.io/node-name",
  nodeUid: "authentication.kubernetes.io/node-uid",
} as const;

/** Who asks without any credential. */
export const ANONYMOUS: UserInfo = { name: "system:anonymous", groups: [UNAUTHENTICATED] };

/** `system:serviceaccount:<namespace>:<name>`. */
export function serviceAccountUser(namespace: string, name: string): string {
  return `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`;
}

/** The groups every service account is in, without `system:authenticated`. */
export function serviceAccountGroups(namespace: string): string[] {
  return ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
}

/** Namespace and name of a service account's user name; undefined for everybody else. */
export function parseServiceAccountUser(name: string): { namespace: string; name: string } | undefined {
  if (!name.startsWith(SERVICE_ACCOUNT_PREFIX)) return undefined;
  const [namespace, account, ...rest] = name.slice(SERVICE_ACCOUNT_PREFIX.length).split(":");
  return namespace && account && rest.length === 0 ? { namespace, name: account } : undefined;
}

/** The node a kubelet's identity is for; undefined for everybody else. */
export function nodeOf(user: UserInfo): string | undefined {
  if (!user.name.startsWith(NODE_USER_PREFIX) || !user.groups.includes(NODES)) return undefined;
  return user.name.slice(NODE_USER_PREFIX.length);
}

/** The user with `system:authenticated` among the groups. */
export function authenticated(user: UserInfo): UserInfo {
  if (user.groups.includes(AUTHENTICATED) || user.groups.includes(UNAUTHENTICATED)) return user;
  return { ...user, groups: [...user.groups, AUTHENTICATED] };
}
