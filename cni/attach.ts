// Pod networks without a runtime that speaks CNI: the plugins run in this process, one list after the other.
// For the Docker runtime; containerd and CRI-O start the same plugins themselves.
import type { Exec } from "../lib/exec.ts";
import type { ConfigList } from "./config.ts";
import { pluginNamed } from "./main.ts";
import { CODE, CniError, type CniResult, type NetConf, type Plugin, type PluginCall, type PortMap } from "./types.ts";

/** One pod's attachment: which sandbox, in which network namespace, with which host ports. */
export interface Attachment {
  readonly containerId: string;
  /** A path such as `/proc/1234/ns/net`; on detaching it may be empty or gone. */
  readonly netnsPath: string;
  readonly portMappings?: readonly PortMap[];
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
}

export interface PodNetwork {
  readonly config: ConfigList;
  readonly exec: Exec;
}

const IF_NAME = "eth0";

/** Gives a sandbox its addresses, the primary one first; leaves nothing behind when it rejects. */
export async function attachPodNetwork(network: PodNetwork, attachment: Attachment): Promise<{ ips: string[] }> {
  let prevResult: CniResult | undefined;
  try {
    for (const { plugin, call } of steps(network, attachment)) {
      prevResult = await plugin.add({ ...call, config: { ...call.config, ...(prevResult && { prevResult }) } });
    }
  } catch (error) {
    await detachPodNetwork(network, attachment);
    throw error;
  }
  const ips = (prevResult?.ips ?? []).map((ip) => ip.address.split("/")[0] as string);
  if (ips.length === 0) throw new CniError(CODE.internal, `network ${network.config.name} gave ${attachment.containerId} no address`);
  return { ips };
}

/** Takes a sandbox's addresses and ports away; succeeds when they are gone already. */
export async function detachPodNetwork(network: PodNetwork, attachment: Attachment): Promise<void> {
  for (const { plugin, call } of steps(network, attachment).reverse()) await plugin.del(call);
}

function steps({ config, exec }: PodNetwork, attachment: Attachment): { plugin: Plugin; call: PluginCall }[] {
  return config.plugins.map((entry) => ({
    plugin: pluginNamed(entry.type),
    call: { config: configure(config, entry, attachment), exec, containerId: attachment.containerId, netns: attachment.netnsPath, ifName: IF_NAME, args: argsOf(attachment) },
  }));
}

function configure(list: ConfigList, entry: ConfigList["plugins"][number], { portMappings }: Attachment): NetConf {
  const wantsPorts = entry.capabilities?.["portMappings"] === true && portMappings !== undefined;
  return { ...entry, cniVersion: list.cniVersion, name: list.name, ...(wantsPorts && { runtimeConfig: { portMappings } }) };
}

function argsOf({ pod, containerId }: Attachment): Record<string, string> {
  if (!pod) return {};
  return { K8S_POD_NAMESPACE: pod.namespace, K8S_POD_NAME: pod.name, K8S_POD_UID: pod.uid, K8S_POD_INFRA_CONTAINER_ID: containerId };
}
