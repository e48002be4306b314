// What a Deployment's status is, given its ReplicaSets: counts, availability, and whether it still progresses. Pure.
// Reasons and messages: k8s.io/kubernetes/pkg/controller/deployment/{sync,progress}.go.
import type { Deployment, DeploymentStatus, ReplicaSet } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";
import { findCondition, withCondition, withoutCondition } from "../conditions.ts";
import { allOf, fenceposts, replicasOf, sum, type Sets } from "./replicasets.ts";

export type DeploymentCondition = NonNullable<DeploymentStatus["conditions"]>[number];

const NEVER = 2 ** 31 - 1;

/** A condition that begins now. */
export function newCondition(now: number, condition: { type: string; status: string; reason: string; message: string }): DeploymentCondition {
  const time = timestamp(now);
  return { ...condition, lastUpdateTime: time, lastTransitionTime: time };
}

export function hasProgressDeadline(deployment: Deployment): boolean {
  const { progressDeadlineSeconds } = deployment.spec ?? {};
  return progressDeadlineSeconds !== undefined && progressDeadlineSeconds !== NEVER;
}

/** Every pod is of the new template and available. */
export function isComplete(deployment: Deployment, status: DeploymentStatus | undefined): boolean {
  const desired = replicasOf(deployment);
  return (status?.updatedReplicas ?? 0) === desired && (status?.replicas ?? 0) === desired && (status?.availableReplicas ?? 0) === desired
    && (status?.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0);
}

/** Counts and the Available condition; other conditions as they were. */
export function countsOf(deployment: Deployment, sets: Sets, now: number): DeploymentStatus {
  const all = allOf(sets);
  const available = sum(all, (set) => set.status?.availableReplicas);
  const { collisionCount, conditions } = deployment.status ?? {};
  const isAvailable = available >= replicasOf(deployment) - fenceposts(deployment).maxUnavailable;
  const terminating = terminatingReplicas(all);
  return {
    observedGeneration: deployment.metadata.generation,
    replicas: sum(all, (set) => set.status?.replicas),
    updatedReplicas: sets.newSet?.status?.replicas ?? 0,
    readyReplicas: sum(all, (set) => set.status?.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(all, replicasOf) - available),
    ...(terminating !== undefined && { terminatingReplicas: terminating }),
    ...(collisionCount !== undefined && { collisionCount }),
    conditions: withCondition(conditions, newCondition(now, isAvailable
      ? { type: "Available", status: "True", reason: "MinimumReplicasAvailable", message: "Deployment has minimum availability." }
      : { type: "Available", status: "False", reason: "MinimumReplicasUnavailable", message: "Deployment does not have minimum availability." })),
  };
}

/** The status during a rollout: counts, progress, and failures of the sets. */
export function rolloutStatus(deployment: Deployment, sets: Sets, now: number): DeploymentStatus {
  const counts = countsOf(deployment, sets, now);
  const conditions = withFailures(withProgress(deployment, { ...sets, counts, now }), allOf(sets), sets.newSet);
  return { ...counts, conditions };
}

/** Milliseconds until lack of progress must be looked at; undefined when there is nothing to wait for. */
export function progressCheckIn(deployment: Deployment, status: DeploymentStatus, now: number): number | undefined {
  const current = findCondition(deployment.status?.conditions, "Progressing");
  if (!hasProgressDeadline(deployment) || !current?.lastUpdateTime) return undefined;
  if (isComplete(deployment, status) || current.reason === "ProgressDeadlineExceeded") return undefined;
  return Math.max(0, deadlineOf(deployment, current) - now);
}

/** Absent when a set is counted by a server too old to say. */
function terminatingReplicas(sets: readonly ReplicaSet[]): number | undefined {
  let total = 0;
  for (const { status } of sets) {
    if (status?.terminatingReplicas === undefined && (status?.observedGeneration ?? 0) > 0) return undefined;
    total += status?.terminatingReplicas ?? 0;
  }
  return total;
}

function withProgress(deployment: Deployment, { newSet, counts, now }: Sets & { counts: DeploymentStatus; now: number }): DeploymentCondition[] {
  const conditions = counts.conditions ?? [];
  if (!hasProgressDeadline(deployment)) return withoutCondition(conditions, "Progressing");
  const current = findCondition(deployment.status?.conditions, "Progressing");
  const isSettled = counts.replicas === counts.updatedReplicas && current?.reason === "NewReplicaSetAvailable";
  if (isSettled) return conditions;
  const subject = newSet ? `ReplicaSet "${newSet.metadata.name}"` : `Deployment "${deployment.metadata.name}"`;
  const progressing = (status: string, reason: string, message: string): DeploymentCondition => newCondition(now, { type: "Progressing", status, reason, message: `${subject} ${message}` });
  if (isComplete(deployment, counts)) return withCondition(conditions, progressing("True", "NewReplicaSetAvailable", "has successfully progressed."));
  if (hasProgressed(deployment, counts)) {
    const condition = progressing("True", "ReplicaSetUpdated", "is progressing.");
    const kept = current?.status === "True" ? { ...condition, lastTransitionTime: current.lastTransitionTime } : condition;
    // The update time must move with every progress, even when status and reason stay.
    return [...withoutCondition(conditions, "Progressing"), kept];
  }
  if (hasTimedOut(deployment, conditions, now)) return withCondition(conditions, progressing("False", "ProgressDeadlineExceeded", "has timed out progressing."));
  return conditions;
}

function hasProgressed(deployment: Deployment, status: DeploymentStatus): boolean {
  const old = deployment.status ?? {};
  return (status.updatedReplicas ?? 0) > (old.updatedReplicas ?? 0) || oldReplicas(status) < oldReplicas(old)
    || (status.readyReplicas ?? 0) > (old.readyReplicas ?? 0) || (status.availableReplicas ?? 0) > (old.availableReplicas ?? 0);
}

function oldReplicas({ replicas = 0, updatedReplicas = 0 }: DeploymentStatus): number {
  return replicas - updatedReplicas;
}

function hasTimedOut(deployment: Deployment, conditions: readonly DeploymentCondition[], now: number): boolean {
  const condition = findCondition(conditions, "Progressing");
  if (!condition || condition.reason === "NewReplicaSetAvailable") return false;
  if (condition.reason === "ProgressDeadlineExceeded") return true;
  return deadlineOf(deployment, condition) < now;
}

function deadlineOf(deployment: Deployment, condition: DeploymentCondition): number {
  return Date.parse(condition.lastUpdateTime ?? condition.lastTransitionTime ?? "") + (deployment.spec?.progressDeadlineSeconds ?? 0) * 1000;
}

/** A set that cannot make its pods makes the Deployment say so; the new set's word counts first. */
function withFailures(conditions: readonly DeploymentCondition[], all: readonly ReplicaSet[], newSet: ReplicaSet | undefined): DeploymentCondition[] {
  const candidates = newSet ? [newSet, ...all] : all;
  const failure = candidates.map((set) => findCondition(set.status?.conditions, "ReplicaFailure")).find((condition) => condition !== undefined);
  if (!failure) return withoutCondition(conditions, "ReplicaFailure");
  return withCondition(conditions, { ...failure, lastUpdateTime: failure.lastTransitionTime });
}
