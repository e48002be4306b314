// What a joining node must know of its cluster: published by the control plane, read by every agent with its own identity.
import { createOrUpdate } from "../api/client/create-or-update.ts";
import type { Client } from "../api/client/client.ts";
import { orAbsent } from "../api/errors.ts";
import { builtinKind } from "../api/registry.ts";
import type { ClusterRoleBinding, ConfigMap, Role, RoleBinding } from "../api/types.ts";
import { firstAddress, nthAddress } from "../lib/addresses.ts";
import type { Values } from "./flags.ts";

const CONFIG_MAPS = builtinKind("", "v1", "ConfigMap");
const ROLES = builtinKind("rbac.authorization.k8s.io", "v1", "Role");
const ROLE_BINDINGS = builtinKind("rbac.authorization.k8s.io", "v1", "RoleBinding");
const CLUSTER_ROLES = builtinKind("rbac.authorization.k8s.io", "v1", "ClusterRole");
const CLUSTER_ROLE_BINDINGS = builtinKind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding");
const NAME = "minik8s-cluster";
const READERS = "minik8s:cluster-readers";
/** What older versions granted. */
const FORMER_LOCAL_PATHS = "minik8s:local-path-node";
const NAMESPACE = "kube-system";
/** The DNS service's place in the service range, by convention. */
const DNS_INDEX = 10;

/** Settings every node shares. */
export interface ClusterConfig {
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDomain: string;
  readonly dnsIp: string;
}

/** The settings a control plane was started with. */
export function clusterConfigOf(values: Values): ClusterConfig {
  const serviceCidr = values["service-cidr"] as string;
  return { clusterCidr: values["cluster-cidr"] as string, serviceCidr, clusterDomain: values["cluster-domain"] as string, dnsIp: nthAddress(serviceCidr, DNS_INDEX) };
}

/** The kubernetes Service's own address. */
export function apiServiceIp({ serviceCidr }: ClusterConfig): string {
  return firstAddress(serviceCidr);
}

/** Makes the settings readable for nodes, and for nobody else who has no rights. */
export async function publishClusterConfig(client: Client, config: ClusterConfig): Promise<void> {
  const metadata = { name: NAME, namespace: NAMESPACE };
  const rbac = { apiGroup: "rbac.authorization.k8s.io" };
  await Promise.all([
    createOrUpdate<ConfigMap>(client, CONFIG_MAPS, { metadata, data: { ...config } }),
    createOrUpdate<Role>(client, ROLES, { metadata: { name: READERS, namespace: NAMESPACE }, rules: [{ apiGroups: [""], resources: ["configmaps"], resourceNames: [NAME], verbs: ["get"] }] }),
    // Proxy, DNS and routes run as the node: what upstream grants a node proxier.
    createOrUpdate<ClusterRoleBinding>(client, CLUSTER_ROLE_BINDINGS, { metadata: { name: "minik8s:node-proxiers" }, roleRef: { ...rbac, kind: "ClusterRole", name: "system:node-proxier" }, subjects: [{ ...rbac, kind: "Group", name: "system:nodes" }] }),
    // Every node could change every volume through these; the Node authorizer knows which are its own.
    ...[CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS].map((kind) => orAbsent(client.delete(kind, { name: FORMER_LOCAL_PATHS }))),
    createOrUpdate<RoleBinding>(client, ROLE_BINDINGS, { metadata: { name: READERS, namespace: NAMESPACE }, roleRef: { ...rbac, kind: "Role", name: READERS }, subjects: [{ ...rbac, kind: "Group", name: "system:nodes" }] }),
  ]);
}

/** The settings of the cluster a client belongs to; throws what the API answers. */
export async function readClusterConfig(client: Client): Promise<ClusterConfig> {
  const { data } = await client.get<ConfigMap>(CONFIG_MAPS, { name: NAME, namespace: NAMESPACE });
  return data as unknown as ClusterConfig;
}
