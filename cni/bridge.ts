// The bridge plugin: a veth pair between the pod and the node's bridge, addresses from IPAM.
// Publishes host ports itself when its configuration has the portMappings capability: one process a pod instead of two.
import { ExecError } from "../lib/exec.ts";
import { ipBatch, ipDelete, isAbsent, showLink } from "../net/host/ip.ts";
import { setSysctls } from "../net/host/sysctl.ts";
import { DEFAULT_BRIDGE, ownAddress, planBridge, subnetOf, type BridgePlan } from "./bridge-plan.ts";
import { ipamPlugin } from "./ipam.ts";
import { chainName, hostLinkName } from "./names.ts";
import { portmap } from "./portmap.ts";
import { iptablesOf } from "./iptables.ts";
import { CODE, CniError, type CniResult, type IpConfig, type Plugin, type PluginCall } from "./types.ts";

/** The bridge plugin; failures of ADD leave nothing behind. */
export const bridge: Plugin = {
  async add(call) {
    const ipam = ipamPlugin(call);
    const addresses = await ipam.add(call);
    if (addresses.ips.length === 0) throw new CniError(CODE.internal, "IPAM plugin returned missing IP config");
    try {
      const plan = planBridge(call, addresses);
      await apply(call, plan);
      if (call.config.ipMasq) await masquerade(call, addresses.ips);
      return publishesPorts(call) ? await portmap.add(withPrevious(call, plan.result)) : plan.result;
    } catch (error) {
      if (!isDuplicate(error)) await bridge.del(call);
      throw describe(error, call);
    }
  },
  async del(call) {
    if (publishesPorts(call)) await portmap.del(call);
    if (call.config.ipMasq) await stopMasquerade(call);
    await ipDelete(call.exec, ["link", "delete", "dev", hostLinkName(call.containerId, call.ifName)]);
    // Last: an address is free only once no link answers to it.
    await ipamPlugin(call).del(call);
  },
  async check(call) {
    await ipamPlugin(call).check(call);
    await checkLinks(call);
    if (publishesPorts(call)) await portmap.check(call);
  },
  async gc(call) {
    await ipamPlugin(call).gc(call);
    if (publishesPorts(call)) await portmap.gc(call);
  },
  async status(call) {
    await ipamPlugin(call).status(call);
  },
};

async function apply(call: PluginCall, plan: BridgePlan): Promise<void> {
  try {
    await ipBatch(call.exec, plan.host);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    if (!(await showLink(call.exec, call.config.bridge ?? DEFAULT_BRIDGE))) await createBridge(call, plan);
    await ipBatch(call.exec, plan.host);
  }
  await ipBatch(call.exec, plan.container, { netns: call.netns });
}

async function createBridge({ exec, config }: PluginCall, plan: BridgePlan): Promise<void> {
  await ipBatch(exec, plan.bridge).catch((error: unknown) => {
    // Two pods starting at once: the other one made it.
    if (!isDuplicate(error)) throw error;
  });
  await ipBatch(exec, [`link set dev ${config.bridge ?? DEFAULT_BRIDGE} up`]);
  if (!config.isGateway && !config.isDefaultGateway) return;
  const hasIpv6 = plan.result.ips.some((ip) => ip.address.includes(":"));
  await setSysctls(exec, { "net/ipv4/ip_forward": "1", ...(hasIpv6 && { "net/ipv6/conf/all/forwarding": "1" }) });
}

/** One chain a container: its own subnet stays as it is, everything else leaves under the node's address. */
async function masquerade(call: PluginCall, ips: readonly IpConfig[]): Promise<void> {
  const chain = chainName("", call.config.name, call.containerId);
  const comment = `-m comment --comment "name: ${call.config.name} id: ${call.containerId}"`;
  for (const family of [4, 6] as const) {
    const own = ips.filter((ip) => ip.address.includes(":") === (family === 6));
    if (own.length === 0) continue;
    const lines = own.flatMap((ip) => [`-A ${chain} -d ${subnetOf(ip)} ${comment} -j ACCEPT`]);
    const multicast = family === 4 ? "224.0.0.0/4" : "ff00::/8";
    const jumps = own.map((ip) => `-A POSTROUTING -s ${ownAddress(ip)} ${comment} -j ${chain}`);
    await iptablesOf(call, family).restore(["*nat", `:${chain} - [0:0]`, ...lines, `-A ${chain} ! -d ${multicast} ${comment} -j MASQUERADE`, ...jumps, "COMMIT", ""].join("\n"));
  }
}

async function stopMasquerade(call: PluginCall): Promise<void> {
  const chain = chainName("", call.config.name, call.containerId);
  await iptablesOf(call).deleteChain({ table: "nat", chain }, ["POSTROUTING"]);
  const hasIpv6 = JSON.stringify(call.config.ipam ?? {}).includes("::");
  if (hasIpv6) await iptablesOf(call, 6).deleteChain({ table: "nat", chain }, ["POSTROUTING"]);
}

async function checkLinks(call: PluginCall): Promise<void> {
  const { config, exec, ifName, netns, containerId } = call;
  const name = hostLinkName(containerId, ifName);
  const [host, inside] = await Promise.all([showLink(exec, name), showLink(exec, ifName, { netns })]);
  if (host?.master !== (config.bridge ?? DEFAULT_BRIDGE)) throw new CniError(CODE.internal, `host interface ${name} is not attached to bridge ${config.bridge ?? DEFAULT_BRIDGE}`);
  if (!inside) throw new CniError(CODE.internal, `interface ${ifName} not found in ${netns}`);
  for (const ip of config.prevResult?.ips ?? []) {
    if (inside.addr_info?.some((own) => `${own.local}/${own.prefixlen}` === ip.address)) continue;
    throw new CniError(CODE.internal, `failed to find address ${ip.address} on interface ${ifName}`);
  }
}

function publishesPorts({ config }: PluginCall): boolean {
  return config.capabilities?.["portMappings"] === true || config.runtimeConfig?.portMappings !== undefined;
}

function withPrevious(call: PluginCall, prevResult: CniResult): PluginCall {
  return { ...call, config: { ...call.config, prevResult } };
}

/** A link of that name is there already, and belongs to whoever made it. */
function isDuplicate(error: unknown): boolean {
  return error instanceof ExecError && /File exists/.test(error.result.stderr);
}

function describe(error: unknown, call: PluginCall): CniError {
  if (error instanceof CniError) return error;
  return new CniError(CODE.internal, `cannot attach ${call.ifName} of ${call.containerId} to bridge ${call.config.bridge ?? DEFAULT_BRIDGE}: ${(error as Error).message}`, "", { cause: error });
}
