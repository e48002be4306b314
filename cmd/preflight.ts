// What must be true of a machine before a mode starts: every missing thing is named with the command that fixes it.
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";

/** One thing that is missing, and what to do about it. */
export interface Problem {
  readonly problem: string;
  readonly fix: string;
}

/** Some problems were found; the message lists all of them. */
export class PreflightError extends Error {
  override readonly name = "PreflightError";
  constructor(readonly problems: readonly Problem[]) {
    super(`this machine is not ready:\n${problems.map(({ problem, fix }) => `  - ${problem}\n    fix: ${fix}`).join("\n")}`);
  }
}

/** Throws PreflightError unless a control plane can start here. */
export async function preflightControl(options: { dataDir: string; bindAddress: string; port: number; usesDisk: boolean }): Promise<void> {
  demand([...(options.usesDisk ? checkWritable(options.dataDir) : []), ...(await checkPort(options.bindAddress, options.port, "--port"))]);
}

/** Throws PreflightError unless a node can start here. */
export async function preflightAgent(options: { dataDir: string; runtime: string; runtimeEndpoint?: string | undefined }): Promise<void> {
  demand([
    ...checkRoot(), ...checkWritable(options.dataDir), ...checkCgroups(), ...checkKernel(),
    ...checkCommand("iptables", "iptables"), ...checkCommand("iptables-restore", "iptables"), ...checkCommand("ip", "iproute2"), ...checkCommand("nsenter", "util-linux"),
    ...checkRuntime(options),
  ]);
}

function demand(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new PreflightError(problems);
}

function checkRoot(): Problem[] {
  return process.getuid?.() === 0 ? [] : [{ problem: "a node needs root", fix: `sudo ${process.argv.slice(2).length > 0 ? `minik8s ${process.argv.slice(2).join(" ")}` : "minik8s agent"}` }];
}

function checkWritable(directory: string): Problem[] {
  try {
    mkdirSync(directory, { recursive: true });
    accessSync(directory, constants.W_OK | constants.X_OK);
    return [];
  } catch (error) {
    return [{ problem: `cannot write to ${directory}: ${(error as Error).message}`, fix: `run as root, or choose another directory with --data-dir` }];
  }
}

async function checkPort(address: string, port: number, flag: string): Promise<Problem[]> {
  const failure = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen({ port, host: address, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
  if (!failure) return [];
  if (failure.code === "EADDRINUSE") return [{ problem: `port ${port} is in use by another program (ss -ltnp 'sport = :${port}' names it)`, fix: `stop it, or choose another port with ${flag}` }];
  if (failure.code === "EADDRNOTAVAIL") return [{ problem: `${address} is not an address of this machine`, fix: "choose one of `ip addr` with --bind-address" }];
  return [{ problem: `cannot listen on ${address}:${port}: ${failure.message}`, fix: `choose another port with ${flag}` }];
}

function checkCommand(command: string, debianPackage: string): Problem[] {
  return findCommand(command) ? [] : [{ problem: `${command} is not installed`, fix: `apt-get install -y ${debianPackage}` }];
}

function checkRuntime({ runtime, runtimeEndpoint }: { runtime: string; runtimeEndpoint?: string | undefined }): Problem[] {
  if (runtimeEndpoint) {
    const socket = runtimeEndpoint.replace(/^unix:\/\//, "");
    return existsSync(socket) ? [] : [{ problem: `--runtime-endpoint ${runtimeEndpoint}: no such socket`, fix: "start that runtime, or leave the flag out to use an own containerd" }];
  }
  const hasContainerd = findCommand("containerd") && findCommand("runc");
  const hasDocker = existsSync("/var/run/docker.sock");
  if (runtime === "docker" && !hasDocker) return [{ problem: "Docker does not run here (no /var/run/docker.sock)", fix: "apt-get install -y docker.io && systemctl start docker" }];
  if (runtime === "containerd" && !hasContainerd) return [{ problem: "containerd or runc is not installed", fix: "apt-get install -y containerd runc" }];
  if (runtime === "auto" && !hasContainerd && !hasDocker) return [{ problem: "no container runtime is installed", fix: "apt-get install -y containerd runc" }];
  return [];
}

function checkCgroups(): Problem[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const v2Controllers = existsSync("/sys/fs/cgroup/cgroup.controllers") ? readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8") : "";
  const missing = ["cpu", "memory", "pids"].filter((controller) => !v2Controllers.split(/\s/).includes(controller) && !new RegExp(` - cgroup \\S+ \\S*\\b${controller}\\b`).test(mounts));
  if (missing.length === 0) return [];
  return [{ problem: `the cgroup controllers ${missing.join(", ")} are not there`, fix: missing.includes("memory") ? "add cgroup_enable=memory cgroup_memory=1 to the kernel command line and restart the machine" : "mount -t cgroup2 none /sys/fs/cgroup" }];
}

function checkKernel(): Problem[] {
  const filesystems = readFileSync("/proc/filesystems", "utf8");
  const problems: Problem[] = [];
  if (!/\boverlay\b/.test(filesystems) && !existsSync("/sys/module/overlay")) problems.push({ problem: "the kernel has no overlay file system", fix: "modprobe overlay" });
  if (!existsSync("/proc/sys/net/ipv4/ip_forward")) problems.push({ problem: "the kernel has no IPv4 forwarding", fix: "use a kernel built with CONFIG_INET" });
  return problems;
}

function findCommand(command: string): boolean {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
  return directories.some((directory) => directory !== "" && existsSync(join(directory, command)));
}
