// Lets pod traffic through this machine: accepted in FORWARD whatever its policy, masqueraded when it leaves the cluster.
// Docker, among others, sets FORWARD's policy to DROP; without these rules pods would be cut off.
import { ensureJumps, removeJumps, type Jump } from "./jumps.ts";
import type { Iptables } from "./iptables.ts";

export const POD_FORWARD_JUMP: Jump = { table: "filter", from: "FORWARD", to: "MINIK8S-FORWARD", match: '-m comment --comment "minik8s pod traffic"' };
export const POD_MASQUERADE_JUMP: Jump = { table: "nat", from: "POSTROUTING", to: "MINIK8S-POSTROUTING", match: '-m comment --comment "minik8s pod traffic leaving the cluster"' };

/** The document that fills both chains for one pod range. */
export function podTrafficDocument(clusterCidr: string): string {
  const multicast = clusterCidr.includes(":") ? "ff00::/8" : "224.0.0.0/4";
  return [
    "*filter", ":MINIK8S-FORWARD - [0:0]", `-A MINIK8S-FORWARD -s ${clusterCidr} -j ACCEPT`, `-A MINIK8S-FORWARD -d ${clusterCidr} -j ACCEPT`, "COMMIT",
    "*nat", ":MINIK8S-POSTROUTING - [0:0]", `-A MINIK8S-POSTROUTING -d ${multicast} -j RETURN`, `-A MINIK8S-POSTROUTING -s ${clusterCidr} ! -d ${clusterCidr} -j MASQUERADE --random-fully`, "COMMIT", "",
  ].join("\n");
}

/** Puts both chains in place; safe to repeat. */
export async function allowPodTraffic(iptables: Iptables, clusterCidr: string): Promise<void> {
  await iptables.restore(podTrafficDocument(clusterCidr));
  const isJumpedTo = async (jump: Jump): Promise<boolean> => ((await iptables.rules({ table: jump.table, chain: jump.from })) ?? []).some((line) => line.includes(` -j ${jump.to}`));
  for (const jump of [POD_FORWARD_JUMP, POD_MASQUERADE_JUMP]) if (!(await isJumpedTo(jump))) await ensureJumps(iptables, [jump]);
}

/** Takes both chains away; absence is success. */
export async function removePodTraffic(iptables: Iptables): Promise<void> {
  await removeJumps(iptables, [POD_FORWARD_JUMP, POD_MASQUERADE_JUMP]);
}
