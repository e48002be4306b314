// What the proxy needs of a Service: one entry per port, in one address family.
// Pure; Services that are none of the proxy's business give no entries.
import type { Service } from "../../api/types.ts";
import { parseAddress, parseCidr, type Address } from "../../lib/cidr.ts";
import { servicePortName } from "./names.ts";

/** One port of one Service. */
export interface ServicePort {
  readonly namespace: string;
  readonly service: string;
  readonly portName: string;
  /** `namespace/name:port`. */
  readonly name: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly clusterIp: string;
  readonly port: number;
  /** 0: none. */
  readonly nodePort: number;
  readonly externalIps: readonly string[];
  readonly loadBalancerIps: readonly string[];
  /** Empty: everybody. */
  readonly sourceRanges: readonly string[];
  /** 0: none. */
  readonly healthCheckNodePort: number;
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** 0: no session affinity. */
  readonly affinitySeconds: number;
}

const PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name";
const DEFAULT_AFFINITY_SECONDS = 10800;

/** The ports of a Service to proxy; none for headless, ExternalName, or another proxy's Services. */
export function servicePorts(service: Service, family: 4 | 6): ServicePort[] {
  const { spec, metadata } = service;
  const clusterIp = [...(spec?.clusterIPs ?? []), spec?.clusterIP ?? ""].find((ip) => isFamily(ip, family));
  if (!spec || spec.type === "ExternalName" || !clusterIp || metadata.labels?.[PROXY_NAME_LABEL] !== undefined) return [];
  const externallyLocal = spec.externalTrafficPolicy === "Local" && (spec.type === "NodePort" || spec.type === "LoadBalancer" || (spec.externalIPs ?? []).length > 0);
  const shared = {
    namespace: metadata.namespace ?? "", service: metadata.name ?? "", clusterIp,
    externalIps: (spec.externalIPs ?? []).filter((ip) => isFamily(ip, family)),
    loadBalancerIps: loadBalancerIps(service, family),
    sourceRanges: sourceRanges(spec.loadBalancerSourceRanges ?? [], family),
    healthCheckNodePort: spec.type === "LoadBalancer" && externallyLocal ? (spec.healthCheckNodePort ?? 0) : 0,
    internalLocal: spec.internalTrafficPolicy === "Local",
    externalLocal: externallyLocal,
    affinitySeconds: spec.sessionAffinity === "ClientIP" ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS) : 0,
  };
  return (spec.ports ?? []).map((port) => ({
    ...shared,
    portName: port.name ?? "",
    name: servicePortName(shared.namespace, shared.service, port.name ?? ""),
    protocol: (port.protocol ?? "TCP").toLowerCase() as ServicePort["protocol"],
    port: port.port,
    nodePort: port.nodePort ?? 0,
  }));
}

/** Whether traffic reaches the port by anything but its cluster IP. */
export function isExternallyAccessible(port: ServicePort): boolean {
  return port.nodePort !== 0 || port.loadBalancerIps.length > 0 || port.externalIps.length > 0;
}

/** Whether the Cluster traffic policy is ever used: also for a Local one, by traffic from inside the cluster. */
export function usesClusterEndpoints(port: ServicePort): boolean {
  return !port.internalLocal || isExternallyAccessible(port);
}

/** Whether the Local traffic policy is ever used. */
export function usesLocalEndpoints(port: ServicePort): boolean {
  return port.internalLocal || (port.externalLocal && isExternallyAccessible(port));
}

/** Whether an address is of a family. */
export function isFamily(ip: string, family: 4 | 6): boolean {
  return parseAddress(ip)?.family === family;
}

function loadBalancerIps({ status }: Service, family: 4 | 6): string[] {
  const ingress = status?.loadBalancer?.ingress ?? [];
  return ingress.flatMap(({ ip, ipMode }) => (ip && (ipMode ?? "VIP") === "VIP" && isFamily(ip, family) ? [ip] : []));
}

function sourceRanges(ranges: readonly string[], family: 4 | 6): string[] {
  const own = ranges.map((range) => range.trim()).filter((range) => (parseCidr(range)?.address as Address | undefined)?.family === family);
  return own.some((range) => range.endsWith("/0")) ? [] : own;
}
