// The pod network's plugins and configuration, where the node's runtime finds them, and taken away again.
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Runtime } from "../agent/runtime/runtime.ts";
import { installPlugins, podNetwork, writeCniConfig, type PodNetworkOptions } from "../cni/config.ts";
import { shareNetwork, unshareNetwork, type CniDirectories } from "../cni/shared.ts";
import { selfCommand } from "./processes.ts";

/** Where an own runtime finds the pod network's plugins and configuration. */
export function cniPaths(dataDir: string): { cniBinDir: string; cniConfDir: string } {
  return { cniBinDir: join(dataDir, "cni", "bin"), cniConfDir: join(dataDir, "cni", "net.d") };
}

export async function installOwnPlugins(dataDir: string, network?: ReturnType<typeof podNetwork>): Promise<void> {
  await installPlugins({ binDir: cniPaths(dataDir).cniBinDir, program: pluginProgram(), ...(network && { network }) });
}

/** Once the node knows its podCIDR. A runtime that is not the node's own reads other directories: it is given the network there. */
export async function writePodNetwork({ dataDir, runtime, ...options }: PodNetworkOptions & { readonly dataDir: string; readonly runtime: Pick<Runtime, "status"> }): Promise<void> {
  const { cniConfDir } = cniPaths(dataDir);
  const network = { ...options, dataDir: ipamDir(dataDir) };
  await installOwnPlugins(dataDir, podNetwork(network));
  await writeCniConfig({ dir: cniConfDir, ...network });
  const { cni } = await runtime.status();
  if (!cni || cni.confDir === cniConfDir) return;
  await mkdir(join(dataDir, "cni"), { recursive: true });
  await writeFile(sharedPath(dataDir), JSON.stringify(cni));
  await shareNetwork({ ...cni, program: pluginProgram(), ...network });
}

/** What was written outside the data directory goes. */
export async function removeSharedNetwork(dataDir: string): Promise<void> {
  const path = sharedPath(dataDir);
  if (!existsSync(path)) return;
  await unshareNetwork(JSON.parse(readFileSync(path, "utf8")) as CniDirectories);
  await rm(path, { force: true });
}

export function ipamDir(dataDir: string): string {
  return join(dataDir, "cni", "ipam");
}

const sharedPath = (dataDir: string): string => join(dataDir, "cni", "shared.json");

function pluginProgram(): { executable: string; script?: string } {
  const [executable, script] = selfCommand() as [string, string | undefined];
  return { executable, ...(script !== undefined && { script }) };
}
