// What every cluster contains from its first moment: namespaces, the API's own Service, classes of priority and of request.
// Safe to repeat at every start: what is there and right is left alone. Default roles are the business of `auth/policy`.
import type { Client } from "../../api/client/client.ts";
import { createIfAbsent, createOrUpdate } from "../../api/client/create-or-update.ts";
import { builtinKind } from "../../api/registry.ts";
import type { AnyObject, Endpoints, EndpointSlice, Namespace, PriorityClass, Service } from "../../api/types.ts";
import { flowSchemas, priorityLevels } from "./flowcontrol.ts";

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];
const NAMESPACE = builtinKind("", "v1", "Namespace");
const SERVICE = builtinKind("", "v1", "Service");
const ENDPOINTS = builtinKind("", "v1", "Endpoints");
const ENDPOINT_SLICE = builtinKind("discovery.k8s.io", "v1", "EndpointSlice");
const PRIORITY_CLASS = builtinKind("scheduling.k8s.io", "v1", "PriorityClass");
const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");
const FLOW_SCHEMA = builtinKind("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema");
const PRIORITY_LEVEL = builtinKind("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration");

export interface BootstrapOptions {
  /** Where clients inside and outside reach this API server. */
  readonly advertiseAddress: string;
  readonly port: number;
  /** The cluster IP of `default/kubernetes`: the first of the service range. */
  readonly apiServiceIp: string;
  /** The ranges of cluster IPs, the default family first. */
  readonly serviceCidrs: readonly string[];
}

/** Makes what is missing; throws what the API answers when something cannot be made. */
export async function ensureBootstrap(client: Client, options: BootstrapOptions): Promise<void> {
  await Promise.all([...NAMESPACES.map((name) => createIfAbsent<Namespace>(client, NAMESPACE, { metadata: { name } })), ...PRIORITY_CLASSES.map((each) => createIfAbsent(client, PRIORITY_CLASS, each))]);
  await Promise.all([createIfAbsent(client, SERVICE, apiService(options)), publishAddress(client, options)]);
  await Promise.all([
    createIfAbsent<AnyObject>(client, SERVICE_CIDR, { metadata: { name: "kubernetes" }, spec: { cidrs: [...options.serviceCidrs] } }),
    ...priorityLevels().map((level) => createIfAbsent(client, PRIORITY_LEVEL, level)),
    ...flowSchemas().map((schema) => createIfAbsent(client, FLOW_SCHEMA, schema)),
  ]);
}

const PRIORITY_CLASSES: readonly PriorityClass[] = [
  { metadata: { name: "system-node-critical" }, value: 2_000_001_000, description: "Used for system critical pods that must not be moved from their current node." },
  { metadata: { name: "system-cluster-critical" }, value: 2_000_000_000, description: "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary." },
];

function apiService({ apiServiceIp, port }: BootstrapOptions): Service {
  return {
    metadata: { name: "kubernetes", namespace: "default", labels: { component: "apiserver", provider: "kubernetes" } },
    spec: { type: "ClusterIP", clusterIP: apiServiceIp, ipFamilyPolicy: "SingleStack", sessionAffinity: "None", ports: [{ name: "https", protocol: "TCP", port: 443, targetPort: port }] },
  };
}

/** A server that only its own machine can reach has no address for pods. */
async function publishAddress(client: Client, options: BootstrapOptions): Promise<void> {
  if (options.advertiseAddress.startsWith("127.") || options.advertiseAddress === "::1") return;
  await Promise.all([createOrUpdate(client, ENDPOINTS, apiEndpoints(options)), createOrUpdate(client, ENDPOINT_SLICE, apiEndpointSlice(options))]);
}

function apiEndpoints({ advertiseAddress, port }: BootstrapOptions): Endpoints {
  return {
    metadata: { name: "kubernetes", namespace: "default", labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } },
    subsets: [{ addresses: [{ ip: advertiseAddress }], ports: [{ name: "https", port, protocol: "TCP" }] }],
  };
}

function apiEndpointSlice({ advertiseAddress, port }: BootstrapOptions): EndpointSlice {
  return {
    metadata: { name: "kubernetes", namespace: "default", labels: { "kubernetes.io/service-name": "kubernetes" } },
    addressType: advertiseAddress.includes(":") ? "IPv6" : "IPv4",
    endpoints: [{ addresses: [advertiseAddress], conditions: { ready: true } }],
    ports: [{ name: "https", port, protocol: "TCP" }],
  };
}
