// Clears away pods nobody else will: on nodes that are gone, terminating without ever having had a node, too many finished ones.
// Rules: k8s.io/kubernetes/pkg/controller/podgc. A scan is made when something happened that may need one, never on a clock alone.
import type { Client } from "../../../api/client/client.ts";
import type { Informer } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { isNotFound } from "../../../api/errors.ts";
import type { Node, Pod, PodCondition, Stored } from "../../../api/types.ts";
import { timestamp, type Clock } from "../../../lib/clock.ts";
import { withoutCondition } from "../conditions.ts";
import { controllerOf, type Controller, type ControllerDeps } from "../controller.ts";
import type { ControllerFigures } from "../figures.ts";
import { NODE, POD } from "../kinds.ts";
import { isFinished } from "../pods.ts";
import { OUT_OF_SERVICE, readiness } from "./taints.ts";

const NAME = "pod-garbage-collector-controller";
const SCAN = "scan";
const SETTLE_MS = 20_000;
const QUARANTINE_MS = 40_000;
const THRESHOLD = 12_500;

export function podGarbageCollector(deps: ControllerDeps): Controller {
  const queue = new WorkQueue({ clock: deps.clock });
  const nodes = deps.informers.for<Node>(NODE);
  const pods = deps.informers.for<Pod>(POD);
  const collector = new PodCollector({ client: deps.clientFor("pod-garbage-collector"), clock: deps.clock, nodes, pods, figures: deps.figures, threshold: deps.settings.terminatedPodThreshold ?? THRESHOLD });
  const scanSoon = (): void => queue.addAfter(SCAN, SETTLE_MS);
  pods.addHandler({
    add: (pod) => (mayNeedScan(pod, nodes) ? scanSoon() : undefined),
    update: (pod) => (mayNeedScan(pod, nodes) ? scanSoon() : undefined),
  });
  nodes.addHandler({
    update: (node) => (node.spec?.taints?.some(({ key }) => key === OUT_OF_SERVICE) ? scanSoon() : undefined),
    delete: scanSoon,
  });
  const reconcile = async (): Promise<void> => {
    const wait = await collector.collect();
    if (wait !== undefined) queue.addAfter(SCAN, wait);
  };
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 1, reconcile });
}

function mayNeedScan(pod: Stored<Pod>, nodes: Informer<Node>): boolean {
  const { nodeName } = pod.spec ?? {};
  if (pod.metadata.deletionTimestamp) return true;
  return isFinished(pod) || (nodeName !== undefined && nodeName !== "" && !nodes.lister.get(nodeName));
}

interface CollectorOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly nodes: Informer<Node>;
  readonly pods: Informer<Pod>;
  readonly figures: ControllerFigures;
  readonly threshold: number;
}

/** Why a pod goes, as upstream's metrics say it. */
type Reason = "orphaned" | "out-of-service" | "terminated" | "unscheduled";

class PodCollector {
  /** When each node that pods name was first found missing. */
  readonly #missingSince = new Map<string, number>();

  constructor(private readonly options: CollectorOptions) {}

  /** One scan; returns the milliseconds until a quarantine ends, when there is one. */
  async collect(): Promise<number | undefined> {
    const { pods } = this.options;
    const all = pods.lister.list();
    await this.#collectFinished(all.filter(isFinished));
    await this.#removeAll(all.filter((pod) => this.#isStuck(pod)), (pod) => (pod.spec?.nodeName ? "out-of-service" : "unscheduled"));
    return this.#collectOrphans(all);
  }

  /** Terminating, and nobody is there to finish it. */
  #isStuck(pod: Stored<Pod>): boolean {
    if (!pod.metadata.deletionTimestamp) return false;
    if (!pod.spec?.nodeName) return true;
    const node = this.options.nodes.lister.get(pod.spec.nodeName);
    return node !== undefined && readiness(node) !== "True" && (node.spec?.taints?.some(({ key }) => key === OUT_OF_SERVICE) ?? false);
  }

  async #collectFinished(finished: readonly Stored<Pod>[]): Promise<void> {
    const excess = finished.length - this.options.threshold;
    if (excess <= 0 || this.options.threshold <= 0) return;
    await this.#removeAll(finished.toSorted(byEvictionAndAge).slice(0, excess), () => "terminated");
  }

  async #collectOrphans(all: readonly Stored<Pod>[]): Promise<number | undefined> {
    const { clock, nodes } = this.options;
    const now = clock.monotonic();
    const orphans = Map.groupBy(all.filter((pod) => pod.spec?.nodeName && !nodes.lister.get(pod.spec.nodeName)), (pod) => pod.spec?.nodeName ?? "");
    for (const name of this.#missingSince.keys()) if (!orphans.has(name)) this.#missingSince.delete(name);
    let wait: number | undefined;
    for (const [name, pods] of orphans) {
      const since = this.#missingSince.get(name) ?? now;
      this.#missingSince.set(name, since);
      const left = since + QUARANTINE_MS - now;
      if (left > 0) wait = Math.min(wait ?? Infinity, left);
      else if (await this.#isGone(name)) await this.#removeAll(pods, () => "orphaned", { type: "DisruptionTarget", status: "True", reason: "DeletionByPodGC", message: "PodGC: node no longer exists", lastTransitionTime: timestamp(clock.now()) });
    }
    return wait;
  }

  async #isGone(nodeName: string): Promise<boolean> {
    try {
      await this.options.client.get(NODE, { name: nodeName });
      return false;
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
  }

  async #removeAll(pods: readonly Stored<Pod>[], why: (pod: Stored<Pod>) => Reason, condition?: PodCondition): Promise<void> {
    const results = await Promise.allSettled(pods.map((pod) => this.#remove(pod, condition)));
    results.forEach(({ status }, index) => {
      const pod = pods[index] as Stored<Pod>;
      this.options.figures.count(status === "fulfilled" ? "pod_gc_collector_force_delete_pods_total" : "pod_gc_collector_force_delete_pod_errors_total", pod.metadata.namespace ?? "", why(pod));
    });
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw failed.reason;
  }

  /** A pod that never ended by itself is marked failed first, so that its owner's accounts are right. */
  async #remove(pod: Stored<Pod>, condition: PodCondition | undefined): Promise<void> {
    const { client } = this.options;
    const { name, namespace, uid } = pod.metadata;
    try {
      if (!isFinished(pod)) {
        const conditions = condition ? [...withoutCondition(pod.status?.conditions, condition.type), condition] : pod.status?.conditions;
        await client.update<Pod>(POD, { ...pod, status: { ...pod.status, phase: "Failed", ...(conditions && { conditions }) } }, { subresource: "status" });
      }
      await client.delete(POD, { name, namespace }, { gracePeriodSeconds: 0, preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function byEvictionAndAge(a: Stored<Pod>, b: Stored<Pod>): number {
  return evictionRank(a) - evictionRank(b) || a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) || a.metadata.name.localeCompare(b.metadata.name);
}

function evictionRank({ status }: Pod): number {
  return status?.phase === "Failed" && status.reason === "Evicted" ? 0 : 1;
}
