// NetworkPolicy on a node: who may read what it needs, and the component put together.
// A node may list its own pods only, so it reads everybody's as a ServiceAccount that may do nothing else.
import { createOrUpdate } from "../api/client/create-or-update.ts";
import type { Client } from "../api/client/client.ts";
import { HttpClient } from "../api/client/http.ts";
import { createInformers } from "../api/client/informers.ts";
import { builtinKind } from "../api/registry.ts";
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, ServiceAccount } from "../api/types.ts";
import type { NodeIdentity } from "../agent/kubelet/join.ts";
import { systemClock } from "../lib/clock.ts";
import type { Component } from "../lib/component.ts";
import { hostExec } from "../lib/exec.ts";
import { logger } from "../lib/log.ts";
import { createPolicy } from "../net/policy/policy.ts";

const log = logger("network-policy");
const RBAC = "rbac.authorization.k8s.io";
const NAMESPACE = "kube-system";
const ACCOUNT = "minik8s-network-policy";
const READER = "minik8s:network-policy";
const ACTORS = "minik8s:network-policy-actors";

/** All the account can do. Labels and addresses of pods on other nodes are what policies are about, and no list has only those. */
const READS: readonly PolicyRule[] = [
  { apiGroups: [""], resources: ["pods", "namespaces"], verbs: ["list", "watch"] },
  { apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"], verbs: ["list", "watch"] },
];

/** Lets every node act as the account that reads policies, pods and namespaces, for exactly those reads. */
export async function publishPolicyAccess(client: Client): Promise<void> {
  const nodes = { apiGroup: RBAC, kind: "Group", name: "system:nodes" };
  const account = { kind: "ServiceAccount", name: ACCOUNT, namespace: NAMESPACE };
  await Promise.all([
    createOrUpdate<ServiceAccount>(client, builtinKind("", "v1", "ServiceAccount"), { metadata: { name: ACCOUNT, namespace: NAMESPACE } }),
    createOrUpdate<ClusterRole>(client, builtinKind(RBAC, "v1", "ClusterRole"), { metadata: { name: READER }, rules: [...READS] }),
    createOrUpdate<ClusterRoleBinding>(client, builtinKind(RBAC, "v1", "ClusterRoleBinding"), { metadata: { name: READER }, roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: READER }, subjects: [account] }),
    createOrUpdate<Role>(client, builtinKind(RBAC, "v1", "Role"), { metadata: { name: ACTORS, namespace: NAMESPACE }, rules: [{ apiGroups: ["authentication.k8s.io"], resources: ["serviceaccounts"], resourceNames: [ACCOUNT], verbs: ["impersonate:serviceaccount"] }] }),
    createOrUpdate<ClusterRole>(client, builtinKind(RBAC, "v1", "ClusterRole"), { metadata: { name: ACTORS }, rules: READS.map((rule) => ({ ...rule, verbs: rule.verbs.map((verb) => `impersonate-on:serviceaccount:${verb}`) })) }),
    createOrUpdate<ClusterRoleBinding>(client, builtinKind(RBAC, "v1", "ClusterRoleBinding"), { metadata: { name: ACTORS }, roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: ACTORS }, subjects: [nodes] }),
    createOrUpdate<RoleBinding>(client, builtinKind(RBAC, "v1", "RoleBinding"), { metadata: { name: ACTORS, namespace: NAMESPACE }, roleRef: { apiGroup: RBAC, kind: "Role", name: ACTORS }, subjects: [nodes] }),
  ]);
}

export interface NodePolicyOptions {
  readonly identity: NodeIdentity;
  readonly nodeName: string;
  readonly clusterCidr: string;
  readonly variant?: "legacy" | "nft" | undefined;
}

/** Enforces NetworkPolicies for this node's pods. A control plane that does not let it read them keeps no node from starting. */
export function createNodePolicy({ identity, nodeName, clusterCidr, variant }: NodePolicyOptions): Component {
  const running = new AbortController();
  const client = new HttpClient({
    server: identity.server, caPem: identity.caPem, clientCertificate: () => identity.client.current, userAgent: "minik8s-network-policy",
    impersonateUser: `system:serviceaccount:${NAMESPACE}:${ACCOUNT}`,
  });
  const informers = createInformers(client, systemClock);
  const policy = createPolicy({ informers, exec: hostExec, nodeName, clusterCidr, clock: systemClock, variant });
  return {
    name: policy.name,
    async start() {
      informers.start(running.signal);
      void policy.start().catch((error: unknown) => log.error({ err: error }, "network policies are not enforced"));
    },
    async stop() {
      running.abort();
      await policy.stop();
      client.close();
    },
  };
}
