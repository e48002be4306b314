// Feeds the scheduler's picture and queue from watch events, and says which waiting pods an event may help.
// Only translates: what a pod or node is worth is decided elsewhere.
import type { Informers } from "../../api/client/informer.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Namespace, Node, Pod, Stored } from "../../api/types.ts";
import type { Cluster } from "./cluster.ts";
import type { NodeSummary } from "./framework.ts";
import type { NodeState } from "./nodestate.ts";
import type { Nominator } from "./nominations.ts";
import type { PodInfo, PodParser } from "./podinfo.ts";
import type { SchedulingQueue } from "./queue.ts";
import { resizeKey } from "./requests.ts";

export interface WatchTargets {
  readonly cluster: Cluster;
  readonly queue: SchedulingQueue;
  readonly nominator: Nominator;
  readonly parser: PodParser;
  /** Whether this scheduler is asked for by the pod. */
  isResponsible(pod: Pod): boolean;
}

/** Subscribes to pods, nodes and namespaces. */
export function watchCluster(informers: Informers, targets: WatchTargets): void {
  const nodes = new NodeEvents(targets);
  const pods = new PodEvents(targets);
  const { cluster, queue } = targets;
  informers.for<Node>(builtinKind("", "v1", "Node")).addHandler({
    add: (node) => nodes.add(node), update: (node) => nodes.update(node), delete: (node) => nodes.delete(node),
  });
  informers.for<Namespace>(builtinKind("", "v1", "Namespace")).addHandler({
    add: (namespace) => cluster.setNamespace(namespace),
    update: (namespace, old) => {
      cluster.setNamespace(namespace);
      if (!isSame(namespace.metadata.labels, old.metadata.labels)) queue.wake({ type: "NamespaceUpdate" });
    },
    delete: (namespace) => cluster.removeNamespace(namespace.metadata.name),
  });
  informers.for<Pod>(builtinKind("", "v1", "Pod")).addHandler({
    add: (pod) => pods.set(pod), update: (pod, old) => pods.update(pod, old), delete: (pod) => pods.delete(pod),
  });
}

class NodeEvents {
  constructor(private readonly to: WatchTargets) {}

  add(node: Stored<Node>): void {
    this.to.queue.wake({ type: "NodeAdd", node: this.to.cluster.setNode(node) });
  }

  update(node: Stored<Node>): void {
    const { cluster, queue } = this.to;
    const before = cluster.node(node.metadata.name);
    if (!before) return this.add(node);
    const { version } = before;
    const old = summaryOf(before);
    const state = cluster.setNode(node);
    if (state.version !== version) queue.wake({ type: "NodeUpdate", node: state, old: { ...old, labels: isSame(old.labels, state.labels) ? state.labels : old.labels } });
  }

  delete(node: Stored<Node>): void {
    this.to.cluster.removeNode(node.metadata.name);
    this.to.queue.wake({ type: "NodeDelete" });
  }
}

class PodEvents {
  constructor(private readonly to: WatchTargets) {}

  set(pod: Stored<Pod>, old?: Stored<Pod>): void {
    if (isFinished(pod)) this.delete(pod);
    else if (pod.spec?.nodeName) this.#placed(pod, pod.spec.nodeName);
    else this.#waiting(pod, old);
  }

  update(pod: Stored<Pod>, old: Stored<Pod>): void {
    const placement = this.to.cluster.placement(pod.metadata.uid);
    if (pod.metadata.uid !== old.metadata.uid) this.delete(old);
    else if (placement && !placement.isAssumed && isUntouched(pod, old)) {
      placement.info.pod = pod;
      return;
    }
    this.set(pod, old);
  }

  delete(pod: Stored<Pod>): void {
    const { cluster, queue, nominator } = this.to;
    const { uid } = pod.metadata;
    const placed = cluster.remove(uid);
    queue.remove(uid);
    nominator.remove(uid);
    if (placed) queue.wake({ type: "AssignedPodDelete", pod: placed.info, node: placed.node });
  }

  #placed(pod: Stored<Pod>, nodeName: string): void {
    const { cluster, queue, nominator, parser } = this.to;
    const info = parser.parse(pod);
    const before = cluster.placement(info.uid);
    cluster.place(info, nodeName);
    queue.remove(info.uid);
    nominator.remove(info.uid);
    if (before && !before.isAssumed) queue.wake({ type: "AssignedPodUpdate", pod: info, old: before.info });
    else queue.wake({ type: "AssignedPodAdd", pod: info });
  }

  #waiting(pod: Stored<Pod>, old: Stored<Pod> | undefined): void {
    const { cluster, queue, nominator, parser } = this.to;
    // An update of a pod whose binding is on its way: the binding's outcome decides.
    if (cluster.placement(pod.metadata.uid) || !this.to.isResponsible(pod)) return;
    if (pod.metadata.deletionTimestamp !== undefined) return this.delete(pod);
    const info: PodInfo = parser.parse(pod);
    const { nominatedNodeName } = pod.status ?? {};
    // A nomination whose write is still on its way must survive other updates.
    if (!old || old.status?.nominatedNodeName !== nominatedNodeName) nominator.set(info, nominatedNodeName);
    queue.put(info);
  }
}

function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Most updates of a running pod are about its status, which is nothing to the scheduler. */
function isUntouched(pod: Stored<Pod>, old: Stored<Pod>): boolean {
  return pod.metadata.generation === old.metadata.generation && pod.metadata.deletionTimestamp === old.metadata.deletionTimestamp
    && pod.spec?.nodeName === old.spec?.nodeName && !isFinished(pod)
    && isSame(pod.metadata.labels, old.metadata.labels) && resizeKey(pod) === resizeKey(old);
}

function summaryOf({ name, labels, isUnschedulable, hardTaints, allocatable, allowedPods, declaredFeatures }: NodeState): NodeSummary {
  return { name, labels, isUnschedulable, hardTaints, allocatable, allowedPods, declaredFeatures };
}

function isSame(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
