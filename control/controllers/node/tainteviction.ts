// Deletes pods from nodes with NoExecute taints, each when its tolerations run out.
// The time counts from when the taint was added, so that a restart neither hastens nor delays anybody.
import { keyOf, splitKey } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { isNotFound } from "../../../api/errors.ts";
import type { Node, Pod, PodCondition, Stored } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { withoutCondition } from "../conditions.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "../controller.ts";
import { NODE, POD } from "../kinds.ts";
import { isSame } from "../template.ts";
import { indexByNode, podsOnNode } from "./podsonnode.ts";
import { noExecuteTaints, toleratedFor } from "./taints.ts";

const NAME = "taint-eviction-controller";

export function taintEvictionController(deps: ControllerDeps): Controller {
  const client = deps.clientFor("node-controller");
  const recorder = deps.recorderFor(NAME);
  const queue = new WorkQueue({ clock: deps.clock });
  const nodes = deps.informers.for<Node>(NODE);
  const pods = deps.informers.for<Pod>(POD);
  /** Pods whose deletion has been announced by a timer, to say so when it is called off. */
  const scheduled = new Set<string>();
  indexByNode(pods);

  const enqueuePodsOf = (node: Stored<Node>): void => podsOnNode(pods, node.metadata.name).forEach((pod) => queue.add(keyOf(pod)));
  nodes.addHandler({
    add: (node) => (noExecuteTaints(node).length > 0 ? enqueuePodsOf(node) : undefined),
    update: (node, old) => (isSame(noExecuteTaints(node), noExecuteTaints(old)) ? undefined : enqueuePodsOf(node)),
  });
  const enqueueTainted = (pod: Stored<Pod>): void => {
    const node = nodes.lister.get(pod.spec?.nodeName ?? "");
    if (scheduled.has(keyOf(pod)) || (node && noExecuteTaints(node).length > 0)) queue.add(keyOf(pod));
  };
  pods.addHandler({
    add: enqueueTainted,
    update: (pod, old) => (pod.spec?.nodeName === old.spec?.nodeName && isSame(pod.spec?.tolerations, old.spec?.tolerations) ? undefined : enqueueTainted(pod)),
    delete: (pod) => void scheduled.delete(keyOf(pod)),
  });

  async function reconcile(key: string): Promise<void> {
    const pod = pods.lister.get(key);
    if (!pod || pod.metadata.deletionTimestamp) return void scheduled.delete(key);
    const now = deps.clock.now();
    const due = evictionTime(pod, nodes.lister.get(pod.spec?.nodeName ?? ""), now);
    if (due === undefined) {
      if (scheduled.delete(key)) recorder.event(pod, "Normal", "TaintManagerEviction", `Cancelling deletion of Pod ${key}`);
      return;
    }
    scheduled.add(key);
    if (due > now) return queue.addAfter(key, due - now);
    recorder.event(pod, "Normal", "TaintManagerEviction", `Marking for deletion Pod ${key}`);
    await evict(pod, now);
    deps.figures.count("taint_eviction_controller_pod_deletions_total");
    deps.figures.observe("taint_eviction_controller_pod_deletion_duration_seconds", Math.max(0, deps.clock.now() - due) / 1000);
    scheduled.delete(key);
  }

  async function evict(pod: Stored<Pod>, now: number): Promise<void> {
    const condition: PodCondition = { type: "DisruptionTarget", status: "True", reason: "DeletionByTaintManager", message: "Taint manager: deleting due to NoExecute taint", lastTransitionTime: timestamp(now) };
    const conditions = [...withoutCondition(pod.status?.conditions, condition.type), condition];
    try {
      await client.update<Pod>(POD, { ...pod, status: { ...pod.status, conditions } }, { subresource: "status" });
      await client.delete(POD, splitName(pod), { preconditions: { uid: pod.metadata.uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  return controllerOf({ name: NAME, queue, informers: deps.informers, workers: 8, reconcile, subject: telling(deps, NAME, pods) });
}

/** When the pod has to go, in milliseconds; undefined when it may stay. */
export function evictionTime(pod: Stored<Pod>, node: Node | undefined, now: number): number | undefined {
  const taints = node ? noExecuteTaints(node) : [];
  if (taints.length === 0) return undefined;
  const ms = toleratedFor(pod, taints);
  if (ms === undefined) return undefined;
  if (ms === 0) return now;
  const added = taints.map(({ timeAdded }) => (timeAdded ? Date.parse(timeAdded) : now));
  // A pod that came later, tolerating the taint, has its full time from then.
  return Math.max(...added, Date.parse(pod.metadata.creationTimestamp)) + ms;
}

function splitName(pod: Stored<Pod>): { name: string; namespace: string | undefined } {
  const { name, namespace } = splitKey(keyOf(pod));
  return { name, namespace };
}
