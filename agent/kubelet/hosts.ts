// A pod's host name, domain and managed /etc/hosts. Pure.
import type { Pod } from "../../api/types.ts";

const HEADER = "# Kubernetes-managed hosts file.\n";
const HOST_NETWORK_HEADER = "# Kubernetes-managed hosts file (host network).\n";

/** The pod's name on the network; `domain` is empty without a subdomain. */
export function hostNameOf(pod: Pod, clusterDomain: string): { hostname: string; domain: string } {
  if (pod.spec?.hostnameOverride) return { hostname: truncated(pod.spec.hostnameOverride), domain: "" };
  const hostname = truncated(pod.spec?.hostname || pod.metadata.name || "");
  const domain = pod.spec?.subdomain ? `${pod.spec.subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}` : "";
  return { hostname, domain };
}

/** What the kernel's host name is set to; throws when an FQDN was asked for and does not fit. */
export function sandboxHostName(pod: Pod, clusterDomain: string): string {
  const { hostname, domain } = hostNameOf(pod, clusterDomain);
  if (!pod.spec?.setHostnameAsFQDN || domain === "") return hostname;
  const fqdn = `${hostname}.${domain}`;
  if (fqdn.length > 64) throw new Error(`failed to construct FQDN from pod hostname and cluster domain, FQDN ${fqdn} is too long (64 characters is the max, ${fqdn.length} characters requested)`);
  return fqdn;
}

/** The content of the pod's /etc/hosts; `nodeHosts` is the node's own file, for pods on its network. */
export function hostsFile(pod: Pod, options: { podIps: readonly string[]; clusterDomain: string; nodeHosts: string }): string {
  const aliases = hostAliases(pod);
  if (pod.spec?.hostNetwork) return `${HOST_NETWORK_HEADER}${options.nodeHosts}${aliases}`;
  const { hostname, domain } = hostNameOf(pod, options.clusterDomain);
  const names = domain === "" ? hostname : `${hostname}.${domain}\t${hostname}`;
  const fixed = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::0\tip6-localnet", "fe00::0\tip6-mcastprefix", "fe00::1\tip6-allnodes", "fe00::2\tip6-allrouters"];
  return `${HEADER}${[...fixed, ...options.podIps.map((ip) => `${ip}\t${names}`)].join("\n")}\n${aliases}`;
}

function hostAliases(pod: Pod): string {
  const aliases = pod.spec?.hostAliases ?? [];
  if (aliases.length === 0) return "";
  return `\n# Entries added by HostAliases.\n${aliases.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join("\t")}\n`).join("")}`;
}

function truncated(hostname: string): string {
  return hostname.length <= 63 ? hostname : hostname.slice(0, 63).replace(/[-.]+$/, "");
}
