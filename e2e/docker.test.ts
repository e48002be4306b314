import { existsSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeCluster } from "./cluster.suite.ts";
import { eventually, must } from "./support.ts";

const directory = mkdtempSync("/tmp/minik8s-dockerd-");
const socket = join(directory, "docker.sock");
let daemon: Bun.Subprocess | undefined;

/** A dockerd of the test's own: it touches no rules, because pods' network is not its business. */
async function startDocker(): Promise<string> {
  const log = openSync(join(directory, "log"), "a");
  const flags = ["--host", `unix://${socket}`, "--data-root", join(directory, "root"), "--exec-root", join(directory, "exec"), "--pidfile", join(directory, "pid"), "--bridge", "none", "--iptables=false", "--ip-forward=false"];
  daemon = Bun.spawn(["dockerd", ...flags], { stdout: log, stderr: log });
  await eventually("dockerd answers", async () => existsSync(socket) && (await must(["docker", "--host", `unix://${socket}`, "info"])));
  return `unix://${socket}`;
}

async function stopDocker(): Promise<void> {
  daemon?.kill("SIGTERM");
  await daemon?.exited;
  await must(["sh", "-c", `grep -o ' ${directory}/[^ ]*' /proc/mounts | sort -r | xargs -r umount -l`]);
  rmSync(directory, { recursive: true, force: true });
}

describeCluster({ runtime: "docker", startRuntime: startDocker, stopRuntime: stopDocker });
