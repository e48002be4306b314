// Everything the node's network asks of the machine, and what to do about each thing that is missing.
// Tried for real in a throw-away network namespace, because a loaded module list says nothing about built-in code.
import type { Exec } from "../../lib/exec.ts";
import type { Variant } from "./variant.ts";

/** Something the machine lacks, and the command that helps. */
export interface Missing {
  readonly what: string;
  readonly fix: string;
}

interface Feature {
  readonly name: string;
  readonly module: string;
  /** An iptables-restore document that needs the feature. */
  readonly document?: string;
  /** `ip` arguments that need it. */
  readonly ip?: string;
}

const COMMANDS: Readonly<Record<string, string>> = { ip: "iproute2", bridge: "iproute2", iptables: "iptables", "iptables-restore": "iptables", nsenter: "util-linux", unshare: "util-linux", conntrack: "conntrack" };

const rule = (table: string, chain: string, text: string): string => `*${table}\n-A ${chain} ${text}\nCOMMIT\n`;

const FEATURES: readonly Feature[] = [
  { name: "iptables filter table", module: "iptable_filter", document: rule("filter", "FORWARD", "-j ACCEPT") },
  { name: "iptables nat table", module: "iptable_nat", document: rule("nat", "POSTROUTING", "-j RETURN") },
  { name: "iptables mangle table", module: "iptable_mangle", document: rule("mangle", "FORWARD", "-j RETURN") },
  { name: "iptables comment match", module: "xt_comment", document: rule("filter", "FORWARD", "-m comment --comment x -j ACCEPT") },
  { name: "iptables conntrack match", module: "xt_conntrack", document: rule("filter", "FORWARD", "-m conntrack --ctstate NEW -j ACCEPT") },
  { name: "iptables mark match and target", module: "xt_mark", document: rule("mangle", "FORWARD", "-m mark ! --mark 0x4000/0x4000 -j MARK --or-mark 0x4000") },
  { name: "iptables addrtype match", module: "xt_addrtype", document: rule("nat", "PREROUTING", "-m addrtype --dst-type LOCAL -j RETURN") },
  { name: "iptables statistic match", module: "xt_statistic", document: rule("nat", "PREROUTING", "-m statistic --mode random --probability 0.5 -j RETURN") },
  { name: "iptables recent match", module: "xt_recent", document: rule("nat", "PREROUTING", "-m recent --name m8-feature --rcheck --seconds 10 --reap -j RETURN") },
  { name: "iptables multiport match", module: "xt_multiport", document: rule("nat", "PREROUTING", "-p tcp -m multiport --dports 1,2 -j RETURN") },
  { name: "iptables MASQUERADE target", module: "xt_MASQUERADE", document: rule("nat", "POSTROUTING", "-j MASQUERADE --random-fully") },
  { name: "iptables DNAT target", module: "xt_nat", document: rule("nat", "PREROUTING", "-p tcp -j DNAT --to-destination 192.0.2.1:80") },
  { name: "iptables REJECT target", module: "ipt_REJECT", document: rule("filter", "FORWARD", "-j REJECT") },
  { name: "bridge links", module: "bridge", ip: "link add name m8f-br type bridge" },
  { name: "veth links", module: "veth", ip: "link add name m8f-v0 type veth peer name m8f-v1" },
  { name: "VXLAN links", module: "vxlan", ip: "link add name m8f-vx type vxlan id 99 dstport 18472" },
];

/** What the machine lacks; empty when it has everything. Leaves no trace. */
export async function findMissing(exec: Exec, variant?: Variant): Promise<Missing[]> {
  const absent = await Promise.all(Object.keys(COMMANDS).map(async (name) => ((await exec(["sh", "-c", `command -v ${name}`])).exitCode === 0 ? undefined : name)));
  const commands = absent.filter((name) => name !== undefined);
  if (commands.length > 0) return commands.map((name) => ({ what: `the command ${name} is not installed`, fix: `apt-get install ${COMMANDS[name]}` }));
  const restore = `iptables${variant ? `-${variant}` : ""}-restore`;
  if (await works(exec, { restore, features: FEATURES })) return [];
  const missing: Missing[] = [];
  for (const feature of FEATURES) {
    if (await works(exec, { restore, features: [feature] })) continue;
    missing.push({ what: `the kernel has no ${feature.name}`, fix: `modprobe ${feature.module} (or a kernel with the module ${feature.module})` });
  }
  return missing;
}

/** Tries all of them in one namespace that lives as long as the shell. */
async function works(exec: Exec, { restore, features }: { restore: string; features: readonly Feature[] }): Promise<boolean> {
  const document = features.map((feature) => feature.document ?? "").join("");
  const batch = features.flatMap((feature) => feature.ip ?? []).join("\n");
  const script = 'printf %s "$1" | "$0" -w 5 --noflush && printf "%s\\n" "$2" | ip -batch -';
  return (await exec(["unshare", "--net", "sh", "-c", script, restore, document, batch])).exitCode === 0;
}
