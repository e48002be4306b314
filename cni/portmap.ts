// The portmap plugin: publishes a pod's ports on the node's addresses.
// Works on its own chains; who may pass the node's firewall is not its business.
import { forgetConnections } from "../net/host/conntrack.ts";
import { DNAT_CHAIN } from "../net/host/hostports.ts";
import type { Iptables } from "../net/host/iptables.ts";
import { setSysctls } from "../net/host/sysctl.ts";
import { DEFAULT_BRIDGE } from "./bridge-plan.ts";
import { chainName } from "./names.ts";
import { portChain, portMappings, publishDocument, SHARED_JUMPS, sharedDocument } from "./portmap-rules.ts";
import { iptablesOf } from "./iptables.ts";
import { CODE, CniError, type CniResult, type Plugin, type PluginCall } from "./types.ts";

const FAMILIES = [4, 6] as const;

/** The portmap plugin; ADD answers its prevResult unchanged. */
export const portmap: Plugin = {
  async add(call) {
    const result = call.config.prevResult;
    if (!result) throw new CniError(CODE.invalidConfig, "must be called as chained plugin");
    for (const family of FAMILIES) {
      const document = publishDocument(call, result, family);
      if (!document) continue;
      const iptables = iptablesOf(call, family);
      await ensureShared(iptables);
      // The entry rules below are appended: what an interrupted ADD left would stay in front of them.
      await iptables.deleteChain({ table: "nat", chain: portChain(call) }, [DNAT_CHAIN]);
      await iptables.restore(document);
      if (family === 4) await setSysctls(call.exec, { [`net/ipv4/conf/${hostLink(call, result)}/route_localnet`]: "1" });
    }
    await forgetUdp(call);
    return result;
  },
  async del(call) {
    for (const family of FAMILIES) {
      if (family === 6 && !usesIpv6(call)) continue;
      await iptablesOf(call, family).deleteChain({ table: "nat", chain: portChain(call) }, [DNAT_CHAIN]);
    }
    await forgetUdp(call);
  },
  async check(call) {
    const result = call.config.prevResult;
    for (const family of FAMILIES) {
      if (!result || !publishDocument(call, result, family)) continue;
      const rules = await iptablesOf(call, family).rules({ table: "nat", chain: portChain(call) });
      if (!rules?.length) throw new CniError(CODE.internal, `iptables chain ${portChain(call)} of ${call.containerId} is missing`);
    }
  },
  async gc(call) {
    const valid = new Set((call.config["cni.dev/valid-attachments"] ?? []).map((entry) => chainName("DN-", call.config.name, entry.containerID)));
    const iptables = iptablesOf(call);
    const rules = (await iptables.rules({ table: "nat", chain: DNAT_CHAIN })) ?? [];
    const ours = rules.filter((rule) => rule.includes(`name: \\"${call.config.name}\\" `)).flatMap((rule) => /-j (CNI-DN-\S+)/.exec(rule)?.[1] ?? []);
    for (const chain of new Set(ours.filter((name) => !valid.has(name)))) await iptables.deleteChain({ table: "nat", chain }, [DNAT_CHAIN]);
  },
  async status() {},
};

async function ensureShared(iptables: Iptables): Promise<void> {
  await iptables.ensureChain({ table: "nat", chain: DNAT_CHAIN });
  await iptables.restore(sharedDocument());
  for (const { chain, rule } of SHARED_JUMPS) await iptables.ensureRule({ table: "nat", chain }, rule, "last");
}

/** A client that kept sending while nobody listened has an entry that bypasses the new rules. */
async function forgetUdp(call: PluginCall): Promise<void> {
  for (const port of portMappings(call)) {
    if (port.protocol?.toLowerCase() === "udp") await forgetConnections(call.exec, { protocol: "udp", destinationPort: port.hostPort });
  }
}

/** The node's side of the pod's link: where packets from its loopback leave. */
function hostLink({ config }: PluginCall, result: CniResult): string {
  return result.interfaces.find((link) => !link.sandbox)?.name ?? config.bridge ?? DEFAULT_BRIDGE;
}

function usesIpv6({ config }: PluginCall): boolean {
  return JSON.stringify([config.prevResult?.ips, config.ipam]).includes("::");
}
