// The rules that lead from the kernel's chains into ours: present, and in the wanted order among themselves.
// Others' rules around them stay where they are.
import type { Iptables, Table } from "./iptables.ts";

/** One jump; `match` is the rule without its target, as iptables prints it. */
export interface Jump {
  readonly table: Table;
  readonly from: "PREROUTING" | "INPUT" | "FORWARD" | "OUTPUT" | "POSTROUTING";
  readonly to: string;
  readonly match: string;
}

/** Makes jumps exist in the order given (per chain), at the front when any is missing or misplaced. Creates their chains. Says whether it had to. */
export async function ensureJumps(iptables: Iptables, jumps: readonly Jump[]): Promise<boolean> {
  let changed = false;
  for (const group of Map.groupBy(jumps, (jump) => `${jump.table} ${jump.from}`).values()) changed = (await ensureGroup(iptables, group)) || changed;
  return changed;
}

/** Removes chains and every jump to them; absence is success. */
export async function removeJumps(iptables: Iptables, jumps: readonly Jump[]): Promise<void> {
  for (const [target, group] of Map.groupBy(jumps, (jump) => `${jump.table} ${jump.to}`)) {
    const [table, chain] = target.split(" ") as [Table, string];
    await iptables.deleteChain({ table, chain }, group.map((jump) => jump.from));
  }
}

async function ensureGroup(iptables: Iptables, jumps: readonly Jump[]): Promise<boolean> {
  const { table, from } = jumps[0] as Jump;
  const wanted = jumps.map((jump) => jump.to);
  const existing = ((await iptables.rules({ table, chain: from })) ?? []).filter((line) => wanted.includes(targetOf(line)));
  if (existing.map(targetOf).join(" ") === wanted.join(" ")) return false;
  for (const chain of wanted) await iptables.ensureChain({ table, chain });
  // One document, so that no packet meets half of the order.
  const lines = [...existing.map((line) => line.replace(/^-A/, "-D")), ...jumps.toReversed().map((jump) => `-I ${from} 1 ${jump.match ? `${jump.match} ` : ""}-j ${jump.to}`)];
  await iptables.restore(`*${table}\n${lines.join("\n")}\nCOMMIT\n`);
  return true;
}

function targetOf(line: string): string {
  return / -j (\S+)/.exec(line)?.[1] ?? "";
}
