// Takes all of a node's network off a machine: what `down` runs once agent and containers are gone.
// Only what carries our names; absence is success.
import type { Exec } from "../lib/exec.ts";
import { DNS_LINK } from "./dns/dns.ts";
import { cleanHost } from "./host/host.ts";
import { removeHostPortChains } from "./host/hostports.ts";
import { createIptables } from "./host/iptables.ts";
import { releaseAddress } from "./host/localaddress.ts";
import { detectVariant } from "./host/variant.ts";
import { removeRoutes } from "./overlay/apply.ts";
import { cleanupPolicy } from "./policy/policy.ts";
import { cleanupProxy } from "./proxy/cleanup.ts";

/** Removes proxy, policy and host port chains, pod traffic rules, routes, tunnel, DNS address and bridge. */
export async function cleanupNetwork(exec: Exec): Promise<void> {
  const variant = await detectVariant(exec);
  for (const family of [4, 6] as const) {
    const iptables = createIptables({ exec, family, variant });
    await cleanupProxy(iptables);
    await cleanupPolicy(iptables);
    await removeHostPortChains(iptables);
  }
  await removeRoutes(exec);
  await releaseAddress(exec, DNS_LINK);
  await cleanHost({ exec, variant });
}
