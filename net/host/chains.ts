// Chains as data, and the smallest iptables-restore document that turns what was applied into what is wanted.
// Pure.
import type { Table } from "./iptables.ts";

/** Per table, each chain's rules (without `-A CHAIN`). Every chain named is the writer's own. */
export type Chains = Readonly<Partial<Record<Table, ReadonlyMap<string, readonly string[]>>>>;

export const NO_CHAINS: Chains = {};

const TABLES: readonly Table[] = ["filter", "nat", "mangle", "raw"];

/** The document from `applied` to `desired`, or undefined when there is nothing to do. `stale` names chains to remove that `applied` does not know of. */
export function documentFor(desired: Chains, applied: Chains, stale: Readonly<Partial<Record<Table, readonly string[]>>> = {}): string | undefined {
  const document = TABLES.map((table) => tableFor({ table, desired: desired[table] ?? new Map(), applied: applied[table] ?? new Map(), stale: stale[table] ?? [] })).join("");
  return document === "" ? undefined : document;
}

interface TableChange {
  readonly table: Table;
  readonly desired: ReadonlyMap<string, readonly string[]>;
  readonly applied: ReadonlyMap<string, readonly string[]>;
  readonly stale: readonly string[];
}

function tableFor({ table, desired, applied, stale }: TableChange): string {
  const changed = [...desired].filter(([chain, rules]) => !sameRules(applied.get(chain), rules));
  const gone = [...new Set([...applied.keys(), ...stale])].filter((chain) => !desired.has(chain));
  if (changed.length === 0 && gone.length === 0) return "";
  return [
    `*${table}`,
    // Declaring a chain empties it, so a chain about to go no longer refers to others by the time they go.
    ...[...changed.map(([chain]) => chain), ...gone].map((chain) => `:${chain} - [0:0]`),
    ...changed.flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${rule}`)),
    ...gone.map((chain) => `-X ${chain}`),
    "COMMIT", "",
  ].join("\n");
}

function sameRules(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a !== undefined && (a === b || (a.length === b.length && a.every((rule, index) => rule === b[index])));
}
