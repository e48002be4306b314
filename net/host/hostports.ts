// The chains host ports live in, and how to be rid of them all.
// What is in them is the portmap plugin's business; their names are the reference plugin's.
import type { Iptables } from "./iptables.ts";

export const DNAT_CHAIN = "CNI-HOSTPORT-DNAT";
export const MARK_CHAIN = "CNI-HOSTPORT-SETMARK";
export const MASQUERADE_CHAIN = "CNI-HOSTPORT-MASQ";

/** Removes every chain host ports ever made on this machine. */
export async function removeHostPortChains(iptables: Iptables): Promise<void> {
  const entries = (await iptables.rules({ table: "nat", chain: DNAT_CHAIN })) ?? [];
  const chains = new Set(entries.flatMap((rule) => /-j (CNI-DN-\S+)/.exec(rule)?.[1] ?? []));
  for (const chain of chains) await iptables.deleteChain({ table: "nat", chain }, [DNAT_CHAIN]);
  await iptables.deleteChain({ table: "nat", chain: DNAT_CHAIN }, ["PREROUTING", "OUTPUT"]);
  await iptables.deleteChain({ table: "nat", chain: MASQUERADE_CHAIN }, ["POSTROUTING"]);
  await iptables.deleteChain({ table: "nat", chain: MARK_CHAIN }, []);
}
