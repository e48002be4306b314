// What a node tidies up once a minute: missed changes, pods nobody wants, dead sandboxes, and files that must be refreshed.
import { logger } from "../../lib/log.ts";
import type { Pods } from "./pods.ts";
import { podRef } from "./recorder.ts";
import type { NodeServices } from "./services.ts";
import type { PodWorker } from "./worker.ts";

const log = logger("housekeeping");
const FIRST_MS = 2_000;
const EVERY_MS = 60_000;

/** Runs until the signal aborts; each part's failure leaves the others alone. */
export async function keepHouse(node: NodeServices, pods: Pods, signal: AbortSignal): Promise<void> {
  await node.clock.sleep(FIRST_MS, signal);
  let before: number | undefined;
  while (!signal.aborted) {
    const begin = node.clock.monotonic();
    if (before !== undefined) node.figures.observe("kubelet_pleg_relist_interval_seconds", (begin - before) / 1000);
    before = begin;
    await attempt("relist", () => node.cache.relist(node.clock.now()));
    node.figures.observe("kubelet_pleg_relist_duration_seconds", (node.clock.monotonic() - begin) / 1000);
    await attempt("orphans", () => pods.removeOrphans());
    for (const worker of pods.all()) {
      await attempt("sandboxes", () => removeDeadSandboxes(node, worker));
      await attempt("process limits", () => tellRefusedForks(node, worker));
      await attempt("volumes", () => refreshVolumes(node, worker, signal));
    }
    await node.clock.sleep(EVERY_MS, signal);
  }
}

/** Brings the files of a running pod's volumes up to date. */
export async function refreshVolumes(node: NodeServices, worker: PodWorker | undefined, signal: AbortSignal): Promise<void> {
  const hasContainers = (node.cache.get(worker?.pod.metadata.uid ?? "")?.containers.length ?? 0) > 0;
  if (worker?.phase === "syncing" && hasContainers) await node.volumes.refresh(worker.pod, signal);
}

/** Removes sandboxes that were replaced, once no container of theirs is kept for its log or status. */
async function removeDeadSandboxes(node: NodeServices, worker: PodWorker): Promise<void> {
  const observed = node.cache.get(worker.pod.metadata.uid ?? "");
  for (const sandbox of observed?.sandboxes.slice(1) ?? []) {
    if (sandbox.state === "ready" || observed?.containers.some((container) => container.sandboxId === sandbox.id)) continue;
    await node.runtime.pods.removeSandbox(sandbox.id);
    node.cache.forget(sandbox.id);
  }
}

const refusedBefore = new WeakMap<PodWorker, number>();

/** Nobody else says why such a container fails: the kernel only tells whoever forks. */
async function tellRefusedForks(node: NodeServices, worker: PodWorker): Promise<void> {
  if (worker.phase !== "syncing") return;
  const refused = await node.cgroups.refusedForks(worker.pod);
  if (refused > (refusedBefore.get(worker) ?? 0)) node.recorder.event(podRef(worker.pod), "Warning", "PidLimitReached", "The pod has as many processes as one pod may have; it was refused more");
  refusedBefore.set(worker, refused);
}

async function attempt(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.warn({ err: error }, `${what}: tidying up failed`);
  }
}
