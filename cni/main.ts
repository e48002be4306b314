// The executable as a CNI plugin: environment and stdin in, one JSON document and an exit code out.
// Imports nothing heavy, because every pod's start waits for it.
import { basename } from "node:path";
import { hostExec, type Exec } from "../lib/exec.ts";
import { bridge } from "./bridge.ts";
import { hostLocal } from "./hostlocal/ipam.ts";
import { loopback } from "./loopback.ts";
import { portmap } from "./portmap.ts";
import { CODE, CniError, type NetConf, type Plugin, type PluginCall } from "./types.ts";
import { encodeError, encodeResult, encodeVersions, parseConfig, requireVersion } from "./version.ts";

/** The plugins this executable serves, by the name it is called under. */
export const PLUGINS: Readonly<Record<string, Plugin>> = { bridge, "host-local": hostLocal, loopback, portmap };

export type Environment = Readonly<Record<string, string | undefined>>;

/** What a plugin process prints and returns. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
}

/** The plugin this process was called as, or undefined when it was not called as one. */
export function calledAsPlugin(argv0: string, env: Environment): string | undefined {
  const name = env["MINIK8S_CNI_PLUGIN"] ?? basename(argv0);
  return env["CNI_COMMAND"] !== undefined && name in PLUGINS ? name : undefined;
}

/** Serves one invocation on the process's own stdin and stdout; resolves with the exit code. */
export async function cniMain(plugin: string, env: Environment = process.env): Promise<number> {
  const stdin = env["CNI_COMMAND"] === "VERSION" ? "{}" : await Bun.stdin.text();
  const { exitCode, stdout } = await invoke({ plugin, env, stdin, exec: hostExec });
  if (stdout) await Bun.write(Bun.stdout, `${stdout}\n`);
  return exitCode;
}

/** One invocation as a function; every failure becomes the specification's error document. */
export async function invoke({ plugin, env, stdin, exec }: { plugin: string; env: Environment; stdin: string; exec: Exec }): Promise<Outcome> {
  let cniVersion = "1.0.0";
  try {
    if (env["CNI_COMMAND"] === "VERSION") return { exitCode: 0, stdout: encodeVersions() };
    const config = parseConfig(stdin);
    cniVersion = config.cniVersion;
    requireVersion(cniVersion);
    return { exitCode: 0, stdout: await dispatch(pluginNamed(plugin), env, { config, exec }) };
  } catch (error) {
    const failure = error instanceof CniError ? error : new CniError(CODE.internal, (error as Error).message);
    return { exitCode: 1, stdout: encodeError(failure, cniVersion) };
  }
}

/** A plugin by name; throws CniError for one that is not served. */
export function pluginNamed(name: string): Plugin {
  const plugin = PLUGINS[name];
  if (!plugin) throw new CniError(CODE.invalidConfig, `unknown plugin ${JSON.stringify(name)}; this executable serves ${Object.keys(PLUGINS).join(", ")}`);
  return plugin;
}

async function dispatch(plugin: Plugin, env: Environment, { config, exec }: { config: NetConf; exec: Exec }): Promise<string> {
  const command = env["CNI_COMMAND"] ?? "";
  const request = callOf(command, env, { config, exec });
  switch (command) {
    case "ADD": return encodeResult(await plugin.add(request), config.cniVersion);
    case "DEL": await plugin.del(request); return "";
    case "CHECK": await plugin.check(request); return "";
    case "GC": await plugin.gc(request); return "";
    case "STATUS": await plugin.status(request); return "";
    default: throw new CniError(CODE.invalidEnvironment, `unknown CNI_COMMAND: ${command}`);
  }
}

const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
};

function callOf(command: string, env: Environment, { config, exec }: { config: NetConf; exec: Exec }): PluginCall {
  const missing = (REQUIRED[command] ?? []).filter((name) => !env[name]);
  if (missing.length > 0) throw new CniError(CODE.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
  const containerId = env["CNI_CONTAINERID"] ?? "";
  const ifName = env["CNI_IFNAME"] ?? "";
  if (containerId && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(containerId)) throw new CniError(CODE.invalidEnvironment, "invalid characters in containerID", containerId);
  if (ifName && !/^[^\s/:]{1,15}$/.test(ifName)) throw new CniError(CODE.invalidEnvironment, "interface name is invalid", ifName);
  return { config, exec, containerId, ifName, netns: env["CNI_NETNS"] ?? "", args: parseArgs(env["CNI_ARGS"] ?? "") };
}

function parseArgs(text: string): Record<string, string> {
  return Object.fromEntries(text.split(";").filter(Boolean).map((pair) => {
    const equals = pair.indexOf("=");
    if (equals < 0) throw new CniError(CODE.invalidEnvironment, `ARGS: invalid pair ${JSON.stringify(pair)}`);
    return [pair.slice(0, equals), pair.slice(equals + 1)];
  }));
}
