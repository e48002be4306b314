// What a service implies: policies and ports by its type. Constants (type, affinity) come from the schema.
import type { Service, ServiceSpec } from "../../../../api/types.ts";

const CLIENT_IP_SECONDS = 10_800;

/** Sets what a service's type and affinity imply. Idempotent; mutates. */
export function defaultService({ spec, status }: Service): void {
  if (!spec) return;
  spec.type ||= "ClusterIP";
  spec.sessionAffinity ||= "None";
  defaultAffinity(spec);
  for (const port of spec.ports ?? []) {
    port.protocol ||= "TCP";
    if (!port.targetPort) port.targetPort = port.port;
  }
  if (isExternallyAccessible(spec)) spec.externalTrafficPolicy ||= "Cluster";
  if (spec.type === "ExternalName") delete spec.internalTrafficPolicy;
  else spec.internalTrafficPolicy ??= "Cluster";
  if (spec.type !== "LoadBalancer") return;
  spec.allocateLoadBalancerNodePorts ??= true;
  for (const ingress of status?.loadBalancer?.ingress ?? []) if (ingress.ip) ingress.ipMode ??= "VIP";
}

function defaultAffinity(spec: ServiceSpec): void {
  if (spec.sessionAffinity === "None") delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "ClientIP" && spec.sessionAffinityConfig?.clientIP?.timeoutSeconds == null) spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: CLIENT_IP_SECONDS } };
}

/** Whether traffic may come from outside the cluster. */
export function isExternallyAccessible({ type, externalIPs }: ServiceSpec): boolean {
  return type === "LoadBalancer" || type === "NodePort" || (type === "ClusterIP" && (externalIPs?.length ?? 0) > 0);
}

/** Whether nodes answer for the service's health on a port of its own. */
export function needsHealthCheck({ type, externalTrafficPolicy }: ServiceSpec): boolean {
  return type === "LoadBalancer" && externalTrafficPolicy === "Local";
}

export const needsNodePort = ({ type }: ServiceSpec): boolean => type === "NodePort" || type === "LoadBalancer";
export const needsClusterIP = ({ type }: ServiceSpec): boolean => type !== "ExternalName";
/** Whether the service asks for no address of its own. */
export const isHeadless = ({ clusterIPs, clusterIP }: ServiceSpec): boolean => (clusterIPs?.length === 1 ? clusterIPs[0] : clusterIP) === "None";
