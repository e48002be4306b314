// Addresses and published ports of pods that vanished without a goodbye, as after a power cut or a killed runtime, are taken back.
// Whose they are is on disk with the addresses; which sandboxes live, the runtime says.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { PodRuntime } from "../agent/runtime/runtime.ts";
import { detachPodNetwork } from "../cni/attach.ts";
import { CONFIG_FILE, NETWORK_NAME, type ConfigList } from "../cni/config.ts";
import { leakedContainers } from "../cni/hostlocal/ipam.ts";
import type { Clock } from "../lib/clock.ts";
import type { Exec } from "../lib/exec.ts";
import { logger } from "../lib/log.ts";

const log = logger("pod-network");
const EVERY_MS = 60_000;

export interface LeakedNetworksDeps {
  readonly runtime: Pick<PodRuntime, "listSandboxes">;
  readonly cniConfDir: string;
  readonly ipamDir: string;
  readonly exec: Exec;
  readonly clock: Clock;
}

/** Looks once a minute until the signal aborts. A sandbox being made is in no list yet, so only what is missing twice is gone. */
export async function takeBackNetworks(deps: LeakedNetworksDeps, signal: AbortSignal): Promise<void> {
  let suspects = new Set<string>();
  while (!signal.aborted) {
    try {
      const leaked = await leakedNow(deps);
      for (const containerId of leaked.filter((id) => suspects.has(id))) await detach(deps, containerId);
      suspects = new Set(leaked);
    } catch (error) {
      log.debug({ err: error }, "could not look for leaked pod networks");
    }
    await deps.clock.sleep(EVERY_MS, signal);
  }
}

async function leakedNow({ runtime, ipamDir, clock }: LeakedNetworksDeps): Promise<string[]> {
  const sandboxes = await runtime.listSandboxes();
  return leakedContainers({ dataDir: ipamDir, network: NETWORK_NAME, liveContainerIds: new Set(sandboxes.map(({ id }) => id)), now: clock.now() });
}

async function detach({ cniConfDir, exec }: LeakedNetworksDeps, containerId: string): Promise<void> {
  const path = join(cniConfDir, CONFIG_FILE);
  if (!existsSync(path)) return;
  const config = JSON.parse(await readFile(path, "utf8")) as ConfigList;
  await detachPodNetwork({ config, exec }, { containerId, netnsPath: "" });
  log.info({ containerId }, "took back the addresses and ports of a pod that is gone");
}
