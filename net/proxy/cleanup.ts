// Takes every chain of the proxy off a machine, and nothing else.
// For `down`, and for a machine that gets another proxy.
import type { Iptables } from "../host/iptables.ts";
import { removeJumps } from "../host/jumps.ts";
import { CANARY, PROXY_JUMPS } from "./jumps.ts";
import { isServiceChain } from "./names.ts";

/** Removes all of the proxy's chains and jumps; absence is success. */
export async function cleanupProxy(iptables: Iptables): Promise<void> {
  await emptyChains(iptables);
  await removeJumps(iptables, PROXY_JUMPS.filter((jump) => jump.to.startsWith("KUBE-")));
  await iptables.deleteChain({ table: "nat", chain: "KUBE-NODEPORTS" }, []);
  await iptables.deleteChain({ table: "nat", chain: "KUBE-MARK-MASQ" }, []);
  for (const table of CANARY.tables) await iptables.deleteChain({ table, chain: CANARY.chain }, []);
}

/** Service chains refer to one another: all are emptied before any is removed. */
async function emptyChains(iptables: Iptables): Promise<void> {
  const names = [...(await iptables.save("nat")).matchAll(/^:(\S+) /gm)].map((match) => match[1] as string);
  const service = names.filter(isServiceChain);
  const shared = names.filter((name) => /^KUBE-(SERVICES|NODEPORTS)$/.test(name));
  if (service.length + shared.length === 0) return;
  await iptables.restore(["*nat", ...[...service, ...shared].map((name) => `:${name} - [0:0]`), ...service.map((name) => `-X ${name}`), "COMMIT", ""].join("\n"));
}
