// A dockerd of a test's own: private socket, directories and no network, gone afterwards.
// Not used by the product, which takes the machine's.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { connectDocker } from "./engine.ts";

/** A running engine; `stop` ends it and deletes its files. */
export async function startDockerd(): Promise<{ socketPath: string; directory: string; stop: () => Promise<void> }> {
  const directory = mkdtempSync("/tmp/mk8s-rt-d-");
  const socketPath = join(directory, "d.sock");
  const child = Bun.spawn(["dockerd", "--host", `unix://${socketPath}`, "--data-root", join(directory, "data"), "--exec-root", join(directory, "exec"), "--pidfile", join(directory, "pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"], { stdout: Bun.file(join(directory, "log")), stderr: Bun.file(join(directory, "log")) });
  const docker = connectDocker(socketPath);
  while (!(await docker.ping().then(() => true, () => false))) {
    if (child.exitCode !== null) throw new Error(`dockerd did not start: ${(await Bun.file(join(directory, "log")).text()).slice(-2000)}`);
    await Bun.sleep(100);
  }
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await child.exited;
    const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n").map((line) => line.split(" ")[1] ?? "");
    for (const mount of mounts.filter((path) => path.startsWith(`${directory}/`)).reverse()) Bun.spawnSync(["umount", mount]);
    rmSync(directory, { recursive: true, force: true });
  };
  return { socketPath, directory, stop };
}
