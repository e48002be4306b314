// iptables as idempotent operations on chains of our own, whichever backend the machine uses.
// Whole documents go through `iptables-restore --noflush`; rules of others are never touched.
import { ExecError, run, type Exec } from "../../lib/exec.ts";

export type Table = "filter" | "nat" | "mangle" | "raw";

/** One rule's place: a chain of a table. */
export interface ChainRef {
  readonly table: Table;
  readonly chain: string;
}

/** The packet filter of one address family in the current network namespace. */
export interface Iptables {
  /** Applies a `*table ... COMMIT` document; chains it declares are emptied first, all others stay. Throws ExecError, having changed nothing. */
  restore(document: string): Promise<void>;
  /** `iptables-save` of one table. */
  save(table: Table): Promise<string>;
  /** The chain's rules as `-A CHAIN ...` lines; undefined when there is no such chain. */
  rules(ref: ChainRef): Promise<readonly string[] | undefined>;
  /** Creates the chain unless it exists. */
  ensureChain(ref: ChainRef): Promise<void>;
  /** Adds a rule at the chain's beginning or end unless it is there; says whether it was missing. */
  ensureRule(ref: ChainRef, rule: readonly string[], position: "first" | "last"): Promise<boolean>;
  /** Removes the chain, its rules, and every rule of `parents` that jumps to it; absence is success. */
  deleteChain(ref: ChainRef, parents: readonly string[]): Promise<void>;
}

export interface IptablesOptions {
  readonly exec: Exec;
  readonly family?: 4 | 6;
  /** Which installed backend: `iptables-legacy`, `iptables-nft`, or plain `iptables`. */
  readonly variant?: "legacy" | "nft" | undefined;
}

/** The lock is waited for 5 seconds, as long as upstream does. */
const WAIT = ["-w", "5"];

/** iptables through the given Exec; see `detectVariant` for which variant to ask for. */
export function createIptables({ exec, family = 4, variant }: IptablesOptions): Iptables {
  const name = `${family === 6 ? "ip6tables" : "iptables"}${variant ? `-${variant}` : ""}`;
  const call = (ref: ChainRef, verb: string, rest: readonly string[] = []) => exec([name, ...WAIT, "-t", ref.table, verb, ref.chain, ...rest]);

  const rules: Iptables["rules"] = async (ref) => {
    const result = await call(ref, "-S");
    return result.exitCode === 0 ? result.stdout.split("\n").filter((line) => line.startsWith("-A ")) : undefined;
  };
  const restore: Iptables["restore"] = async (document) => {
    const command = [`${name}-restore`, ...WAIT, "--noflush"];
    const result = await exec(command, { stdin: document });
    if (result.exitCode !== 0) throw new ExecError(command, result);
  };

  return {
    rules,
    restore,
    save: (table) => run(exec, [`${name}-save`, "-t", table]),
    async ensureChain(ref) {
      const result = await call(ref, "-N");
      if (result.exitCode !== 0 && !/exists/i.test(result.stderr)) throw new ExecError([name, "-t", ref.table, "-N", ref.chain], result);
    },
    async ensureRule(ref, rule, position) {
      if ((await call(ref, "-C", rule)).exitCode === 0) return false;
      const verb = position === "first" ? "-I" : "-A";
      const result = await call(ref, verb, rule);
      if (result.exitCode !== 0) throw new ExecError([name, "-t", ref.table, verb, ref.chain, ...rule], result);
      return true;
    },
    async deleteChain(ref, parents) {
      const jumps = await Promise.all(parents.map((chain) => rules({ table: ref.table, chain })));
      const lines = jumps.flatMap((found) => (found ?? []).filter((line) => targets(line, ref.chain)).map((line) => line.replace(/^-A/, "-D")));
      if ((await rules(ref)) !== undefined) lines.push(`-F ${ref.chain}`, `-X ${ref.chain}`);
      if (lines.length > 0) await restore(`*${ref.table}\n${lines.join("\n")}\nCOMMIT\n`);
    },
  };
}

/** Whether a listed rule jumps or goes to a chain. */
function targets(line: string, chain: string): boolean {
  return new RegExp(`\\s-[jg] ${chain}(\\s|$)`).test(line);
}
