// The Service that cluster DNS is known under: kube-system/kube-dns at the cluster's DNS address.
// It has no selector and no endpoints, because every node answers on that address itself.
import type { Client } from "../../api/client/client.ts";
import { ApiError } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Service } from "../../api/types.ts";

/** The Service as it is created. */
export function dnsService(dnsIp: string): Service {
  return {
    apiVersion: "v1", kind: "Service",
    metadata: { namespace: "kube-system", name: "kube-dns", labels: { "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS" } },
    spec: {
      type: "ClusterIP", clusterIP: dnsIp, clusterIPs: [dnsIp],
      ports: [{ name: "dns", port: 53, protocol: "UDP", targetPort: 53 }, { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 }],
    },
  };
}

/** Creates the Service unless there is one, whoever made it; needs rights in kube-system. */
export async function ensureDnsService(client: Client, dnsIp: string): Promise<void> {
  try {
    await client.create(builtinKind("", "v1", "Service"), dnsService(dnsIp));
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== "AlreadyExists") throw error;
  }
}
