// How a node is to run, from its flags and its KubeletConfiguration.
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import type { AllPods } from "../agent/kubelet/cgroups.ts";
import { ConfigurationError, DEFAULT_CONFIGURATION, readConfiguration } from "../agent/kubelet/configuration.ts";
import { CredentialProviderError, readCredentialProviders } from "../agent/kubelet/credentialproviders.ts";
import type { KubeletDeps } from "../agent/kubelet/kubelet.ts";
import { pidFacts } from "../agent/kubelet/machine.ts";
import { settingsOf, type Settings } from "../agent/kubelet/settings.ts";
import type { Runtime } from "../agent/runtime/runtime.ts";
import { milliValue, parseQuantity, wholeValue } from "../api/quantity.ts";
import { UsageError, type Values } from "./flags.ts";

/** Of all process ids, what pods together never get: the node must be able to act. */
const OWN_PIDS_SHARE = 0.1;

/** The settings; throws UsageError that names the file and the field. */
export function nodeSettings(values: Values): Settings {
  const file = values["kubelet-config"];
  if (file === undefined) return settingsOf(DEFAULT_CONFIGURATION);
  try {
    const settings = settingsOf(readConfiguration(file));
    if (settings.configuration["failSwapOn"] === true && readFileSync("/proc/swaps", "utf8").trim().split("\n").length > 1) throw new ConfigurationError("failSwapOn: running with swap on is not supported, please disable swap or set failSwapOn to false");
    return settings;
  } catch (error) {
    if (error instanceof ConfigurationError) throw new UsageError(`--kubelet-config: ${error.message}`, { cause: error });
    throw error;
  }
}

/** A text of the configuration; undefined where it is empty, which means the node's own choice. */
export function configured(settings: Settings, name: "staticPodPath" | "podLogsDir" | "clusterDomain" | "resolvConf" | "containerRuntimeEndpoint" | "cgroupDriver"): string | undefined {
  return (settings.configuration[name] as string) || undefined;
}

export function credentialProviders(values: Values): KubeletDeps["credentialProviders"] {
  const file = values["image-credential-provider-config"];
  const binDir = values["image-credential-provider-bin-dir"];
  if (file === undefined && binDir === undefined) return undefined;
  if (file === undefined || binDir === undefined) throw new UsageError("--image-credential-provider-config and --image-credential-provider-bin-dir go together; give both");
  try {
    return { providers: readCredentialProviders(file, binDir), binDir };
  } catch (error) {
    if (error instanceof CredentialProviderError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

/** The driver the runtime has; throws UsageError where another was asked for, because limits would then be set in one tree and containers run in another. */
export async function cgroupDriver(settings: Settings, runtime: Runtime): Promise<"cgroupfs" | "systemd"> {
  const actual = (await runtime.status()).cgroupDriver;
  if (actual === "systemd" && !existsSync("/run/systemd/system")) throw new UsageError(`${runtime.name} uses the systemd cgroup driver, and systemd does not run on this machine; set the runtime's driver to cgroupfs`);
  const wanted = configured(settings, "cgroupDriver");
  if (wanted === undefined || wanted === actual) return actual;
  const fix = runtime.name === "docker" ? `set "exec-opts": ["native.cgroupdriver=${wanted}"] in /etc/docker/daemon.json` : `set SystemdCgroup = ${wanted === "systemd"} for runc in the runtime's configuration`;
  throw new UsageError(`--kubelet-config: cgroupDriver is ${wanted}, but ${runtime.name} uses ${actual}; ${fix}, or leave cgroupDriver out`);
}

/** What pods together get of the machine: all but what is reserved. */
export function allPods({ reserved, enforcesAllocatable }: Settings): AllPods {
  const pids = Math.floor(pidFacts().max * (1 - OWN_PIDS_SHARE));
  if (!enforcesAllocatable) return { cpuMilli: availableParallelism() * 1000, memoryBytes: undefined, pids };
  const reservedPids = wholeValue(parseQuantity(reserved["pid"] ?? "0"));
  return {
    cpuMilli: Math.max(0, availableParallelism() * 1000 - milliValue(parseQuantity(reserved["cpu"] ?? "0"))),
    memoryBytes: reserved["memory"] === undefined ? undefined : Math.max(0, totalmem() - wholeValue(parseQuantity(reserved["memory"]))),
    pids: reservedPids > 0 ? Math.min(pids, pidFacts().max - reservedPids) : pids,
  };
}
