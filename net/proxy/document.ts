// The proxy's whole wish as chains: those all Services share, and each one's own.
// Pure.
import type { Chains } from "../host/chains.ts";
import type { PortRules } from "./service-rules.ts";

/** The mark of packets whose source must become the node's. */
export const MASQUERADE_MARK = "0x4000/0x4000";

/** All chains for the given ports' rules; addresses of one family. */
export function chainsFor(ports: Iterable<PortRules>, family: 4 | 6): Chains {
  const filter = new Map<string, string[]>([["KUBE-SERVICES", []], ["KUBE-EXTERNAL-SERVICES", []], ["KUBE-NODEPORTS", []], ["KUBE-PROXY-FIREWALL", []], ["KUBE-FORWARD", FORWARD], ["KUBE-FIREWALL", family === 4 ? LOCALNET : []]]);
  const nat = new Map<string, string[]>([["KUBE-SERVICES", []], ["KUBE-NODEPORTS", []], ["KUBE-POSTROUTING", POSTROUTING], ["KUBE-MARK-MASQ", ["-j MARK --or-mark 0x4000"]]]);
  for (const rules of ports) {
    filter.get("KUBE-SERVICES")?.push(...rules.filterServices);
    filter.get("KUBE-EXTERNAL-SERVICES")?.push(...rules.filterExternal);
    filter.get("KUBE-NODEPORTS")?.push(...rules.filterNodePorts);
    filter.get("KUBE-PROXY-FIREWALL")?.push(...rules.filterFirewall);
    nat.get("KUBE-SERVICES")?.push(...rules.natServices);
    nat.get("KUBE-NODEPORTS")?.push(...rules.natNodePorts);
    for (const [chain, lines] of rules.chains) nat.set(chain, [...lines]);
  }
  nat.get("KUBE-SERVICES")?.push(NODE_PORTS + (family === 6 ? " ! -d ::1/128" : "") + " -j KUBE-NODEPORTS");
  return { filter, nat };
}

const NODE_PORTS = '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL';

const POSTROUTING = [
  `-m mark ! --mark ${MASQUERADE_MARK} -j RETURN`,
  // Cleared, or a packet passing here twice (IPsec, tunnels) is masqueraded twice.
  "-j MARK --xor-mark 0x4000",
  '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
];

const FORWARD = [
  // A packet conntrack cannot place would pass un-NATed, and the client would reset a healthy connection.
  "-m conntrack --ctstate INVALID -j DROP",
  `-m comment --comment "kubernetes forwarding rules" -m mark --mark ${MASQUERADE_MARK} -j ACCEPT`,
  '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
];

/** Node ports on 127.0.0.1 need route_localnet, which would let neighbours reach loopback services: CVE-2020-8558. */
const LOCALNET = ['-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP'];
