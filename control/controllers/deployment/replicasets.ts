// A Deployment's ReplicaSets as numbers: which is new, how many there may be, who scales by how much. Pure.
// Rules: k8s.io/kubernetes/pkg/controller/deployment/util/deployment_util.go.
import type { Deployment, IntOrString, ReplicaSet, Stored } from "../../../api/types.ts";
import { isSameTemplate } from "../template.ts";

export const REVISION = "deployment.kubernetes.io/revision";
export const REVISION_HISTORY = "deployment.kubernetes.io/revision-history";
export const DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas";
export const MAX_REPLICAS = "deployment.kubernetes.io/max-replicas";

const MAX_HISTORY_LENGTH = 2000;
const NOT_COPIED = new Set(["kubectl.kubernetes.io/last-applied-configuration", "deprecated.deployment.rollback.to", REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS]);

/** A Deployment's sets: the one that carries its template, if there is one, and all others. */
export interface Sets {
  readonly newSet: Stored<ReplicaSet> | undefined;
  readonly oldSets: readonly Stored<ReplicaSet>[];
}

/** Wanted: this set at that size. */
export interface Scaling {
  readonly set: Stored<ReplicaSet>;
  readonly replicas: number;
}

export const replicasOf = (owner: Deployment | ReplicaSet): number => owner.spec?.replicas ?? 1;
export const sum = (sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number | undefined): number => sets.reduce((total, set) => total + (of(set) ?? 0), 0);
export const isRollingUpdate = (deployment: Deployment): boolean => (deployment.spec?.strategy?.type ?? "RollingUpdate") === "RollingUpdate";
export const allOf = ({ newSet, oldSets }: Sets): Stored<ReplicaSet>[] => (newSet ? [...oldSets, newSet] : [...oldSets]);
export const isInUse = (set: ReplicaSet): boolean => replicasOf(set) > 0;

/** Sorts sets into new and old; of several with the template the oldest is the new one. */
export function divide(deployment: Deployment, sets: readonly Stored<ReplicaSet>[]): Sets {
  const template = deployment.spec?.template;
  const newSet = template && oldestFirst(sets).find((set) => set.spec?.template && isSameTemplate(set.spec.template, template));
  return { newSet, oldSets: sets.filter((set) => set !== newSet) };
}

/** By creation, then by name. */
export function oldestFirst<T extends Stored<ReplicaSet>>(sets: readonly T[]): T[] {
  return sets.toSorted((a, b) => compare(a.metadata.creationTimestamp, b.metadata.creationTimestamp) || compare(a.metadata.name, b.metadata.name));
}

/** By the revision they carry, then as `oldestFirst`. */
export function byRevision(sets: readonly Stored<ReplicaSet>[]): Stored<ReplicaSet>[] {
  return oldestFirst(sets).sort((a, b) => Number(revisionOf(a) - revisionOf(b)));
}

/** A 64-bit number: whoever writes the annotation may use all of it. */
export function revisionOf(set: ReplicaSet): bigint {
  const text = set.metadata.annotations?.[REVISION] ?? "";
  return /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
}

/** The revision the new set must at least have. */
export function nextRevision(oldSets: readonly ReplicaSet[]): bigint {
  return oldSets.map(revisionOf).reduce((highest, revision) => (revision > highest ? revision : highest), 0n) + 1n;
}

/** `25%` of `total`, or the number itself. */
export function scaledValue(value: IntOrString | undefined, total: number, roundUp: boolean): number {
  if (value === undefined) return 0;
  if (typeof value === "number") return value;
  const share = (Number.parseInt(value, 10) * total) / 100;
  return roundUp ? Math.ceil(share) : Math.floor(share);
}

/** How many pods there may be beyond the wanted ones, and how many may be missing; never both zero. */
export function fenceposts(deployment: Deployment): { maxSurge: number; maxUnavailable: number } {
  const desired = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const { maxSurge, maxUnavailable } = deployment.spec?.strategy?.rollingUpdate ?? {};
  const surge = scaledValue(maxSurge as IntOrString | undefined, desired, true);
  const unavailable = scaledValue(maxUnavailable as IntOrString | undefined, desired, false);
  const atLeastOne = surge === 0 && unavailable === 0 ? 1 : unavailable;
  return { maxSurge: surge, maxUnavailable: desired === 0 ? 0 : Math.min(atLeastOne, desired) };
}

