// Takes away what control and agent made on this machine: processes, containers, links, rules, cgroups, and with --purge the data.
// Every step succeeds on absence, so that a half-finished `down` is finished by the next one.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { CgroupDriver } from "../agent/kubelet/cgroups.ts";
import { removePrivateContainerd } from "../agent/runtime/containerd/remove.ts";
import { removeDockerPods } from "../agent/runtime/docker/remove.ts";
import { systemClock } from "../lib/clock.ts";
import { hostExec } from "../lib/exec.ts";
import { cleanupNetwork } from "../net/cleanup.ts";
import { agentCgroups, isOrdinary } from "./agent.ts";
import type { Invocation } from "./commands.ts";
import { dockerNetwork } from "./dockernetwork.ts";
import { cniPaths, removeSharedNetwork } from "./podnetwork.ts";
import { stopMode } from "./processes.ts";
import { Progress } from "./progress.ts";
import { agentDataDir } from "./up.ts";

export async function runDown({ values }: Invocation): Promise<number> {
  const dataDir = values["data-dir"] as string;
  const purge = values["purge"] === "true";
  if (process.getuid?.() !== 0) throw new Error("taking a node down needs root; run: sudo minik8s down");
  const progress = new Progress();
  // The agent's data lies below the control plane's, or stands alone on a machine that only joined.
  const agentDirs = [agentDataDir(dataDir), dataDir].filter((directory) => existsSync(join(directory, "run")) || existsSync(join(directory, "containerd")));
  for (const directory of agentDirs) {
    await progress.stage(`stop the node in ${directory}`, async () => {
      await stopMode(directory, "agent");
      await removePrivateContainerd({ dataDir: directory, purge, exec: hostExec, clock: systemClock });
      await removeSharedNetwork(directory);
      await removeDockerPods({ dataDir: directory, network: dockerNetwork({ ...cniPaths(directory), exec: hostExec }) });
    });
  }
  await progress.stage("stop the control plane", async () => void (await stopMode(dataDir, "control")));
  await progress.stage("take away links, routes and rules", () => cleanupNetwork(hostExec));
  await progress.stage("unmount volumes and remove cgroups", async () => {
    for (const mount of mountsBelow(dataDir)) await hostExec(["umount", "--lazy", mount]);
    // A machine that cannot limit pods has none to remove.
    for (const { directory, driver } of agentDirs.flatMap(cgroupTrees)) await Promise.resolve().then(() => agentCgroups(directory, { driver }).removeAll()).catch((error: unknown) => void process.stderr.write(`    cgroups are left: ${(error as Error).message}\n`));
  });
  if (purge) await progress.stage(`delete ${dataDir}`, async () => purgeData(dataDir));
  process.stderr.write(purge ? "minik8s is gone from this machine\n" : `minik8s is down; its data is kept in ${dataDir}\n`);
  return 0;
}

/** systemd's tree has one place for pods, which is the ordinary node's. */
function cgroupTrees(directory: string): { directory: string; driver: CgroupDriver }[] {
  return [{ directory, driver: "cgroupfs" }, ...(isOrdinary(directory) ? [{ directory, driver: "systemd" as const }] : [])];
}

function purgeData(dataDir: string): void {
  rmSync(dataDir, { recursive: true, force: true });
  if (dataDir === "/var/lib/minik8s") rmSync("/etc/minik8s", { recursive: true, force: true });
}

/** Mount points below a directory, deepest first. */
function mountsBelow(directory: string): string[] {
  const points = readFileSync("/proc/self/mounts", "utf8").split("\n").map((line) => line.split(" ")[1] ?? "");
  return points.filter((point) => point.startsWith(`${directory}/`)).toSorted((a, b) => b.length - a.length);
}
