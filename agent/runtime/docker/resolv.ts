// The resolv.conf each sandbox's containers share: a file of our own, because an engine that has no network to look after makes none.
// What is in it was decided by the kubelet.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerConfig, SandboxConfig } from "../runtime.ts";
import { readOrEmpty } from "../../../lib/files.ts";

const TARGET = "/etc/resolv.conf";

/** One file a sandbox, kept in a directory. */
export class ResolvFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
  }

  /** The machine's own where the pod has none. */
  write(sandboxId: string, dns: SandboxConfig["dns"], machines = TARGET): void {
    writeFileSync(this.#path(sandboxId), resolvConf(dns) ?? readOrEmpty(machines), { mode: 0o644 });
  }

  /** The container with the file mounted. As it was where it mounts one itself, and in a sandbox the engine made one for. */
  mountInto(sandboxId: string, config: ContainerConfig): ContainerConfig {
    const hostPath = this.#path(sandboxId);
    if (!existsSync(hostPath) || config.mounts.some(({ containerPath }) => containerPath === TARGET)) return config;
    return { ...config, mounts: [...config.mounts, { hostPath, containerPath: TARGET, readOnly: config.security.readOnlyRootFilesystem, propagation: "private" }] };
  }

  remove(sandboxId: string): void {
    rmSync(this.#path(sandboxId), { force: true });
  }

  /** Removes those of sandboxes that went while nobody looked. */
  retain(sandboxIds: ReadonlySet<string>): void {
    for (const file of readdirSync(this.#directory)) if (!sandboxIds.has(file)) this.remove(file);
  }

  #path(sandboxId: string): string {
    return join(this.#directory, sandboxId);
  }
}

/** The file's text; undefined where nothing is to be in it. */
export function resolvConf({ servers, searches, options }: SandboxConfig["dns"]): string | undefined {
  const lines = [...(searches.length > 0 ? [`search ${searches.join(" ")}`] : []), ...servers.map((server) => `nameserver ${server}`), ...(options.length > 0 ? [`options ${options.join(" ")}`] : [])];
  return lines.length > 0 ? `${lines.join("\n")}\n` : undefined;
}
