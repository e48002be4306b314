// Takes away what the runtime and the node hold of containers and pods that are over.
// That nothing of them runs any more is the caller's to know.
import { rm } from "node:fs/promises";
import type { Pod } from "../../api/types.ts";
import { unlinkLog } from "./loglinks.ts";
import { latest, type ObservedPod } from "./observed.ts";
import type { NodeServices } from "./services.ts";

/** Leaves nothing of a pod whose object is gone or being deleted; the object goes, too, unless it has. */
export async function forgetPod(node: NodeServices, pod: Pod, { isRemoved }: { readonly isRemoved: () => boolean }): Promise<void> {
  const uid = pod.metadata.uid ?? "";
  await node.writer.flush(uid);
  const target = node.statusTarget(pod);
  if (target && !isRemoved()) await node.writer.delete(target);
  // Logs first: what the runtime still holds is found again after a crash, a log directory is not.
  await rm(node.paths.podLogDirectory(pod), { recursive: true, force: true });
  await removePodFromRuntime(node, uid);
  await rm(node.paths.pod(uid), { recursive: true, force: true });
  node.writer.forget(uid);
  node.images.forgetPod(uid);
  node.allocations.forget(uid);
  node.userNamespaces.forget(uid);
}

/** Removes every container and sandbox of a pod that no longer runs. */
export async function removePodFromRuntime(node: NodeServices, uid: string): Promise<void> {
  const observed = node.cache.get(uid);
  if (!observed) return;
  await Promise.all(observed.containers.map((container) => removeContainer(node, container.id)));
  await Promise.all(observed.sandboxes.map(async (sandbox) => {
    await node.runtime.pods.removeSandbox(sandbox.id);
    node.cache.forget(sandbox.id);
  }));
}

/** Keeps the last dead instance, for `--previous` and lastState, and removes those before it. */
export async function pruneDead(node: NodeServices, observed: ObservedPod, name: string): Promise<void> {
  const last = latest(observed, name);
  for (const record of observed.containers) {
    if (record.name === name && record.id !== last?.id && record.state !== "running") await removeContainer(node, record.id);
  }
}

/** Removes a container and, unless told otherwise, its log. */
export async function removeContainer(node: NodeServices, id: string, { keepLog = false }: { readonly keepLog?: boolean } = {}): Promise<void> {
  const record = node.cache.container(id);
  await node.runtime.pods.removeContainer(id);
  node.cache.forget(id);
  if (keepLog) return;
  if (record?.logPath) await rm(record.logPath, { force: true });
  if (record) await unlinkLog(node.paths, record);
}
