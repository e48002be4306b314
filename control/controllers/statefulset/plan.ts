// What a StatefulSet does next, given its pods: one step at a time in order, or everything at once. Pure.
// Rules: k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_control.go.
import type { IntOrString, Pod, PodTemplateSpec, StatefulSet, StatefulSetStatus, Stored } from "../../../api/types.ts";
import { scaledValue } from "../deployment/replicasets.ts";
import { isAvailable, isFinished, isReady } from "../pods.ts";
import { isInRange, newPod, ordinalOf, revisionOf, sizeOf, startOf, withIdentity } from "./identity.ts";

export type Step =
  | { readonly type: "create"; readonly pod: Pod; readonly ordinal: number }
  | { readonly type: "delete"; readonly pod: Stored<Pod> }
  /** Labels, volumes or the claims' owners of this pod are not what they should be. */
  | { readonly type: "repair"; readonly pod: Stored<Pod> }
  /** The pod may be waiting for claims that were deleted under it. */
  | { readonly type: "claims"; readonly pod: Stored<Pod> };

export interface Situation {
  readonly set: Stored<StatefulSet>;
  readonly pods: readonly Stored<Pod>[];
  readonly current: { readonly revision: string; readonly template: PodTemplateSpec };
  readonly update: { readonly revision: string; readonly template: PodTemplateSpec };
  readonly now: number;
  /** Whether the claims of a pod are owned as the retention policy says. */
  claimsAreRight(pod: Stored<Pod>): boolean;
  /** Whether a claim for this ordinal is still to be collected. */
  hasStaleClaim(ordinal: number): boolean;
}

/** The steps to take now; safe to compute again after any of them. */
export function planSteps(situation: Situation): Step[] {
  const { set, pods } = situation;
  if (set.metadata.deletionTimestamp) return [];
  const steps: Step[] = [];
  const isOrdered = set.spec?.podManagementPolicy !== "Parallel";
  const replicas = pods.filter((pod) => isInRange(set, pod));
  const condemned = pods.filter((pod) => !isInRange(set, pod) && ordinalOf(set, pod) >= 0).sort((a, b) => ordinalOf(set, b) - ordinalOf(set, a));
  const byOrdinal = new Map(replicas.map((pod) => [ordinalOf(set, pod), pod]));
  for (let ordinal = startOf(set); ordinal < startOf(set) + sizeOf(set); ordinal++) {
    if (planReplica(situation, { ordinal, pod: byOrdinal.get(ordinal), isOrdered, steps }) && isOrdered) return steps;
  }
  for (const pod of condemned) if (!situation.claimsAreRight(pod)) steps.push({ type: "repair", pod });
  const firstUnhealthy = [...replicas].sort((a, b) => ordinalOf(set, a) - ordinalOf(set, b)).concat(condemned.toReversed()).find((pod) => isUnavailable(situation, pod));
  for (const pod of condemned) {
    if (planCondemned(situation, { pod, isOrdered, firstUnhealthy, steps }) && isOrdered) return steps;
  }
  if (set.spec?.updateStrategy?.type !== "OnDelete") steps.push(...planUpdate(situation, byOrdinal));
  return steps;
}

/** True: the next ordinal has to wait. */
function planReplica(situation: Situation, one: { ordinal: number; pod: Stored<Pod> | undefined; isOrdered: boolean; steps: Step[] }): boolean {
  const { ordinal, pod, isOrdered, steps } = one;
  const { set, now } = situation;
  if (!pod) {
    if (!situation.hasStaleClaim(ordinal)) steps.push({ type: "create", pod: newPod(set, ordinal, revisionFor(situation, ordinal)), ordinal });
    return true;
  }
  if (isFinished(pod)) {
    if (!pod.metadata.deletionTimestamp) steps.push({ type: "delete", pod });
    return true;
  }
  if (pod.status?.phase === "Pending") steps.push({ type: "claims", pod });
  const isUp = pod.status?.phase === "Running" && isAvailable(pod, set.spec?.minReadySeconds ?? 0, now);
  if (isOrdered && (pod.metadata.deletionTimestamp || !isUp)) return true;
  if (withIdentity(set, pod) !== pod || !situation.claimsAreRight(pod)) steps.push({ type: "repair", pod });
  return false;
}

