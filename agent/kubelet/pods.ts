// The pods of this node and their workers: from the API, from manifests, and those the runtime still holds of pods long gone.
// Each pod has one worker; this only routes news to it.
import { rm } from "node:fs/promises";
import type { Pod } from "../../api/types.ts";
import { logger } from "../../lib/log.ts";
import { podDirectories } from "../volumes/volumes.ts";
import { killPod } from "./kill.ts";
import type { NodeServices } from "./services.ts";
import { removePodFromRuntime } from "./cleanup.ts";
import { PodWorker, type WorkerOptions } from "./worker.ts";

const log = logger("pods");
const ORPHAN_GRACE_SECONDS = 1;

export class Pods {
  readonly #workers = new Map<string, PodWorker>();
  /** Pods no worker knows, being taken down. */
  readonly #orphans = new Set<string>();

  constructor(readonly node: NodeServices, readonly hooks: { readonly onGone: (uid: string) => void; readonly onUpdate: (pod: Pod) => void; readonly refuse: WorkerOptions["refuse"] }, readonly signal: AbortSignal) {
    node.cache.onChange((uid) => this.poke(uid));
  }

  get(uid: string): PodWorker | undefined {
    return this.#workers.get(uid);
  }

  /** The pod of this name: the newest, because one that was deleted by force may still be on its way out. */
  find(namespace: string, name: string): PodWorker | undefined {
    return this.all().findLast(({ pod }) => pod.metadata.name === name && pod.metadata.namespace === namespace);
  }

  all(): PodWorker[] {
    return [...this.#workers.values()];
  }

  /** The pods of this node as their workers see them, latest statuses included: what the node's server looks up. */
  list(): Pod[] {
    return this.all().map(withStatus);
  }

  /** One of them by name. */
  named(namespace: string, name: string): Pod | undefined {
    const worker = this.find(namespace, name);
    return worker && withStatus(worker);
  }

  /** A pod is new or has changed. */
  put(pod: Pod): void {
    const uid = pod.metadata.uid ?? "";
    this.hooks.onUpdate(pod);
    const known = this.#workers.get(uid);
    if (known) return known.update(pod);
    const worker = new PodWorker(this.node, pod, { signal: this.signal, others: (own) => this.#claims(own), refuse: this.hooks.refuse });
    this.#workers.set(uid, worker);
    void this.#forgetWhenGone(uid, worker);
  }

  /** Pods other than this one that still use the node. */
  #claims(uid: string): Pod[] {
    return this.all().filter((worker) => worker.pod.metadata.uid !== uid && worker.phase !== "terminated" && !["Succeeded", "Failed"].includes(worker.status.phase ?? "")).map((worker) => worker.pod);
  }

  async #forgetWhenGone(uid: string, worker: PodWorker): Promise<void> {
    await worker.finished;
    if (this.signal.aborted) return;
    this.#workers.delete(uid);
    this.hooks.onGone(uid);
    // What it had may be what a waiting resize needs.
    for (const other of this.#workers.values()) if (other.isWaitingForRoom) other.poke();
  }

  /** A pod's object is gone. */
  remove(uid: string): void {
    this.#workers.get(uid)?.remove();
  }

  poke(uid: string): void {
    this.#workers.get(uid)?.poke();
  }

  /** Something the pod refers to has changed. */
  retry(uid: string): void {
    this.#workers.get(uid)?.retry();
  }

  /** Takes down what the runtime and the disk hold of pods nobody wants. Call only once all wanted pods are known. */
  async removeOrphans(): Promise<void> {
    const { node } = this;
    const uids = new Set([...node.cache.uids(), ...(await podDirectories(node.paths.pods))]);
    await node.cgroups.removeStale((uid) => uids.has(uid) || this.#workers.has(uid));
    await Promise.all([...uids].filter((uid) => !this.#workers.has(uid) && !this.#orphans.has(uid)).map(async (uid) => {
      this.#orphans.add(uid);
      try {
        await this.#removeOrphan(uid);
      } catch (error) {
        log.warn({ err: error, uid }, "removing an orphaned pod failed");
      } finally {
        this.#orphans.delete(uid);
      }
    }));
  }

  async #removeOrphan(uid: string): Promise<void> {
    const { node } = this;
    const observed = node.cache.get(uid);
    if (observed) {
      node.figures.count("kubelet_orphaned_runtime_pods_total");
      log.info({ pod: `${observed.namespace}/${observed.name}`, uid }, "removing a pod that is no longer wanted");
      // Whoever removed the pod's object has not waited for it either (upstream's grace for such pods, too).
      await killPod(node, undefined, observed, { graceSeconds: ORPHAN_GRACE_SECONDS, signal: this.signal });
      await removePodFromRuntime(node, uid);
    }
    await node.volumes.teardown(uid);
    await node.cgroups.remove(uid);
    await rm(node.paths.pod(uid), { recursive: true, force: true });
    if (observed) await rm(node.paths.podLogDirectory({ metadata: { name: observed.name, namespace: observed.namespace, uid } }), { recursive: true, force: true });
  }
}

const withStatus = (worker: PodWorker): Pod => ({ ...worker.pod, apiVersion: "v1", kind: "Pod", status: worker.status });
