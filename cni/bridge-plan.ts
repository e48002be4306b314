// What a pod's network consists of, as batches of `ip` commands: the bridge, the veth pair, addresses, routes.
// Pure; `bridge.ts` applies it.
import { formatAddress, formatCidr, networkAddress, parseCidr, type Cidr } from "../lib/cidr.ts";
import { hardwareAddress, hostLinkName } from "./names.ts";
import type { CniResult, IpConfig, NetConf, PluginCall, RouteConfig } from "./types.ts";

export const DEFAULT_BRIDGE = "cni0";

/** The batches in order: `bridge` only when there is none yet. */
export interface BridgePlan {
  readonly bridge: readonly string[];
  readonly host: readonly string[];
  readonly container: readonly string[];
  readonly result: CniResult;
}

/** Plans the attachment of one container to the bridge with the addresses IPAM gave. */
export function planBridge(call: PluginCall, ipam: CniResult): BridgePlan {
  const { config, containerId, ifName, netns } = call;
  const bridge = config.bridge ?? DEFAULT_BRIDGE;
  const link = hostLinkName(containerId, ifName);
  const mac = hardwareAddress(ownAddress(ipam.ips[0]));
  const routes = routesOf(config, ipam);
  return {
    bridge: bridgeLines(config, ipam.ips),
    host: [
      ...(config.isGateway || config.isDefaultGateway ? gatewayLines(bridge, ipam.ips) : []),
      `link add name ${link}${mtu(config)} type veth peer name ${ifName} address ${mac}${mtu(config)} netns ${netns}`,
      `link set dev ${link} master ${bridge} up`,
      ...(config.hairpinMode ? [`link set dev ${link} type bridge_slave hairpin on`] : []),
    ],
    container: [
      ...ipam.ips.map((ip) => `address add ${ip.address} dev ${ifName}${noDad(ip.address)}`),
      `link set dev ${ifName} up`,
      ...routes.map((route) => `route replace ${route.dst}${route.gw ? ` via ${route.gw}` : ""} dev ${ifName}`),
    ],
    result: {
      interfaces: [{ name: bridge }, { name: link }, { name: ifName, mac, sandbox: netns }],
      ips: ipam.ips.map((ip) => ({ ...ip, interface: 2 })),
      routes,
      dns: ipam.dns,
    },
  };
}

/** Lines that create the bridge; a gateway address gives it a hardware address that never changes. */
function bridgeLines(config: NetConf, ips: readonly IpConfig[]): string[] {
  const bridge = config.bridge ?? DEFAULT_BRIDGE;
  const gateway = ips[0]?.gateway;
  // Without its own address a bridge takes the lowest of its ports', and peers' neighbour entries go stale with every pod.
  const address = gateway ? ` address ${hardwareAddress(gateway)}` : "";
  return [`link add name ${bridge}${address}${mtu(config)} type bridge`];
}

function gatewayLines(bridge: string, ips: readonly IpConfig[]): string[] {
  const gateways = ips.flatMap((ip) => (ip.gateway ? [`${ip.gateway}/${cidr(ip).prefix}`] : []));
  return [...gateways.map((gateway) => `address replace ${gateway} dev ${bridge}${noDad(gateway)}`), `link set dev ${bridge} up`];
}

/** IPAM's routes, each through a gateway of its family; the default route when this is the default gateway. */
function routesOf(config: NetConf, ipam: CniResult): RouteConfig[] {
  const gatewayFor = (dst: string): string | undefined => ipam.ips.find((ip) => ip.address.includes(":") === dst.includes(":"))?.gateway;
  const routes = ipam.routes.map((route) => {
    const gw = route.gw ?? gatewayFor(route.dst);
    return { dst: route.dst, ...(gw && { gw }) };
  });
  if (!config.isDefaultGateway) return routes;
  const defaults = ipam.ips.flatMap((ip) => (ip.gateway ? [{ dst: ip.address.includes(":") ? "::/0" : "0.0.0.0/0", gw: ip.gateway }] : []));
  return [...routes, ...defaults.filter((route) => !routes.some((other) => other.dst === route.dst))];
}

/** The subnet an address is in, as text. */
export function subnetOf(ip: IpConfig): string {
  const { address, prefix } = cidr(ip);
  return formatCidr({ address: networkAddress({ address, prefix }), prefix });
}

/** An address without its prefix. */
export function ownAddress(ip: IpConfig | undefined): string {
  return ip ? formatAddress(cidr(ip).address) : "";
}

function cidr(ip: IpConfig): Cidr {
  const parsed = parseCidr(ip.address);
  if (!parsed) throw new Error(`IPAM answered ${JSON.stringify(ip.address)}, which is not an address with a prefix`);
  return parsed;
}

/** IPv6 addresses are unusable while the kernel looks for duplicates; IPAM has made sure there are none. */
function noDad(address: string): string {
  return address.includes(":") ? " nodad" : "";
}

function mtu(config: NetConf): string {
  return config.mtu ? ` mtu ${config.mtu}` : "";
}
