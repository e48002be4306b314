// Notices nodes that fell silent, says so in their conditions and taints, and marks their pods not ready.
// Taking the pods away is the taint eviction controller's business. Silence is timed per node: nothing is polled.
import type { Informer } from "../../../api/client/informer.ts";
import { isNotFound } from "../../../api/errors.ts";
import type { Lease, Node, NodeCondition, Pod, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { LEASE, NODE, POD } from "../kinds.ts";
import { isReady } from "../pods.ts";
import { indexByNode, podsOnNode } from "./podsonnode.ts";
import { evictionTaintOf, hasTaint, NOT_READY, readiness, UNREACHABLE, wantedTaints } from "./taints.ts";
import { Zones, zoneKey } from "./zones.ts";

const NAME = "node-lifecycle-controller";
const GRACE_MS = 40_000;
/** A node that never posted a status gets longer. */
const STARTUP_GRACE_MS = 60_000;
const MONITORED = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

export function nodeLifecycleController(deps: ControllerDeps): Controller {
  return new NodeLifecycle(deps);
}

class NodeLifecycle extends KindController<Node> {
  readonly #graceMs: number;
  readonly #pods: Informer<Pod>;
  readonly #zones = new Zones();
  /** When each node was last heard of, by this process's own count: nodes' clocks may be wrong, and dates may be set. */
  readonly #heardAt = new Map<string, number>();

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: NODE, client: "node-controller", recorder: "node-controller", workers: 8 });
    this.#graceMs = deps.settings.nodeMonitorGraceMs ?? GRACE_MS;
    this.#pods = deps.informers.for<Pod>(POD);
    indexByNode(this.#pods);
    this.#tellZones();
    this.#listen(deps.informers.for<Lease>(LEASE, { namespace: "kube-node-lease" }));
  }

  /** Heartbeats alone change nothing here. */
  protected override isWorthwhile(node: Stored<Node>, old: Stored<Node>): boolean {
    return describe(node) !== describe(old);
  }

  #tellZones(): void {
    const zones = this.#zones;
    this.figures.reads("node_collector_zone_size", () => zones.sizes().map(({ zone, size }) => [[zone], size]));
    this.figures.reads("node_collector_zone_health", () => zones.sizes().map(({ zone, size, healthy }) => [[zone], (100 * healthy) / size]));
    this.figures.reads("node_collector_unhealthy_nodes_in_zone", () => zones.sizes().map(({ zone, size, healthy }) => [[zone], size - healthy]));
  }

  #listen(leases: Informer<Lease>): void {
    this.objects.addHandler({
      add: (node) => {
        this.recorder.event(reference(node), "Normal", "RegisteredNode", `Node ${node.metadata.name} event: Registered Node ${node.metadata.name} in Controller`);
        this.#heard(node.metadata.name);
        this.#nodeChanged(node);
      },
      update: (node, old) => {
        if (heartbeatOf(node) !== heartbeatOf(old)) this.#heard(node.metadata.name);
        if (this.isWorthwhile(node, old)) this.#nodeChanged(node);
      },
      delete: (node) => this.#nodeGone(node),
    });
    leases.addHandler({
      add: ({ metadata }) => this.#heard(metadata.name),
      update: (lease, old) => (lease.spec?.renewTime === old.spec?.renewTime ? undefined : this.#heard(lease.metadata.name)),
    });
    // A pod that comes to a node already lost is not ready either.
    this.#pods.addHandler({ add: (pod) => this.#podPlaced(pod), update: (pod, old) => (old.spec?.nodeName ? undefined : this.#podPlaced(pod)) });
  }

  /** Only notes the time: with thousands of nodes a heartbeat must cost nothing. */
  #heard(name: string): void {
    this.#heardAt.set(name, this.clock.monotonic());
  }

  #nodeChanged(node: Stored<Node>): void {
    if (this.#zones.set(node, readiness(node) === "True", this.clock.monotonic())) this.#enqueueUnhealthy();
  }

  #nodeGone(node: Stored<Node>): void {
    const { name } = node.metadata;
    this.recorder.event(reference(node), "Normal", "RemovingNode", `Node ${name} event: Removing Node ${name} from Controller`);
    this.#heardAt.delete(name);
    if (this.#zones.remove(name, this.clock.monotonic())) this.#enqueueUnhealthy();
  }

  #podPlaced(pod: Stored<Pod>): void {
    const node = this.objects.lister.get(pod.spec?.nodeName ?? "");
    if (node && isReady(pod) && readiness(node) !== "True" && readiness(node) !== undefined) this.queue.add(node.metadata.name);
  }

  /** A zone changed state: what may happen to its unhealthy nodes is another thing now. */
  #enqueueUnhealthy(): void {
    for (const node of this.objects.lister.list()) if (evictionTaintOf(node)) this.queue.add(node.metadata.name);
  }

  protected async reconcile(name: string): Promise<void> {
    let node = this.objects.lister.get(name);
    if (!node) return;
    const silentAt = this.#silentAt(node);
    const now = this.clock.monotonic();
    const began = performance.now();
    if (now >= silentAt) node = await this.#markUnknown(node);
    else this.queue.addAfter(name, silentAt - now);
    await this.#updateTaints(node);
    if (evictionTaintOf(node)) await this.#markPodsNotReady(node);
    this.figures.observe("node_collector_update_node_health_duration_seconds", (performance.now() - began) / 1000);
  }

  #silentAt(node: Stored<Node>): number {
    const heardAt = this.#heardAt.get(node.metadata.name) ?? this.clock.monotonic();
    return heardAt + (readiness(node) === undefined ? STARTUP_GRACE_MS : this.#graceMs);
  }

  async #markUnknown(node: Stored<Node>): Promise<Stored<Node>> {
    const conditions = unknownConditions(node, timestamp(this.clock.now()));
    if (!conditions) return node;
    const wasReady = readiness(node) === "True";
    const updated = await this.client.update<Node>(NODE, { ...node, status: { ...node.status, conditions } }, { subresource: "status" });
    if (wasReady) this.recorder.event(reference(node), "Normal", "NodeNotReady", `Node ${node.metadata.name} status is now: NodeNotReady`);
    return updated;
  }

  async #updateTaints(node: Stored<Node>): Promise<void> {
    const evictBy = this.#evictBy(node);
    const taints = wantedTaints(node, evictBy, this.clock.now());
    if (!taints) return;
    await this.client.update<Node>(NODE, { ...node, spec: { ...node.spec, taints } });
    if (evictBy !== undefined && !isBeingEvicted(node)) this.figures.count("node_collector_evictions_total", zoneKey(node));
  }

  /** The NoExecute taint the node is to carry now, as far as its zone's pace allows. */
  #evictBy(node: Stored<Node>): string | undefined {
    const taint = evictionTaintOf(node);
    if (!taint || this.#zones.isAllDown) return undefined;
    if (isBeingEvicted(node)) return taint;
    const wait = this.#zones.tryEvict(node, this.clock.monotonic());
    if (wait === 0) return taint;
    if (wait !== undefined) this.queue.addAfter(node.metadata.name, wait);
    return undefined;
  }

  async #markPodsNotReady(node: Stored<Node>): Promise<void> {
    const ready = podsOnNode(this.#pods, node.metadata.name).filter((pod) => isReady(pod));
    await Promise.all(ready.map((pod) => this.#markPodNotReady(pod)));
  }

  async #markPodNotReady(pod: Stored<Pod>): Promise<void> {
    const lastTransitionTime = timestamp(this.clock.now());
    const conditions = pod.status?.conditions?.map((condition) => (condition.type === "Ready" ? { ...condition, status: "False", lastTransitionTime } : condition));
    try {
      await this.client.update<Pod>(POD, { ...pod, status: { ...pod.status, ...(conditions && { conditions }) } }, { subresource: "status" });
      this.recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready");
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function isBeingEvicted(node: Node): boolean {
  return hasTaint(node, NOT_READY, "NoExecute") || hasTaint(node, UNREACHABLE, "NoExecute");
}

/** The conditions of a node nobody has heard of; undefined when they say so already. */
function unknownConditions(node: Stored<Node>, now: string): NodeCondition[] | undefined {
  const current = node.status?.conditions ?? [];
  const missing = MONITORED.filter((type) => !current.some((condition) => condition.type === type));
  const isStale = (condition: NodeCondition): boolean => MONITORED.includes(condition.type) && condition.status !== "Unknown";
  if (missing.length === 0 && !current.some(isStale)) return undefined;
  const known = current.map((condition) => (isStale(condition)
    ? { ...condition, status: "Unknown", reason: "NodeStatusUnknown", message: "Kubelet stopped posting node status.", lastTransitionTime: now }
    : condition));
  const added = missing.map((type): NodeCondition => ({
    type, status: "Unknown", reason: "NodeStatusNeverUpdated", message: "Kubelet never posted node status.",
    lastHeartbeatTime: node.metadata.creationTimestamp, lastTransitionTime: now,
  }));
  return [...known, ...added];
}

function heartbeatOf(node: Node): string | undefined {
  return node.status?.conditions?.find(({ type }) => type === "Ready")?.lastHeartbeatTime;
}

function describe({ metadata, spec, status }: Node): string {
  return JSON.stringify([metadata.labels, spec?.taints, spec?.unschedulable, status?.conditions?.map(({ type, status: value }) => `${type}=${value}`)]);
}

function reference(node: Stored<Node>): { apiVersion: string; kind: string; name: string; uid: string } {
  return { apiVersion: "v1", kind: "Node", name: node.metadata.name, uid: node.metadata.uid };
}
