// Which endpoints a service port may use from this node: readiness, traffic policy, topology hints.
// Pure; follows the proxy's rules of Kubernetes 1.36, falling back to terminating endpoints that still serve.
import type { EndpointSlice } from "../../api/types.ts";
import { usesClusterEndpoints, usesLocalEndpoints, type ServicePort } from "./service.ts";

export interface Endpoint {
  /** `ip:port`, or `[ip]:port`. */
  readonly target: string;
  readonly ip: string;
  readonly port: number;
  readonly isLocal: boolean;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly zoneHints: readonly string[];
  readonly nodeHints: readonly string[];
}

/** Where this node is. */
export interface Place {
  readonly nodeName: string;
  readonly zone: string;
}

/** What is left after policies and hints. */
export interface Categorized {
  readonly cluster: readonly Endpoint[];
  readonly local: readonly Endpoint[];
  /** Both together, each once. */
  readonly reachable: readonly Endpoint[];
  /** Whether any node has a usable one. */
  readonly hasAny: boolean;
}

/** The endpoints of one port in a Service's slices, each address once, in a stable order. */
export function endpointsOf(port: ServicePort, slices: readonly EndpointSlice[], { nodeName }: Place): Endpoint[] {
  const family = port.clusterIp.includes(":") ? "IPv6" : "IPv4";
  const found = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== family) continue;
    const match = (slice.ports ?? []).find((candidate) => (candidate.name ?? "") === port.portName && (candidate.protocol ?? "TCP").toLowerCase() === port.protocol);
    if (match?.port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const entry = describe(endpoint, match.port, nodeName);
      // An address being moved between slices is in two of them for a moment.
      if (entry && (!found.has(entry.target) || entry.isLocal)) found.set(entry.target, entry);
    }
  }
  return [...found.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
}

/** Sorts endpoints into those for the Cluster and those for the Local traffic policy. */
export function categorize(endpoints: readonly Endpoint[], port: ServicePort, place: Place): Categorized {
  const usable = endpoints.some((endpoint) => endpoint.ready || isDraining(endpoint));
  const cluster = usesClusterEndpoints(port) ? clusterEndpoints(endpoints, place) : [];
  const local = usesLocalEndpoints(port) ? readyOrDraining(endpoints.filter((endpoint) => endpoint.isLocal)) : [];
  const reachable = [...new Map([...cluster, ...local].map((endpoint) => [endpoint.target, endpoint])).values()];
  return { cluster, local, reachable, hasAny: usable };
}

function clusterEndpoints(endpoints: readonly Endpoint[], place: Place): Endpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  if (ready.length === 0) return readyOrDraining(endpoints);
  return nearest(ready, "nodeHints", place.nodeName) ?? nearest(ready, "zoneHints", place.zone) ?? ready;
}

/** Hints count only when every ready endpoint has one and some are for here. */
function nearest(ready: readonly Endpoint[], hints: "nodeHints" | "zoneHints", here: string): Endpoint[] | undefined {
  if (ready.some((endpoint) => endpoint[hints].length === 0)) return undefined;
  const hinted = ready.filter((endpoint) => endpoint[hints].includes(here));
  return hinted.length > 0 ? hinted : undefined;
}

function readyOrDraining(endpoints: readonly Endpoint[]): Endpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  return ready.length > 0 ? ready : endpoints.filter(isDraining);
}

function isDraining(endpoint: Endpoint): boolean {
  return endpoint.serving && endpoint.terminating;
}

function describe(endpoint: NonNullable<EndpointSlice["endpoints"]>[number], port: number, nodeName: string): Endpoint | undefined {
  const ip = endpoint.addresses[0];
  if (!ip) return undefined;
  const { conditions, hints } = endpoint;
  return {
    ip, port,
    target: ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`,
    isLocal: endpoint.nodeName === nodeName,
    ready: conditions?.ready ?? true,
    serving: conditions?.serving ?? true,
    terminating: conditions?.terminating ?? false,
    zoneHints: (hints?.forZones ?? []).map((zone) => zone.name),
    nodeHints: (hints?.forNodes ?? []).map((node) => node.name),
  };
}
