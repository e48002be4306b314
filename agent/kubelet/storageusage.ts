// How much local storage a pod uses; measured only for pods that set a limit on it.
import { join } from "node:path";
import type { Pod } from "../../api/types.ts";
import type { Exec } from "../../lib/exec.ts";
import { EMPTY_DIR_PLUGIN } from "../volumes/emptydir.ts";
import { bytesBelow } from "./diskusage.ts";
import type { StorageUsage } from "./evictionrank.ts";
import type { NodeServices } from "./services.ts";

/** undefined for a pod without limits. */
export async function podStorage(node: NodeServices, exec: Exec, pod: Pod): Promise<StorageUsage | undefined> {
  const limitsContainers = (pod.spec?.containers ?? []).some(({ resources }) => resources?.limits?.["ephemeral-storage"] !== undefined);
  const volumes = (pod.spec?.volumes ?? []).filter(({ emptyDir }) => emptyDir && (limitsContainers || emptyDir.sizeLimit !== undefined));
  if (!limitsContainers && volumes.length === 0) return undefined;
  const uid = pod.metadata.uid ?? "";
  const emptyDirs = await Promise.all(volumes.map(async ({ name }) => [name, await bytesBelow(exec, node.paths.volume(uid, EMPTY_DIR_PLUGIN, name))] as const));
  return { emptyDirs: Object.fromEntries(emptyDirs), containers: limitsContainers ? await containersUsage(node, exec, pod) : {} };
}

/** Bytes in a pod's emptyDirs on disk and in its logs. */
export async function localStorageBytes(node: NodeServices, exec: Exec, pod: Pod): Promise<number> {
  const uid = pod.metadata.uid ?? "";
  const volumes = (pod.spec?.volumes ?? []).filter(({ emptyDir }) => emptyDir && emptyDir.medium !== "Memory");
  const paths = [...volumes.map(({ name }) => node.paths.volume(uid, EMPTY_DIR_PLUGIN, name)), node.paths.podLogDirectory(pod)];
  const sizes = await Promise.all(paths.map((path) => bytesBelow(exec, path)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function containersUsage(node: NodeServices, exec: Exec, pod: Pod): Promise<Record<string, number>> {
  const running = node.cache.get(pod.metadata.uid ?? "")?.containers.filter(({ state }) => state === "running") ?? [];
  const layers = await node.runtime.pods.writableLayers(running.map(({ id }) => id));
  const usages = await Promise.all(running.map(async ({ id, name }) => [name, (layers.get(id)?.bytes ?? 0) + (await bytesBelow(exec, join(node.paths.podLogDirectory(pod), name)))] as const));
  return Object.fromEntries(usages);
}
