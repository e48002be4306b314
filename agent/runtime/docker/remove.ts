// Taking a node's pods off a Docker engine for good; the engine itself is the machine's and stays.
// Only `minik8s down` does this.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../lib/clock.ts";
import { connectDocker } from "./engine.ts";
import { DockerNetworks, type SandboxNetwork } from "./networks.ts";
import { TYPE_LABEL } from "./record.ts";

const CALL_MS = 30_000;

/** Notes which engine a data directory's pods are on, for `removeDockerPods`. */
export function rememberEndpoint({ dataDir, socketPath }: { readonly dataDir: string; readonly socketPath: string }): void {
  mkdirSync(join(dataDir, "docker"), { recursive: true, mode: 0o700 });
  writeFileSync(endpointPath(dataDir), socketPath);
}

/** Removes every sandbox and container of minik8s, and their networks; succeeds when Docker was never used, does not run or hangs. */
export async function removeDockerPods({ dataDir, network, clock = systemClock }: { readonly dataDir: string; readonly network: SandboxNetwork; readonly clock?: Clock }): Promise<void> {
  const socketPath = readEndpoint(dataDir);
  if (socketPath === undefined) return;
  const docker = connectDocker(socketPath);
  const containers = (await withinTime(clock, docker.listContainers({ all: true, filters: { label: [TYPE_LABEL] } }))) ?? [];
  // Containers before the sandboxes whose namespaces they live in.
  for (const type of ["container", "sandbox"]) {
    await Promise.all(containers.filter(({ Labels }) => Labels[TYPE_LABEL] === type).map(({ Id }) => withinTime(clock, docker.getContainer(Id).remove({ force: true, v: true }))));
  }
  await new DockerNetworks(join(dataDir, "docker", "networks"), network).retain(new Set());
  // By name: whoever keeps an engine's own files beside them keeps those.
  for (const own of ["networks", "logs", "resolv", "creations", "shims", "endpoint"]) rmSync(join(dataDir, "docker", own), { recursive: true, force: true });
}

/** undefined when the call failed or was not answered: an engine that hangs holds nothing else up. */
async function withinTime<T>(clock: Clock, call: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController();
  const answer = await Promise.race([call.catch(() => undefined), clock.sleep(CALL_MS, timer.signal).then(() => undefined)]);
  timer.abort();
  return answer;
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
