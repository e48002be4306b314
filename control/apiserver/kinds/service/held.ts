// What a service holds uniquely in the cluster.
import type { ServiceSpec } from "../../../../api/types.ts";
import { isHeadless, needsClusterIP, needsHealthCheck, needsNodePort } from "./defaults.ts";
import { nodePortsOf } from "./update.ts";

/** The addresses of a service. */
export function addressesOf(spec: ServiceSpec): string[] {
  if (!needsClusterIP(spec) || isHeadless(spec)) return [];
  return (spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ""]).filter((ip) => ip !== "");
}

/** The node ports of a service. */
export function portsOf(spec: ServiceSpec): number[] {
  const ports = needsNodePort(spec) ? nodePortsOf(spec) : [];
  return needsHealthCheck(spec) && spec.healthCheckNodePort ? [...ports, spec.healthCheckNodePort] : ports;
}
