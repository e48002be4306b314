// The Service that cluster DNS is known under: kube-system/kube-dns at the cluster's DNS address.
// It has no selector and no endpoints, because every node answers on that address itself.
import type { Client } from "../../api/client/client.ts";
import { createIfAbsent } from "../../api/client/create-or-update.ts";
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
  await createIfAbsent(client, builtinKind("", "v1", "Service"), dnsService(dnsIp));
}
