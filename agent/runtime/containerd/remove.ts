// Taking the private containerd away: pods, processes, mounts, and its files when asked.
// Only `minik8s down` does this; the agent's end leaves everything running.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../../../lib/clock.ts";
import type { Exec } from "../../../lib/exec.ts";
import { CriClient } from "./cri.ts";
import { descendantsOf, findProcesses } from "./machine.ts";
import { containerdPaths, endProcess, killProcess } from "./private.ts";

/** Removes every pod and then the containerd of `dataDir`; succeeds when nothing is there. `purge` deletes its files too. */
export async function removePrivateContainerd(options: { readonly dataDir: string; readonly purge: boolean; readonly exec: Exec; readonly clock: Clock }): Promise<void> {
  const paths = containerdPaths(options.dataDir);
  const daemons = findProcesses(["--config", paths.config]);
  if (daemons.length > 0) await removePods(paths.socket).catch(() => undefined);
  for (const pid of daemons) await endProcess(pid, options.clock);
  // A shim outlives the daemon when its pod could not be removed, and its containers outlive the shim.
  for (const pid of findProcesses(["-address", paths.socket])) {
    for (const child of descendantsOf(pid)) killProcess(child);
    await endProcess(pid, options.clock);
  }
  for (const mount of mountsBelow(paths.directory)) await options.exec(["umount", "--lazy", mount]);
  rmSync(paths.socket, { force: true });
  rmSync(paths.state, { recursive: true, force: true });
  if (!options.purge) return;
  rmSync(paths.directory, { recursive: true, force: true });
  if (!paths.socket.startsWith(paths.directory) && existsSync(dirname(paths.socket))) rmSync(dirname(paths.socket), { recursive: true, force: true });
}

async function removePods(socketPath: string): Promise<void> {
  const cri = new CriClient(socketPath);
  try {
    const { items } = await cri.call<{ items: { id: string }[] }>("listPodSandbox", {}, { timeoutMs: 10_000 });
    await Promise.allSettled(items.map(async ({ id }) => {
      await cri.call("stopPodSandbox", { podSandboxId: id }, { timeoutMs: 60_000 });
      await cri.call("removePodSandbox", { podSandboxId: id }, { timeoutMs: 60_000 });
    }));
  } finally {
    cri.close();
  }
}

/** Deepest first. */
function mountsBelow(directory: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${directory}/`))
    .sort((a, b) => b.length - a.length);
}
