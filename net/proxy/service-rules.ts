// The rules of one service port: how its addresses are caught, and how a connection reaches an endpoint.
// Pure; chains, order and comments are upstream's iptables proxier's.
import { cidrContains, parseAddress, parseCidr } from "../../lib/cidr.ts";
import { categorize, type Categorized, type Endpoint, type Place } from "./endpoints.ts";
import { endpointChain, serviceChains } from "./names.ts";
import { isExternallyAccessible, usesClusterEndpoints, usesLocalEndpoints, type ServicePort } from "./service.ts";

/** What is the same for every Service on this node. */
export interface NodeConfig extends Place {
  readonly nodeIp: string;
  /** The range pods have their addresses from: traffic from it to a Service needs no masquerade. */
  readonly clusterCidr: string;
  /** Cluster IPs this node answers itself while nothing else does. */
  readonly localClusterIps: ReadonlySet<string>;
  /** Left out in clusters of thousands of endpoints, where they are most of the document. */
  readonly comments: boolean;
}

/** The contributions of one port to the shared chains, and its own chains of the nat table. */
export interface PortRules {
  readonly natServices: readonly string[];
  readonly natNodePorts: readonly string[];
  readonly filterServices: readonly string[];
  readonly filterExternal: readonly string[];
  readonly filterFirewall: readonly string[];
  readonly filterNodePorts: readonly string[];
  readonly chains: ReadonlyMap<string, readonly string[]>;
}

/** What decides every rule of a port. */
interface Situation {
  readonly port: ServicePort;
  readonly config: NodeConfig;
  readonly endpoints: Categorized;
  readonly names: ReturnType<typeof serviceChains>;
  readonly internalChain: string;
  readonly hasInternal: boolean;
  readonly hasExternal: boolean;
  readonly usesFirewall: boolean;
}

/** The rules of one port with the endpoints it has. */
export function portRules(port: ServicePort, all: readonly Endpoint[], config: NodeConfig): PortRules {
  const situation = situate(port, all, config);
  const { endpoints } = situation;
  if (!endpoints.hasAny && config.localClusterIps.has(port.clusterIp)) return NOTHING;
  return {
    natServices: natServices(situation),
    natNodePorts: port.nodePort !== 0 && endpoints.hasAny ? [`-m comment --comment "${port.name}" ${matchPort(port, port.nodePort)} -j ${situation.names.external}`] : [],
    filterServices: situation.hasInternal ? [] : [`${refusal(situation)} ${matchPort(port, port.port, port.clusterIp)} -j ${verdict(situation)}`],
    filterExternal: situation.hasExternal ? [] : filterExternal(situation),
    filterFirewall: situation.usesFirewall ? port.loadBalancerIps.map((ip) => `${comment(`${port.name} traffic not accepted by ${situation.names.firewall}`)} ${matchPort(port, port.port, ip)} -j DROP`) : [],
    filterNodePorts: port.healthCheckNodePort === 0 ? [] : [`${comment(`${port.name} health check node port`)} -m tcp -p tcp --dport ${port.healthCheckNodePort} -j ACCEPT`],
    chains: chainsOf(situation),
  };
}

const NOTHING: PortRules = { natServices: [], natNodePorts: [], filterServices: [], filterExternal: [], filterFirewall: [], filterNodePorts: [], chains: new Map() };

function situate(port: ServicePort, all: readonly Endpoint[], config: NodeConfig): Situation {
  const endpoints = categorize(all, port, config);
  const names = serviceChains(port.name, port.protocol);
  const hasLocal = endpoints.local.length > 0;
  return {
    port, config, endpoints, names,
    internalChain: port.internalLocal ? names.local : names.cluster,
    hasInternal: endpoints.hasAny && (!port.internalLocal || hasLocal),
    hasExternal: endpoints.hasAny && (!port.externalLocal || hasLocal),
    usesFirewall: endpoints.hasAny && port.loadBalancerIps.length > 0 && port.sourceRanges.length > 0,
  };
}

function natServices({ port, endpoints, names, internalChain, hasInternal, usesFirewall }: Situation): string[] {
  const internal = hasInternal ? [`${comment(`${port.name} cluster IP`)} ${matchPort(port, port.port, port.clusterIp)} -j ${internalChain}`] : [];
  if (!endpoints.hasAny) return internal;
  return [
    ...internal,
    ...port.externalIps.map((ip) => `${comment(`${port.name} external IP`)} ${matchPort(port, port.port, ip)} -j ${names.external}`),
    ...port.loadBalancerIps.map((ip) => `${comment(`${port.name} loadbalancer IP`)} ${matchPort(port, port.port, ip)} -j ${usesFirewall ? names.firewall : names.external}`),
  ];
}

/** Nothing anywhere is refused at once; nothing here, where only here counts, is dropped so that a balancer tries another node. */
function filterExternal(situation: Situation): string[] {
  const { port } = situation;
  const why = refusal(situation);
  return [
    ...[...port.externalIps, ...port.loadBalancerIps].map((ip) => `${why} ${matchPort(port, port.port, ip)} -j ${verdict(situation)}`),
    ...(port.nodePort !== 0 ? [`${why} -m addrtype --dst-type LOCAL ${matchPort(port, port.nodePort)} -j ${verdict(situation)}`] : []),
  ];
}