/** True: the next condemned pod has to wait. */
function planCondemned(situation: Situation, one: { pod: Stored<Pod>; isOrdered: boolean; firstUnhealthy: Pod | undefined; steps: Step[] }): boolean {
  const { pod, isOrdered, firstUnhealthy, steps } = one;
  if (pod.metadata.deletionTimestamp) return true;
  const isUp = pod.status?.phase === "Running" && !isUnavailable(situation, pod);
  // One that was never placed keeps nobody's place: two of that kind would wait for each other for ever.
  if (isOrdered && !isUp && pod !== firstUnhealthy && pod.spec?.nodeName) return true;
  steps.push({ type: "delete", pod });
  return true;
}

/** Pods of older revisions to delete, highest ordinal first: the next one, or as many as may be unavailable. */
function planUpdate(situation: Situation, byOrdinal: ReadonlyMap<number, Stored<Pod>>): Step[] {
  const { set, update } = situation;
  const { partition = 0, maxUnavailable } = set.spec?.updateStrategy?.rollingUpdate ?? {};
  const unavailable = sizeOf(set) - [...byOrdinal.values()].filter((pod) => !isUnavailable(situation, pod)).length;
  let budget = maxUnavailable === undefined ? 1 : Math.max(1, scaledValue(maxUnavailable as IntOrString, sizeOf(set), false)) - unavailable;
  const steps: Step[] = [];
  for (let index = sizeOf(set) - 1; index >= partition && budget > 0; index--) {
    const pod = byOrdinal.get(startOf(set) + index);
    const isOutdated = pod && !pod.metadata.deletionTimestamp && revisionOf(pod) !== update.revision;
    if (isOutdated) {
      steps.push({ type: "delete", pod });
      budget--;
    } else if (maxUnavailable === undefined && (!pod || isUnavailable(situation, pod))) return steps;
  }
  return steps;
}

/** The status, given the pods as they are and the pods of the current revision about to be deleted. */
export function statusOf(situation: Situation, deleted: readonly Pod[], collisionCount: number): StatefulSetStatus {
  const { set, pods, current, update, now } = situation;
  const created = pods.filter((pod) => pod.status?.phase);
  const ready = pods.filter((pod) => pod.status?.phase === "Running" && isReady(pod));
  const living = created.filter((pod) => !pod.metadata.deletionTimestamp);
  const status: StatefulSetStatus = {
    observedGeneration: set.metadata.generation,
    replicas: created.length,
    readyReplicas: ready.length,
    availableReplicas: ready.filter((pod) => isAvailable(pod, set.spec?.minReadySeconds ?? 0, now)).length,
    currentReplicas: living.filter((pod) => revisionOf(pod) === current.revision).length - deleted.filter((pod) => revisionOf(pod) === current.revision).length,
    updatedReplicas: living.filter((pod) => revisionOf(pod) === update.revision).length,
    currentRevision: current.revision, updateRevision: update.revision, collisionCount,
    ...(set.status?.conditions && { conditions: set.status.conditions }),
  };
  const isComplete = set.spec?.updateStrategy?.type !== "OnDelete" && [status.updatedReplicas, status.readyReplicas, status.replicas].every((count) => count === sizeOf(set));
  return isComplete ? { ...status, currentReplicas: status.updatedReplicas, currentRevision: update.revision } : status;
}

/** Ordinals the update has not reached yet come back in the current revision. */
function revisionFor({ set, current, update }: Situation, ordinal: number): { revision: string; template: PodTemplateSpec } {
  if (set.spec?.updateStrategy?.type === "OnDelete") return update;
  const { rollingUpdate } = set.spec?.updateStrategy ?? {};
  const boundary = rollingUpdate ? (rollingUpdate.partition ?? 0) : (set.status?.currentReplicas ?? 0);
  return ordinal < startOf(set) + boundary ? current : update;
}

function isUnavailable({ set, now }: Situation, pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined || !isAvailable(pod, set.spec?.minReadySeconds ?? 0, now);
}