/** The size the new set may grow to now, given all sets. */
export function newSetSize(deployment: Deployment, sets: readonly ReplicaSet[], current: number): number {
  const desired = replicasOf(deployment);
  if (!isRollingUpdate(deployment)) return desired;
  const room = desired + fenceposts(deployment).maxSurge - sum(sets, replicasOf);
  return room <= 0 ? current : current + Math.min(room, desired - current);
}

/**
 * One step of taking old sets down in a rolling update: first what is unhealthy anyway,
 * then as much as availability allows. `sizes` of one set add up, last one wins.
 */
export function rollDown(deployment: Deployment, { newSet, oldSets }: Sets): Scaling[] {
  const inUse = oldestFirst(oldSets.filter(isInUse));
  if (inUse.length === 0 || !newSet || ![...inUse, newSet].every(isObserved)) return [];
  const minAvailable = replicasOf(deployment) - fenceposts(deployment).maxUnavailable;
  const newUnavailable = replicasOf(newSet) - (newSet.status?.availableReplicas ?? 0);
  const all = [...oldSets, newSet];
  let unhealthyBudget = sum(all, replicasOf) - minAvailable - newUnavailable;
  if (unhealthyBudget <= 0) return [];
  const sizes = new Map(inUse.map((set) => [set, replicasOf(set)]));
  for (const set of inUse) unhealthyBudget -= shrink(sizes, set, Math.min(unhealthyBudget, replicasOf(set) - (set.status?.availableReplicas ?? 0)));
  let budget = sum([...inUse, newSet], certainlyAvailable) - minAvailable;
  for (const set of inUse) budget -= shrink(sizes, set, Math.min(budget, sizes.get(set) ?? 0));
  return [...sizes].filter(([set, replicas]) => replicas !== replicasOf(set)).map(([set, replicas]) => ({ set, replicas }));
}

/** A set made smaller and larger again since it last told has lost pods that it still counts. */
function isObserved({ metadata, status }: ReplicaSet): boolean {
  return (status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);
}

/** A set made smaller a moment ago still reports pods it is about to delete; counting those would take too many down. */
function certainlyAvailable(set: ReplicaSet): number {
  return Math.min(set.status?.availableReplicas ?? 0, replicasOf(set));
}

/** What a change of `spec.replicas`, or being paused, does to the sets: spread over all in proportion to their size. */
export function rescale(deployment: Deployment, sets: Sets): Scaling[] {
  const desired = replicasOf(deployment);
  const inUse = allOf(sets).filter(isInUse);
  if (inUse.length <= 1) {
    const only = inUse[0] ?? sets.newSet ?? oldestFirst(sets.oldSets).at(-1);
    return only && replicasOf(only) !== desired ? [{ set: only, replicas: desired }] : [];
  }
  if (sets.newSet && isSaturated(deployment, sets.newSet)) return sets.oldSets.filter(isInUse).map((set) => ({ set, replicas: 0 }));
  return isRollingUpdate(deployment) ? proportionally(deployment, inUse) : [];
}

function proportionally(deployment: Deployment, inUse: readonly Stored<ReplicaSet>[]): Scaling[] {
  const desired = replicasOf(deployment);
  const allowed = desired > 0 ? desired + fenceposts(deployment).maxSurge : 0;
  const toAdd = allowed - sum(inUse, replicasOf);
  const ordered = bySize(inUse, toAdd < 0);
  let added = 0;
  const sizes = ordered.map((set) => {
    const share = toAdd === 0 ? 0 : proportionOf(deployment, set, { toAdd, added });
    added += share;
    return replicasOf(set) + share;
  });
  if (toAdd !== 0) sizes[0] = Math.max(0, (sizes[0] ?? 0) + toAdd - added);
  return ordered.map((set, index) => ({ set, replicas: sizes[index] as number }));
}

