// Docker's sandboxes on the pod network: the same plugins containerd starts, run in this process.
// The configuration is the one on disk, so that it is never another than containerd's would be.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxNetwork } from "../agent/runtime/docker/networks.ts";
import { attachPodNetwork, detachPodNetwork, type PodNetwork } from "../cni/attach.ts";
import { CONFIG_FILE, type ConfigList } from "../cni/config.ts";
import type { Exec } from "../lib/exec.ts";

/** Ready once the node has its podCIDR and the configuration is written. */
export function dockerNetwork({ cniConfDir, exec }: { readonly cniConfDir: string; readonly exec: Exec }): SandboxNetwork {
  const path = join(cniConfDir, CONFIG_FILE);
  const network = async (): Promise<PodNetwork> => ({ config: JSON.parse(await readFile(path, "utf8")) as ConfigList, exec });
  return {
    isReady: () => existsSync(path),
    attach: async (attachment) => attachPodNetwork(await network(), attachment),
    // Without a configuration nothing was ever attached.
    detach: async (attachment) => (existsSync(path) ? detachPodNetwork(await network(), attachment) : undefined),
  };
}