function refusal({ port, endpoints }: Situation): string {
  return comment(`${port.name} has no ${endpoints.hasAny ? "local " : ""}endpoints`);
}

function verdict({ endpoints }: Situation): "REJECT" | "DROP" {
  return endpoints.hasAny ? "DROP" : "REJECT";
}

function chainsOf(situation: Situation): Map<string, readonly string[]> {
  const { port, endpoints, names, internalChain, hasInternal, usesFirewall, config } = situation;
  const chains = new Map<string, readonly string[]>();
  // Traffic for a cluster IP that comes from outside the pods may leave the node again: it must come back through here.
  const masquerade = hasInternal ? [`${comment(`${port.name} cluster IP`)} ${matchPort(port, port.port, port.clusterIp)} ! -s ${config.clusterCidr} -j KUBE-MARK-MASQ`] : [];
  const entry = (chain: string): readonly string[] => (chain === internalChain ? masquerade : []);
  if (endpoints.hasAny && isExternallyAccessible(port)) chains.set(names.external, externalChain(situation));
  if (usesFirewall) chains.set(names.firewall, firewallChain(situation));
  if (endpoints.cluster.length > 0 && usesClusterEndpoints(port)) chains.set(names.cluster, [...entry(names.cluster), ...balance(situation, endpoints.cluster)]);
  if (endpoints.local.length > 0 && usesLocalEndpoints(port)) chains.set(names.local, [...entry(names.local), ...balance(situation, endpoints.local)]);
  for (const endpoint of endpoints.reachable) chains.set(sep(port, endpoint), endpointRules(situation, endpoint));
  return chains;
}

function externalChain({ port, names, hasExternal, config }: Situation): string[] {
  if (!port.externalLocal) return [`${comment(`masquerade traffic for ${port.name} external destinations`)} -j KUBE-MARK-MASQ`, `-j ${names.cluster}`];
  return [
    // From inside the cluster neither policy applies, as if the packet had gone out to a balancer and come back.
    `${comment(`pod traffic for ${port.name} external destinations`)} -s ${config.clusterCidr} -j ${names.cluster}`,
    `${comment(`masquerade LOCAL traffic for ${port.name} external destinations`)} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ`,
    `${comment(`route LOCAL traffic for ${port.name} external destinations`)} -m addrtype --src-type LOCAL -j ${names.cluster}`,
    ...(hasExternal ? [`-j ${names.local}`] : []),
  ];
}

function firewallChain({ port, names, config }: Situation): string[] {
  const why = comment(`${port.name} loadbalancer IP`);
  const node = parseAddress(config.nodeIp);
  const allowsNode = port.sourceRanges.some((range) => { const cidr = parseCidr(range); return cidr && node && cidrContains(cidr, node); });
  // A node that holds the balancer's address reaches it with that address as source.
  const sources = [...port.sourceRanges, ...(allowsNode ? port.loadBalancerIps : [])];
  return [
    ...sources.map((source) => `${why} -s ${source} -j ${names.external}`),
    comment(`other traffic to ${port.name} will be dropped by KUBE-PROXY-FIREWALL`),
  ];
}

/** Affinity first, then an even choice: each rule takes its share of what the ones before left. */
function balance({ port, config }: Situation, endpoints: readonly Endpoint[]): string[] {
  const why = (endpoint: Endpoint): string => (config.comments ? `${comment(`${port.name} -> ${endpoint.target}`)} ` : "");
  const sticky = port.affinitySeconds === 0 ? [] : endpoints.map((endpoint) => `${why(endpoint)}-m recent --name ${sep(port, endpoint)} --rcheck --seconds ${port.affinitySeconds} --reap -j ${sep(port, endpoint)}`);
  const random = endpoints.map((endpoint, index) => {
    const left = endpoints.length - index;
    const share = left === 1 ? "" : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `;
    return `${why(endpoint)}${share}-j ${sep(port, endpoint)}`;
  });
  return [...sticky, ...random];
}

function endpointRules({ port, config }: Situation, endpoint: Endpoint): string[] {
  const why = config.comments ? `${comment(port.name)} ` : "";
  const remember = port.affinitySeconds === 0 ? "" : `-m recent --name ${sep(port, endpoint)} --set `;
  return [
    // A pod that reaches itself through its Service must see the answer come from the Service.
    `${why}-s ${endpoint.ip} -j KUBE-MARK-MASQ`,
    `${why}${remember}-m ${port.protocol} -p ${port.protocol} -j DNAT --to-destination ${endpoint.target}`,
  ];
}

function sep(port: ServicePort, endpoint: Endpoint): string {
  return endpointChain(port.name, port.protocol, endpoint.target);
}

function matchPort({ protocol }: ServicePort, number: number, destination?: string): string {
  return `-m ${protocol} -p ${protocol}${destination ? ` -d ${destination}` : ""} --dport ${number}`;
}

function comment(text: string): string {
  return `-m comment --comment "${text}"`;
}
