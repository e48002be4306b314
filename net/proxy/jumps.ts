// Where the proxy's chains hang in the kernel's, and how to tell that somebody flushed them.
// The order matters: a Service without endpoints is refused before pod traffic is accepted.
import type { Iptables } from "../host/iptables.ts";
import type { Jump } from "../host/jumps.ts";
import { POD_FORWARD_JUMP } from "../host/podtraffic.ts";

const NEW = "-m conntrack --ctstate NEW ";

const comment = (text: string): string => `-m comment --comment "${text}"`;
const jump = (table: Jump["table"], from: Jump["from"], to: string, match: string): Jump => ({ table, from, to, match });

/** Upstream's jumps, in the order upstream's prepending leaves them in. */
export const PROXY_JUMPS: readonly Jump[] = [
  jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", NEW + comment("kubernetes load balancer firewall")),
  jump("filter", "INPUT", "KUBE-NODEPORTS", comment("kubernetes health check service ports")),
  jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", NEW + comment("kubernetes externally-visible service portals")),
  jump("filter", "INPUT", "KUBE-FIREWALL", ""),
  jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", NEW + comment("kubernetes load balancer firewall")),
  jump("filter", "FORWARD", "KUBE-FORWARD", comment("kubernetes forwarding rules")),
  jump("filter", "FORWARD", "KUBE-SERVICES", NEW + comment("kubernetes service portals")),
  jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", NEW + comment("kubernetes externally-visible service portals")),
  POD_FORWARD_JUMP,
  jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", NEW + comment("kubernetes load balancer firewall")),
  jump("filter", "OUTPUT", "KUBE-SERVICES", NEW + comment("kubernetes service portals")),
  jump("filter", "OUTPUT", "KUBE-FIREWALL", ""),
  jump("nat", "OUTPUT", "KUBE-SERVICES", comment("kubernetes service portals")),
  jump("nat", "PREROUTING", "KUBE-SERVICES", comment("kubernetes service portals")),
  jump("nat", "POSTROUTING", "KUBE-POSTROUTING", comment("kubernetes postrouting rules")),
];

/** Empty chains that vanish when somebody flushes a table. */
export const CANARY = { chain: "KUBE-PROXY-CANARY", tables: ["mangle", "nat", "filter"] } as const;

/** Whether all canaries are alive. */
export async function hasCanaries(iptables: Iptables): Promise<boolean> {
  const found = await Promise.all(CANARY.tables.map((table) => iptables.rules({ table, chain: CANARY.chain })));
  return found.every((rules) => rules !== undefined);
}
