// Which iptables backend this machine's rules live in: the older tables of the kernel or nftables.
// Rules in both at once work against each other, so ours go where the others are.
import type { Exec } from "../../lib/exec.ts";

export type Variant = "legacy" | "nft";

/** Chains a kubelet or proxy leaves as a hint for others, in the mangle table. */
const HINTS = /^:(KUBE-IPTABLES-HINT|KUBE-KUBELET-CANARY|KUBE-PROXY-CANARY) /m;

/** The backend to use; undefined where the machine has only one, called plain `iptables`. */
export async function detectVariant(exec: Exec): Promise<Variant | undefined> {
  const [legacy, nft] = await Promise.all([save(exec, "legacy"), save(exec, "nft")]);
  if (legacy === undefined || nft === undefined) return undefined;
  if (HINTS.test(nft) || HINTS.test(legacy)) return HINTS.test(nft) ? "nft" : "legacy";
  const [legacyRules, nftRules] = [ruleCount(legacy), ruleCount(nft)];
  if (legacyRules !== nftRules) return legacyRules > nftRules ? "legacy" : "nft";
  // Nobody has any rules: whatever the machine calls `iptables`, as other programs will.
  return undefined;
}

async function save(exec: Exec, variant: Variant): Promise<string | undefined> {
  const result = await exec([`iptables-${variant}-save`]);
  return result.exitCode === 127 ? undefined : result.stdout;
}

function ruleCount(saved: string): number {
  return saved.split("\n").filter((line) => line.startsWith("-")).length;
}
