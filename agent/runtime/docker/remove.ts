// Taking a node's pods off a Docker engine for good; the engine itself is the machine's and stays.
// Only `minik8s down` does this.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { connectDocker } from "./engine.ts";
import { DockerNetworks, type SandboxNetwork } from "./networks.ts";
import { TYPE_LABEL } from "./record.ts";

const REMOVE_MS = 30_000;

/** Notes which engine a data directory's pods are on, for `removeDockerPods`. */
export function rememberEndpoint({ dataDir, socketPath }: { readonly dataDir: string; readonly socketPath: string }): void {
  mkdirSync(join(dataDir, "docker"), { recursive: true, mode: 0o700 });
  writeFileSync(endpointPath(dataDir), socketPath);
}

/** Removes every sandbox and container of minik8s, and their networks; succeeds when Docker was never used or does not run. */
export async function removeDockerPods({ dataDir, network }: { readonly dataDir: string; readonly network: SandboxNetwork }): Promise<void> {
  const socketPath = readEndpoint(dataDir);
  if (socketPath === undefined) return;
  const docker = connectDocker(socketPath);
  const containers = await docker.listContainers({ all: true, filters: { label: [TYPE_LABEL] } }).catch(() => []);
  // Containers before the sandboxes whose namespaces they live in.
  for (const type of ["container", "sandbox"]) {
    await Promise.allSettled(containers.filter(({ Labels }) => Labels[TYPE_LABEL] === type).map(({ Id }) => withinTime(docker.getContainer(Id).remove({ force: true, v: true }))));
  }
  await new DockerNetworks(join(dataDir, "docker", "networks"), network).retain(new Set());
  // By name: whoever keeps an engine's own files beside them keeps those.
  for (const own of ["networks", "logs", "creations", "endpoint"]) rmSync(join(dataDir, "docker", own), { recursive: true, force: true });
}

/** An engine that hangs on one container holds nothing else up. */
async function withinTime(removal: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  await Promise.race([removal, systemClock.sleep(REMOVE_MS, timer.signal)]);
  timer.abort();
}

function readEndpoint(dataDir: string): string | undefined {
  try {
    return readFileSync(endpointPath(dataDir), "utf8");
  } catch {
    return undefined;
  }
}

function endpointPath(dataDir: string): string {
  return join(dataDir, "docker", "endpoint");
}
