// What a container runtime needs to find these plugins: a configuration list and a directory of names.
// Written by the agent once it knows its podCIDR.
import { mkdir, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseCidr } from "../lib/cidr.ts";
import { bridgeScript } from "./bridge-script.ts";
import { loopbackScript } from "./loopback-script.ts";
import type { NetConf } from "./types.ts";

export const NETWORK_NAME = "minik8s";
export const CONFIG_FILE = "10-minik8s.conflist";
const PLUGIN_NAMES = ["bridge", "host-local", "loopback", "portmap"] as const;

/** A list of plugins run in order, as `/etc/cni/net.d` holds it. */
export interface ConfigList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly Omit<NetConf, "cniVersion" | "name">[];
}

export interface PodNetworkOptions {
  /** The node's own ranges: one, or one per family. */
  readonly podCidrs: readonly string[];
  readonly bridgeName?: string;
  /** Bytes; left out, the kernel's default. */
  readonly mtu?: number;
  readonly dataDir?: string;
  /** What `prepareHost` found. */
  readonly variant?: "legacy" | "nft" | undefined;
}

/** The node's pod network. Throws for a range that is not one. */
export function podNetwork({ podCidrs, bridgeName = "cni0", mtu, dataDir, variant }: PodNetworkOptions): ConfigList {
  const wrong = podCidrs.find((cidr) => !parseCidr(cidr));
  if (wrong !== undefined || podCidrs.length === 0) throw new Error(`cannot configure the pod network: podCIDR ${JSON.stringify(wrong)} is not a CIDR range`);
  const routes = podCidrs.map((cidr) => ({ dst: cidr.includes(":") ? "::/0" : "0.0.0.0/0" }));
  return {
    cniVersion: "1.0.0",
    name: NETWORK_NAME,
    plugins: [{
      type: "bridge", bridge: bridgeName, isGateway: true, hairpinMode: true,
      // The node masquerades what leaves the cluster (net/host): no chain per pod is needed.
      ipMasq: false,
      ...(mtu !== undefined && { mtu }),
      ...(variant !== undefined && { iptablesVariant: variant }),
      capabilities: { portMappings: true },
      ipam: { type: "host-local", ranges: podCidrs.map((subnet) => [{ subnet }]), routes, ...(dataDir !== undefined && { dataDir }) },
    }],
  };
}

/** Writes the list into a runtime's configuration directory, atomically and only when it differs; says whether it did. */
export async function writeCniConfig({ dir, ...options }: PodNetworkOptions & { readonly dir: string }): Promise<boolean> {
  return writeConfigList(dir, podNetwork(options));
}

/** As `writeCniConfig`, of a list that is made already. */
export async function writeConfigList(dir: string, list: ConfigList): Promise<boolean> {
  const text = `${JSON.stringify(list, null, 2)}\n`;
  const path = join(dir, CONFIG_FILE);
  await mkdir(dir, { recursive: true });
  if ((await readFile(path, "utf8").catch(() => undefined)) === text) return false;
  // The runtime watches this directory and reads *.conflist only: never let it see half a file.
  await writeFile(`${path}.new`, text, { mode: 0o644 });
  await rename(`${path}.new`, path);
  return true;
}

/** How this program is started again: the executable, and its script when it is run from source. */
export interface PluginProgram {
  readonly executable: string;
  readonly script?: string;
}

/** Makes the executable answer under every plugin's name in `binDir`, and scripts for what is asked every day. Safe to repeat, also after the executable moved. */
export async function installPlugins({ binDir, program, network }: { readonly binDir: string; readonly program: PluginProgram; /** Once known. */ readonly network?: ConfigList }): Promise<void> {
  await mkdir(binDir, { recursive: true });
  const bridge = network && bridgeScript(network, wholeProgram(program));
  for (const name of PLUGIN_NAMES) {
    const path = join(binDir, name);
    const script = name === "loopback" ? loopbackScript(wholeProgram(program)) : name === "bridge" ? bridge : undefined;
    if (script !== undefined) await replaceWith(path, (temporary) => writeFile(temporary, script, { mode: 0o755 }));
    else if (program.script !== undefined) await installWrapper(path, name, program as Required<PluginProgram>);
    else if ((await readlink(path).catch(() => undefined)) !== program.executable) await replaceWith(path, (temporary) => symlink(program.executable, temporary));
  }
}

/** The shell's words for the program. */
export function wholeProgram({ executable, script }: PluginProgram): string {
  return [executable, ...(script === undefined ? [] : [script])].map((word) => `'${word}'`).join(" ");
}

/** From source there is no executable to link to: a shell line says which plugin is meant. */
async function installWrapper(path: string, name: string, { executable, script }: Required<PluginProgram>): Promise<void> {
  const text = `#!/bin/sh\nMINIK8S_CNI_PLUGIN=${name} exec '${executable}' '${script}'\n`;
  await replaceWith(path, (temporary) => writeFile(temporary, text, { mode: 0o755 }));
}

async function replaceWith(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  await make(temporary);
  await rename(temporary, path);
}