/** Larger first; among equals the older first when shrinking, the newer first when growing. */
function bySize(sets: readonly Stored<ReplicaSet>[], isOlderFirst: boolean): Stored<ReplicaSet>[] {
  const byAge = isOlderFirst ? oldestFirst(sets) : oldestFirst(sets).toReversed();
  return byAge.toSorted((a, b) => replicasOf(b) - replicasOf(a));
}

function proportionOf(deployment: Deployment, set: ReplicaSet, { toAdd, added }: { toAdd: number; added: number }): number {
  if (toAdd === added) return 0;
  const fraction = fractionOf(deployment, set);
  return toAdd > 0 ? Math.min(fraction, toAdd - added) : Math.max(fraction, toAdd - added);
}

/** By how much this set would change if it kept its share of the whole. */
function fractionOf(deployment: Deployment, set: ReplicaSet): number {
  const size = replicasOf(set);
  const desired = replicasOf(deployment);
  if (desired === 0) return -size;
  const before = Number(set.metadata.annotations?.[MAX_REPLICAS] ?? 0) || (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  return Math.round((size * (desired + fenceposts(deployment).maxSurge)) / before) - size;
}

function isSaturated(deployment: Deployment, set: ReplicaSet): boolean {
  const desired = replicasOf(deployment);
  return replicasOf(set) === desired && Number(set.metadata.annotations?.[DESIRED_REPLICAS]) === desired && set.status?.availableReplicas === desired;
}

/** Whether `spec.replicas` differs from what the sets were last sized for. */
export function isScalingEvent(deployment: Deployment, sets: Sets): boolean {
  return allOf(sets).filter(isInUse).some((set) => {
    const desired = set.metadata.annotations?.[DESIRED_REPLICAS];
    return desired !== undefined && /^\d+$/.test(desired) && Number(desired) !== replicasOf(deployment);
  });
}

/** Old, empty, settled sets beyond the history limit, oldest revision first. */
export function beyondHistory(deployment: Deployment, oldSets: readonly Stored<ReplicaSet>[]): Stored<ReplicaSet>[] {
  const limit = deployment.spec?.revisionHistoryLimit;
  if (limit === undefined || limit >= 2 ** 31 - 1) return [];
  const alive = byRevision(oldSets.filter((set) => !set.metadata.deletionTimestamp));
  return alive.slice(0, Math.max(0, alive.length - limit)).filter((set) =>
    (set.status?.replicas ?? 0) === 0 && replicasOf(set) === 0 && (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? 0));
}

/** The annotations that say what a set was sized for. */
export function sizeAnnotations(deployment: Deployment): Record<string, string> {
  const desired = replicasOf(deployment);
  return { [DESIRED_REPLICAS]: String(desired), [MAX_REPLICAS]: String(desired + fenceposts(deployment).maxSurge) };
}

/** The new set's annotations: the Deployment's own, its revision, and the revisions it had before. */
export function newSetAnnotations(deployment: Deployment, current: Readonly<Record<string, string>>, revision: bigint): Record<string, string> {
  const annotations = { ...current };
  for (const [key, value] of Object.entries(deployment.metadata.annotations ?? {})) if (!NOT_COPIED.has(key)) annotations[key] = value;
  const had = annotations[REVISION];
  if (had !== undefined && !/^\d+$/.test(had)) return annotations;
  if (BigInt(had ?? 0) >= revision) return annotations;
  annotations[REVISION] = String(revision);
  if (had !== undefined) annotations[REVISION_HISTORY] = appendHistory(annotations[REVISION_HISTORY], had);
  return annotations;
}

function appendHistory(history: string | undefined, revision: string): string {
  const revisions = [...(history ? history.split(",") : []), revision];
  while (revisions.join(",").length > MAX_HISTORY_LENGTH) revisions.shift();
  return revisions.join(",");
}

function shrink(sizes: Map<Stored<ReplicaSet>, number>, set: Stored<ReplicaSet>, by: number): number {
  const count = Math.max(0, by);
  sizes.set(set, (sizes.get(set) ?? 0) - count);
  return count;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
