// How an interface plugin reaches its IPAM plugin: in-process when it is ours, as a program otherwise.
// An in-process call saves every pod the start of another process.
import { hostLocal } from "./hostlocal/ipam.ts";
import { CODE, CniError, type CniResult, type Plugin, type PluginCall } from "./types.ts";
import { parseConfig } from "./version.ts";

/** The IPAM plugin a configuration asks for. */
export function ipamPlugin({ config }: PluginCall): Plugin {
  const type = config.ipam?.type;
  if (!type) throw new CniError(CODE.invalidConfig, "IPAM config missing 'type' key");
  return type === "host-local" ? hostLocal : program(type);
}

function program(type: string): Plugin {
  const call = (command: string) => (request: PluginCall): Promise<string> => execute(type, command, request);
  return {
    async add(request) {
      const result = parseConfig(await call("ADD")(request)) as unknown as CniResult;
      return { interfaces: [], ips: result.ips ?? [], routes: result.routes ?? [], dns: result.dns ?? {} };
    },
    del: async (request) => void (await call("DEL")(request)),
    check: async (request) => void (await call("CHECK")(request)),
    gc: async (request) => void (await call("GC")(request)),
    status: async (request) => void (await call("STATUS")(request)),
  };
}

async function execute(type: string, command: string, { config, containerId, netns, ifName, args, exec }: PluginCall): Promise<string> {
  const path = Bun.which(type, { PATH: process.env["CNI_PATH"] ?? "" });
  if (!path) throw new CniError(CODE.invalidConfig, `failed to find plugin "${type}" in path [${process.env["CNI_PATH"] ?? ""}]`);
  const environment = { CNI_COMMAND: command, CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: ifName, CNI_ARGS: Object.entries(args).map(([key, value]) => `${key}=${value}`).join(";") };
  const result = await exec([path], { stdin: JSON.stringify(config), env: environment });
  if (result.exitCode === 0) return result.stdout;
  const failure = (() => { try { return JSON.parse(result.stdout) as { code?: number; msg?: string; details?: string }; } catch { return undefined; } })();
  throw new CniError(failure?.code ?? CODE.internal, failure?.msg ?? `${type} exited ${result.exitCode}: ${result.stderr.trim()}`, failure?.details);
}
