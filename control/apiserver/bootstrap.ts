// What every cluster contains from its first moment: namespaces, the API's own Service, priority classes.
// Safe to repeat at every start: what is there and right is left alone. Default roles are the business of `auth/policy`, classes of request that of `flowcontrol`.
import type { Client } from "../../api/client/client.ts";
import { createIfAbsent } from "../../api/client/create-or-update.ts";
import { builtinKind } from "../../api/registry.ts";
import type { AnyObject, Namespace, PriorityClass, Service } from "../../api/types.ts";
import { StartHooks } from "./http/starthooks.ts";
import { isReachable, publishAddresses } from "./addresses.ts";

const NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];
const NAMESPACE = builtinKind("", "v1", "Namespace");
const SERVICE = builtinKind("", "v1", "Service");
const PRIORITY_CLASS = builtinKind("scheduling.k8s.io", "v1", "PriorityClass");
const SERVICE_CIDR = builtinKind("networking.k8s.io", "v1", "ServiceCIDR");

export interface BootstrapOptions {
  /** Where clients inside and outside reach this API server. */
  readonly advertiseAddress: string;
  readonly port: number;
  /** The cluster IP of `default/kubernetes`: the first of the service range. */
  readonly apiServiceIp: string;
  /** The ranges of cluster IPs, the default family first. */
  readonly serviceCidrs: readonly string[];
  /** Other API servers serve the same cluster, and where they all are is published elsewhere. */
  readonly isOneOfSeveral?: boolean;
}

/** Makes what is missing; throws what the API answers when something cannot be made. `hooks` are told what is done. */
export async function ensureBootstrap(client: Client, options: BootstrapOptions, hooks = new StartHooks([])): Promise<void> {
  await Promise.all([
    hooks.run(Promise.all(NAMESPACES.map((name) => createIfAbsent<Namespace>(client, NAMESPACE, { metadata: { name } }))), "poststarthook/start-system-namespaces-controller"),
    hooks.run(Promise.all(PRIORITY_CLASSES.map((each) => createIfAbsent(client, PRIORITY_CLASS, each))), "poststarthook/scheduling/bootstrap-system-priority-classes"),
  ]);
  await hooks.run(Promise.all([createIfAbsent(client, SERVICE, apiService(options)), publishOwn(client, options)]), "poststarthook/bootstrap-controller");
  await hooks.run(createIfAbsent<AnyObject>(client, SERVICE_CIDR, { metadata: { name: "kubernetes" }, spec: { cidrs: [...options.serviceCidrs] } }), "poststarthook/start-kubernetes-service-cidr-controller");
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

async function publishOwn(client: Client, { advertiseAddress: address, port, isOneOfSeveral }: BootstrapOptions): Promise<void> {
  if (!isOneOfSeveral && isReachable({ address, port })) await publishAddresses(client, [address], port);
}
