// What a machine that trusts nobody yet may read: where the API is and whose word to take, as kubeadm publishes it.
// Readable by anybody; the bootstrap signer signs it with every join token, so whoever has one can tell that it is true.
import { createIfAbsent, createOrUpdate } from "../api/client/create-or-update.ts";
import type { Client } from "../api/client/client.ts";
import { builtinKind } from "../api/registry.ts";
import type { ConfigMap, Role, RoleBinding } from "../api/types.ts";
import { discoveryText } from "./kubeconfig.ts";

const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const ROLES = builtinKind("rbac.authorization.k8s.io", "v1", "Role");
const ROLE_BINDINGS = builtinKind("rbac.authorization.k8s.io", "v1", "RoleBinding");
const INFO = { name: "cluster-info", namespace: "kube-public" };
const READER = { name: "kubeadm:bootstrap-signer-clusterinfo", namespace: INFO.namespace };

export interface ClusterInfoOptions {
  readonly server: string;
  readonly authorityPem: string;
  /** Other control planes serve the cluster too: the address the first one published stays. */
  readonly isOneOfSeveral: boolean;
}

/** Makes `kube-public/cluster-info` and lets everybody read it; signatures that are there stay until they are made anew. */
export async function publishClusterInfo(client: Client, { isOneOfSeveral, ...place }: ClusterInfoOptions): Promise<void> {
  const apiGroup = "rbac.authorization.k8s.io";
  const data = { kubeconfig: discoveryText(place) };
  await Promise.all([
    createIfAbsent<ConfigMap>(client, CONFIG_MAPS, { metadata: INFO, data }),
    createOrUpdate<Role>(client, ROLES, { metadata: READER, rules: [{ apiGroups: [""], resources: ["configmaps"], resourceNames: [INFO.name], verbs: ["get"] }] }),
    createOrUpdate<RoleBinding>(client, ROLE_BINDINGS, { metadata: READER, roleRef: { apiGroup, kind: "Role", name: READER.name }, subjects: [{ apiGroup, kind: "User", name: "system:anonymous" }] }),
  ]);
  // Fields beside it are the signer's.
  if (!isOneOfSeveral) await client.patch<ConfigMap>(CONFIG_MAPS, INFO, { data }, { type: "merge" });
}
