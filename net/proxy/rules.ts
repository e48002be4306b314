// Services and EndpointSlices to rules: the proxy as one pure function.
// The running proxy calls its parts, remembering what has not changed.
import type { EndpointSlice, Service } from "../../api/types.ts";
import { documentFor, NO_CHAINS } from "../host/chains.ts";
import { chainsFor } from "./document.ts";
import { endpointsOf } from "./endpoints.ts";
import { servicePorts } from "./service.ts";
import { portRules, type NodeConfig, type PortRules } from "./service-rules.ts";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** The rules of every port of one Service. */
export function serviceRules(service: Service, slices: readonly EndpointSlice[], config: NodeConfig): PortRules[] {
  const family = config.clusterCidr.includes(":") ? 6 : 4;
  return servicePorts(service, family).map((port) => portRules(port, endpointsOf(port, slices, config), config));
}

/** The complete iptables-restore document for one node. */
export function rules(services: readonly Service[], slices: readonly EndpointSlice[], config: NodeConfig): string {
  const byService = Map.groupBy(slices, (slice) => `${slice.metadata.namespace}/${slice.metadata.labels?.[SERVICE_NAME_LABEL]}`);
  const ports = services.flatMap((service) => serviceRules(service, byService.get(`${service.metadata.namespace}/${service.metadata.name}`) ?? [], config));
  return documentFor(chainsFor(ports, config.clusterCidr.includes(":") ? 6 : 4), NO_CHAINS) ?? "";
}
