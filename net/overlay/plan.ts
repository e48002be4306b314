// How this node reaches the pods of every other: directly where both share a link, through VXLAN where they do not.
// Pure.
import type { Node } from "../../api/types.ts";
import { cidrContains, formatAddress, networkAddress, parseAddress, parseCidr, type Cidr } from "../../lib/cidr.ts";

/** This node's place on the network. */
export interface Uplink {
  readonly nodeName: string;
  readonly nodeIp: string;
  /** The link that holds `nodeIp`, and the subnets attached to it. */
  readonly device: string;
  readonly subnets: readonly string[];
  readonly mtu: number;
}

/** `auto` looks at each node's address; the others decide for all. */
export type OverlayMode = "auto" | "host-gw" | "vxlan";

export interface DirectRoute {
  readonly dst: string;
  readonly via: string;
}

/** One other node behind the tunnel: its range, its end of the tunnel, its address on the underlay. */
export interface TunnelPeer {
  readonly dst: string;
  readonly gateway: string;
  readonly mac: string;
  readonly nodeIp: string;
}

/** Our end of the tunnel; absent while nobody needs it. */
export interface Tunnel {
  readonly address: string;
  readonly mac: string;
  readonly mtu: number;
  readonly peers: readonly TunnelPeer[];
}

export interface RoutePlan {
  readonly direct: readonly DirectRoute[];
  readonly tunnel?: Tunnel;
}

/** Outer Ethernet, IPv4, UDP and VXLAN headers. */
const VXLAN_OVERHEAD_BYTES = 50;

/** Plans the routes to all other nodes that have a pod range and an address of the same family. */
export function planRoutes(nodes: readonly Node[], uplink: Uplink, mode: OverlayMode = "auto"): RoutePlan {
  const others = nodes.filter((node) => node.metadata.name !== uplink.nodeName).flatMap(reachable).sort((a, b) => (a.dst < b.dst ? -1 : 1));
  const isDirect = ({ via }: DirectRoute): boolean => mode === "host-gw" || (mode === "auto" && uplink.subnets.some((subnet) => contains(subnet, via))) || via.includes(":");
  const peers = others.filter((route) => !isDirect(route)).map((route) => ({ dst: route.dst, gateway: tunnelAddress(route.dst), mac: tunnelMac(route.via), nodeIp: route.via }));
  const own = nodes.find((node) => node.metadata.name === uplink.nodeName);
  const ownRange = rangesOf(own).find((range) => !range.includes(":"));
  const tunnel = peers.length > 0 && ownRange ? { address: tunnelAddress(ownRange), mac: tunnelMac(uplink.nodeIp), mtu: uplink.mtu - VXLAN_OVERHEAD_BYTES, peers } : undefined;
  return { direct: others.filter(isDirect), ...(tunnel && { tunnel }) };
}

/** What of a node matters here; two nodes with the same text need the same routes. */
export function routeSignature(node: Node): string {
  return JSON.stringify([node.metadata.name, rangesOf(node), addressesOf(node)]);
}

function reachable(node: Node): DirectRoute[] {
  const addresses = addressesOf(node);
  return rangesOf(node).flatMap((dst) => {
    const via = addresses.find((address) => address.includes(":") === dst.includes(":"));
    return via ? [{ dst, via }] : [];
  });
}

function rangesOf(node: Node | undefined): string[] {
  const { podCIDRs, podCIDR } = node?.spec ?? {};
  return (podCIDRs?.length ? podCIDRs : podCIDR ? [podCIDR] : []).filter((range) => parseCidr(range) !== undefined);
}

function addressesOf(node: Node): string[] {
  // Nobody is at the address of a simulated node.
  if (node.metadata.labels?.["minik8s.io/hollow"] === "true") return [];
  return (node.status?.addresses ?? []).filter((entry) => entry.type === "InternalIP").map((entry) => entry.address);
}

/** The first address of a node's range is no pod's: it names that node's end of the tunnel. */
function tunnelAddress(range: string): string {
  return formatAddress(networkAddress(parseCidr(range) as Cidr));
}

/** Follows from the node's address, so that nobody has to publish or learn it. */
function tunnelMac(nodeIp: string): string {
  const value = parseAddress(nodeIp)?.value ?? 0n;
  return ["0a", "59", ...[24n, 16n, 8n, 0n].map((shift) => ((value >> shift) & 255n).toString(16).padStart(2, "0"))].join(":");
}

function contains(subnet: string, address: string): boolean {
  const cidr = parseCidr(subnet);
  const parsed = parseAddress(address);
  return cidr !== undefined && parsed !== undefined && cidrContains(cidr, parsed);
}
