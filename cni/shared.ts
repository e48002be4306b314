// The pod network for a runtime that is the machine's: it reads its own directories, which others write into, too.
// The plugin goes by a name nobody else uses there, and what is there already stays as it is.
import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bridgeScript } from "./bridge-script.ts";
import { CONFIG_FILE, podNetwork, wholeProgram, writeConfigList, type ConfigList, type PluginProgram, type PodNetworkOptions } from "./config.ts";
import { loopbackScript } from "./loopback-script.ts";

export const SHARED_PLUGIN = "minik8s-bridge";

/** Where a runtime looks. */
export interface CniDirectories {
  readonly binDir: string;
  readonly confDir: string;
}

/** Makes the node's pods part of its network on such a runtime. Safe to repeat. */
export async function shareNetwork({ binDir, confDir, program, ...options }: CniDirectories & PodNetworkOptions & { readonly program: PluginProgram }): Promise<void> {
  const whole = wholeProgram(program);
  const list = renamed(podNetwork(options));
  await install(join(binDir, SHARED_PLUGIN), bridgeScript(list, whole) ?? `#!/bin/sh\nMINIK8S_CNI_PLUGIN=bridge exec ${whole}\n`);
  if (!existsSync(join(binDir, "loopback"))) await install(join(binDir, "loopback"), loopbackScript(whole));
  await writeConfigList(confDir, list);
}

/** Takes the network back; a runtime is never left with a plugin whose program is gone. */
export async function unshareNetwork({ binDir, confDir }: CniDirectories): Promise<void> {
  await rm(join(confDir, CONFIG_FILE), { force: true });
  await rm(join(binDir, SHARED_PLUGIN), { force: true });
}

const renamed = (list: ConfigList): ConfigList => ({ ...list, plugins: list.plugins.map((plugin) => (plugin.type === "bridge" ? { ...plugin, type: SHARED_PLUGIN } : plugin)) });

async function install(path: string, text: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(`${path}.new`, text, { mode: 0o755 });
  await rename(`${path}.new`, path);
}
