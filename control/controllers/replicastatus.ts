// What the status of a ReplicaSet or ReplicationController is, given its pods. Pure.
import { matcherOfLabels, type LabelMatcher } from "../../api/selectors.ts";
import type { Pod, ReplicaSet, ReplicaSetStatus, ReplicationController } from "../../api/types.ts";
import { timestamp } from "../../lib/clock.ts";
import { findCondition, withCondition, withoutCondition } from "./conditions.ts";
import { isAvailable, isReady } from "./pods.ts";
import { isSame } from "./template.ts";

export interface ReplicaFacts {
  readonly active: readonly Pod[];
  readonly terminating: readonly Pod[];
  /** What creating or deleting pods ended with, undefined when all went well. */
  readonly failure: unknown;
  readonly now: number;
  readonly countsTerminating: boolean;
}

const REPLICA_FAILURE = "ReplicaFailure";

/** The new status, or undefined when the one there says it already. */
export function replicaStatus(owner: ReplicaSet | ReplicationController, facts: ReplicaFacts): ReplicaSetStatus | undefined {
  const { active, terminating, now } = facts;
  const { minReadySeconds = 0, template } = owner.spec ?? {};
  const labels = matcherOfLabels(template?.metadata?.labels);
  const old: ReplicaSetStatus = owner.status ?? { replicas: 0 };
  const { conditions: _, ...kept } = old;
  const conditions = conditionsOf(owner, facts);
  const status: ReplicaSetStatus = {
    ...kept,
    ...countsOf(active, { labels, minReadySeconds, now }),
    ...(facts.countsTerminating && { terminatingReplicas: terminating.length }),
    observedGeneration: owner.metadata.generation ?? 0,
    ...(conditions.length > 0 && { conditions }),
  };
  return isSame(withZeros(old), withZeros(status)) && old.observedGeneration === status.observedGeneration ? undefined : status;
}

function countsOf(active: readonly Pod[], { labels, minReadySeconds, now }: { labels: LabelMatcher; minReadySeconds: number; now: number }): Pick<ReplicaSetStatus, "replicas" | "fullyLabeledReplicas" | "readyReplicas" | "availableReplicas"> {
  let [fullyLabeledReplicas, readyReplicas, availableReplicas] = [0, 0, 0];
  for (const pod of active) {
    if (labels.matches(pod.metadata.labels)) fullyLabeledReplicas++;
    if (!isReady(pod)) continue;
    readyReplicas++;
    if (minReadySeconds <= 0 || isAvailable(pod, minReadySeconds, now)) availableReplicas++;
  }
  return { replicas: active.length, fullyLabeledReplicas, readyReplicas, availableReplicas };
}

function conditionsOf(owner: ReplicaSet | ReplicationController, { active, failure, now }: ReplicaFacts): NonNullable<ReplicaSetStatus["conditions"]> {
  const { conditions } = owner.status ?? {};
  if (failure === undefined) return withoutCondition(conditions, REPLICA_FAILURE);
  if (findCondition(conditions, REPLICA_FAILURE)) return conditions ?? [];
  const reason = active.length < (owner.spec?.replicas ?? 1) ? "FailedCreate" : "FailedDelete";
  const message = failure instanceof Error ? failure.message : String(failure);
  return withCondition(conditions, { type: REPLICA_FAILURE, status: "True", reason, message, lastTransitionTime: timestamp(now) });
}

/** Servers leave zeros out; that is no difference worth a write. */
function withZeros(status: ReplicaSetStatus): ReplicaSetStatus {
  const { fullyLabeledReplicas = 0, readyReplicas = 0, availableReplicas = 0, observedGeneration = 0 } = status;
  return { ...status, fullyLabeledReplicas, readyReplicas, availableReplicas, observedGeneration };
}
