// Host ports as iptables rules: which packets to which ports go to the pod, and which must come back through the node.
// Pure; chains are named as the reference portmap plugin names them.
import { DNAT_CHAIN, MARK_CHAIN, MASQUERADE_CHAIN } from "../net/host/hostports.ts";
import { ownAddress, subnetOf } from "./bridge-plan.ts";
import { chainName } from "./names.ts";
import { CODE, CniError, type CniResult, type IpConfig, type PluginCall, type PortMap } from "./types.ts";

const MARK = "0x2000/0x2000";
/** The kernel's limit of the multiport match. */
const MAX_PORTS_PER_RULE = 15;

/** A container's own chain. */
export function portChain({ config, containerId }: PluginCall): string {
  return chainName("DN-", config.name, containerId);
}

/** The document that publishes a container's ports for one family, or undefined when it has none there. */
export function publishDocument(call: PluginCall, result: CniResult, family: 4 | 6): string | undefined {
  const ip = result.ips.find((entry) => entry.address.includes(":") === (family === 6));
  const ports = portMappings(call).filter((port) => matchesFamily(port, family));
  if (!ip || ports.length === 0) return undefined;
  const chain = portChain(call);
  const lines = ports.flatMap((port) => portRules(chain, port, ip, { family, hairpin: call.config.snat !== false }));
  return ["*nat", `:${chain} - [0:0]`, ...lines, ...entryRules(call, ports), "COMMIT", ""].join("\n");
}

/** The chains all containers share, and what they hold. */
export function sharedDocument(): string {
  return [
    "*nat", `:${MARK_CHAIN} - [0:0]`, `:${MASQUERADE_CHAIN} - [0:0]`,
    `-A ${MARK_CHAIN} -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark ${MARK}`,
    `-A ${MASQUERADE_CHAIN} -m mark --mark ${MARK} -j MASQUERADE`,
    "COMMIT", "",
  ].join("\n");
}

/** The rules that lead from the kernel's chains into the shared ones. */
export const SHARED_JUMPS: readonly { readonly chain: string; readonly rule: readonly string[] }[] = [
  { chain: "PREROUTING", rule: ["-m", "addrtype", "--dst-type", "LOCAL", "-j", DNAT_CHAIN] },
  { chain: "OUTPUT", rule: ["-m", "addrtype", "--dst-type", "LOCAL", "-j", DNAT_CHAIN] },
  { chain: "POSTROUTING", rule: ["-m", "comment", "--comment", "CNI portfwd requiring masquerade", "-j", MASQUERADE_CHAIN] },
];

/** The checked port mappings of a call. */
export function portMappings({ config }: PluginCall): PortMap[] {
  return (config.runtimeConfig?.portMappings ?? []).filter((port) => {
    if (port.hostPort < 0 || port.hostPort > 65535 || port.containerPort < 1 || port.containerPort > 65535) throw new CniError(CODE.invalidConfig, `Invalid host port number: ${port.hostPort} -> ${port.containerPort}`);
    return port.hostPort > 0;
  });
}

function portRules(chain: string, port: PortMap, ip: IpConfig, { family, hairpin }: { family: 4 | 6; hairpin: boolean }): string[] {
  const address = ownAddress(ip);
  const match = `-A ${chain} -p ${protocol(port)}${hostIp(port)} --dport ${port.hostPort}`;
  const target = family === 6 ? `[${address}]:${port.containerPort}` : `${address}:${port.containerPort}`;
  return [
    // A pod on the same bridge, or the node's loopback, must see the answer come from where it asked.
    ...(hairpin ? [`${match} -s ${subnetOf(ip)} -j ${MARK_CHAIN}`, ...(family === 4 ? [`${match} -s 127.0.0.1 -j ${MARK_CHAIN}`] : [])] : []),
    `${match} -j DNAT --to-destination ${target}`,
  ];
}

function entryRules(call: PluginCall, ports: readonly PortMap[]): string[] {
  const chain = portChain(call);
  const comment = `-m comment --comment "dnat name: \\"${call.config.name}\\" id: \\"${call.containerId}\\""`;
  return [...new Set(ports.map(protocol))].flatMap((name) => {
    const numbers = [...new Set(ports.filter((port) => protocol(port) === name).map((port) => port.hostPort))];
    const groups = Array.from({ length: Math.ceil(numbers.length / MAX_PORTS_PER_RULE) }, (_, index) => numbers.slice(index * MAX_PORTS_PER_RULE, (index + 1) * MAX_PORTS_PER_RULE));
    return groups.map((group) => `-A ${DNAT_CHAIN} -p ${name} ${comment} -m multiport --dports ${group.join(",")} -j ${chain}`);
  });
}

function matchesFamily(port: PortMap, family: 4 | 6): boolean {
  return !port.hostIP || port.hostIP.includes(":") === (family === 6);
}

function hostIp({ hostIP }: PortMap): string {
  return hostIP && hostIP !== "0.0.0.0" && hostIP !== "::" ? ` -d ${hostIP}` : "";
}

function protocol(port: PortMap): string {
  return (port.protocol ?? "tcp").toLowerCase();
}
