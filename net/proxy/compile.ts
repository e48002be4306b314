// Everything the proxy derives from one Service and its slices, computed once and kept until either changes.
// Pure.
import type { EndpointSlice, Service } from "../../api/types.ts";
import { endpointsOf, type Endpoint } from "./endpoints.ts";
import { servicePorts, type ServicePort } from "./service.ts";
import { portRules, type NodeConfig, type PortRules } from "./service-rules.ts";

/** One Service, compiled. */
export interface CompiledService {
  readonly service: Service;
  readonly slices: readonly EndpointSlice[];
  readonly rules: readonly PortRules[];
  readonly endpointCount: number;
  readonly udp: readonly UdpPort[];
  readonly health?: HealthCheck;
}

/** A UDP port's addresses, and the endpoints its flows may go to. */
export interface UdpPort {
  /** `ip:port` of every address but node ports. */
  readonly frontends: readonly string[];
  readonly nodePort: number;
  readonly serving: ReadonlySet<string>;
}

/** What a balancer asks about one Service of external policy Local. */
export interface HealthCheck {
  readonly port: number;
  readonly namespace: string;
  readonly name: string;
  readonly localEndpoints: number;
}

/** Compiles one Service for this node. */
export function compileService(service: Service, slices: readonly EndpointSlice[], config: NodeConfig): CompiledService {
  const ports = servicePorts(service, config.clusterCidr.includes(":") ? 6 : 4).map((port) => ({ port, endpoints: endpointsOf(port, slices, config) }));
  const health = healthCheck(ports);
  return {
    service, slices,
    rules: ports.map(({ port, endpoints }) => portRules(port, endpoints, config)),
    endpointCount: ports.reduce((sum, { endpoints }) => sum + endpoints.length, 0),
    udp: ports.flatMap(({ port, endpoints }) => (port.protocol === "udp" ? [udpPort(port, endpoints)] : [])),
    ...(health && { health }),
  };
}

function udpPort(port: ServicePort, endpoints: readonly Endpoint[]): UdpPort {
  const addresses = [port.clusterIp, ...port.externalIps, ...port.loadBalancerIps];
  return {
    frontends: addresses.map((ip) => joinHostPort(ip, port.port)),
    nodePort: port.nodePort,
    serving: new Set(endpoints.filter((endpoint) => endpoint.serving).map((endpoint) => endpoint.target)),
  };
}

function healthCheck(ports: readonly { port: ServicePort; endpoints: readonly Endpoint[] }[]): HealthCheck | undefined {
  const port = ports.find((entry) => entry.port.healthCheckNodePort !== 0)?.port;
  if (!port) return undefined;
  const local = ports.flatMap((entry) => entry.endpoints.filter((endpoint) => endpoint.isLocal && endpoint.ready).map((endpoint) => endpoint.ip));
  return { port: port.healthCheckNodePort, namespace: port.namespace, name: port.service, localEndpoints: new Set(local).size };
}

/** `ip:port`, brackets around IPv6. */
export function joinHostPort(ip: string, port: number | string): string {
  return ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`;
}
