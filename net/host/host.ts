// A machine made ready to be a node's network, and made as it was before.
// The rest of `net` and `cni` builds on what is set here.
import type { Exec } from "../../lib/exec.ts";
import { createIptables } from "./iptables.ts";
import { ipDelete } from "./ip.ts";
import { allowPodTraffic, removePodTraffic } from "./podtraffic.ts";
import { setSysctls } from "./sysctl.ts";
import { detectVariant, type Variant } from "./variant.ts";

/** What was found out about the machine on the way. */
export interface HostNetwork {
  readonly variant: Variant | undefined;
}

/** Tells other programs in which backend this machine's rules live. */
const HINT = { table: "mangle", chain: "KUBE-IPTABLES-HINT" } as const;

/** Turns forwarding on, lets pod traffic pass and leave, and marks the iptables backend used; safe to repeat. Throws ExecError naming what failed. */
export async function prepareHost({ exec, clusterCidr }: { readonly exec: Exec; readonly clusterCidr: string }): Promise<HostNetwork> {
  const variant = await detectVariant(exec);
  // Absent where it is built in; where it is really missing, the sysctl below says so.
  await exec(["modprobe", "br_netfilter"]);
  const ranges = clusterCidr.split(",");
  const hasIpv6 = ranges.some((range) => range.includes(":"));
  await setSysctls(exec, {
    "net/ipv4/ip_forward": "1",
    ...(hasIpv6 && { "net/ipv6/conf/all/forwarding": "1" }),
    // Two pods on one bridge talking through a Service: without it the answer never passes the NAT.
    "net/bridge/bridge-nf-call-iptables": "1",
  });
  await tuneConntrack(exec);
  for (const range of ranges) {
    const iptables = createIptables({ exec, family: range.includes(":") ? 6 : 4, variant });
    await iptables.ensureChain(HINT);
    await allowPodTraffic(iptables, range);
  }
  return { variant };
}

/** As upstream's proxy does: idle connections are kept for a day, half-closed ones for an hour. Best effort, because a container may not be allowed to. */
async function tuneConntrack(exec: Exec): Promise<void> {
  const values = { nf_conntrack_tcp_timeout_established: "86400", nf_conntrack_tcp_timeout_close_wait: "3600" };
  await setSysctls(exec, Object.fromEntries(Object.entries(values).map(([key, value]) => [`net/netfilter/${key}`, value]))).catch(() => undefined);
}

/** Takes away what `prepareHost` and attached pods left: chains, bridge, hint. Forwarding stays on, as others may rely on it by now. */
export async function cleanHost({ exec, variant, bridgeName = "cni0" }: { readonly exec: Exec; readonly variant?: Variant | undefined; readonly bridgeName?: string }): Promise<void> {
  for (const family of [4, 6] as const) {
    const iptables = createIptables({ exec, family, variant });
    await removePodTraffic(iptables);
    await iptables.deleteChain(HINT, []);
  }
  await ipDelete(exec, ["link", "delete", "dev", bridgeName]);
}
