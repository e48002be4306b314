// Which daemon pods to make and which to delete: one a node, and node by node from one template to the next. Pure.
// Rules: k8s.io/kubernetes/pkg/controller/daemon/{daemon_controller,update}.go.
import type { DaemonSet, DaemonSetStatus, IntOrString, Node, Pod, Stored } from "../../../api/types.ts";
import { scaledValue } from "../deployment/replicasets.ts";
import { isAvailable, isReady } from "../pods.ts";
import { isUpdated, targetNode, verdictOn, type Verdict } from "./nodes.ts";

export interface Situation {
  readonly set: Stored<DaemonSet>;
  readonly nodes: readonly Node[];
  readonly pods: readonly Stored<Pod>[];
  readonly hash: string;
  readonly now: number;
}

export interface DaemonPlan {
  /** Names of nodes that need a pod. */
  readonly create: readonly string[];
  readonly delete: readonly Stored<Pod>[];
  /** Pods that ended and have to be replaced, by how; the failed ones only as fast as their back-off allows. */
  readonly ended: readonly Stored<Pod>[];
}

/** A situation sorted by node. */
export interface ByNode extends Situation {
  readonly podsOn: ReadonlyMap<string, readonly Stored<Pod>[]>;
  readonly verdicts: ReadonlyMap<string, Verdict>;
}

export function byNode(situation: Situation): ByNode {
  const { set, nodes, pods } = situation;
  const living = pods.filter((pod) => !(pod.metadata.deletionTimestamp && (pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded")));
  return {
    ...situation,
    podsOn: Map.groupBy(living, (pod) => targetNode(pod) ?? ""),
    verdicts: new Map(nodes.map((node) => [node.metadata.name ?? "", verdictOn(set, node)])),
  };
}

/** Brings every node to one pod, or none. */
export function planPods(situation: ByNode): DaemonPlan {
  const create: string[] = [];
  const toDelete: Stored<Pod>[] = [];
  const ended: Stored<Pod>[] = [];
  for (const [name, { runs, stays }] of situation.verdicts) {
    const pods = situation.podsOn.get(name) ?? [];
    if (runs && pods.length === 0) create.push(name);
    else if (!stays) toDelete.push(...pods.filter((pod) => !pod.metadata.deletionTimestamp));
    else {
      const alive = pods.filter((pod) => !pod.metadata.deletionTimestamp);
      ended.push(...alive.filter((pod) => pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded"));
      const running = alive.filter((pod) => pod.status?.phase !== "Failed" && pod.status?.phase !== "Succeeded").sort(bestFirst);
      if (!allowsSurge(situation.set)) toDelete.push(...running.slice(1));
      else if (running.length === 0 && runs && ended.every((pod) => targetNode(pod) !== name)) create.push(name);
      else toDelete.push(...surplus(situation, running));
    }
  }
  for (const [name, pods] of situation.podsOn) if (!situation.verdicts.has(name)) toDelete.push(...pods.filter((pod) => !pod.spec?.nodeName && !pod.metadata.deletionTimestamp));
  return { create, delete: toDelete, ended };
}

/** The next pods to replace in a rolling update. */
export function planRollout(situation: ByNode): DaemonPlan {
  const { maxSurge, maxUnavailable } = limits(situation);
  return maxSurge === 0 ? planInPlace(situation, maxUnavailable) : planSurge(situation, maxSurge);
}

/** The status, given the pods; `observedGeneration` is the caller's to vouch for. */
export function statusOf(situation: ByNode): Omit<DaemonSetStatus, "observedGeneration"> {
  const { set, podsOn, verdicts, hash, now } = situation;
  const counts = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0, updatedNumberScheduled: 0, numberAvailable: 0 };
  for (const [name, { runs }] of verdicts) {
    const pod = [...(podsOn.get(name) ?? [])].sort(bestFirst)[0];
    if (!runs) {
      if (pod) counts.numberMisscheduled++;
      continue;
    }
    counts.desiredNumberScheduled++;
    if (!pod) continue;
    counts.currentNumberScheduled++;
    if (isReady(pod)) counts.numberReady++;
    if (isAvailable(pod, set.spec?.minReadySeconds ?? 0, now)) counts.numberAvailable++;
    if (isUpdated(set, pod, hash)) counts.updatedNumberScheduled++;
  }
  const { conditions } = set.status ?? {};
  return { ...counts, numberUnavailable: counts.desiredNumberScheduled - counts.numberAvailable, ...(conditions && { conditions }) };
}

/** Old pods go first, new ones take their place. */
function planInPlace(situation: ByNode, maxUnavailable: number): DaemonPlan {
  let unavailable = 0;
  const broken: Stored<Pod>[] = [];
  const candidates: Stored<Pod>[] = [];
  for (const name of consideredNodes(situation)) {
    const pair = pairOn(situation, name);
    if (!pair || (pair.oldPod === undefined) === (pair.newPod === undefined)) unavailable++;
    else if (pair.newPod) unavailable += isUp(situation, pair.newPod) ? 0 : 1;
    else if (pair.oldPod && !isUp(situation, pair.oldPod)) {
      broken.push(pair.oldPod);
      unavailable++;
    } else if (pair.oldPod && unavailable < maxUnavailable) candidates.push(pair.oldPod);
  }
  return { create: [], delete: [...broken, ...candidates.slice(0, Math.max(0, maxUnavailable - unavailable))], ended: [] };
}

/** New pods come first, beside the old ones. */
function planSurge(situation: ByNode, maxSurge: number): DaemonPlan {
  let surge = 0;
  const toDelete: Stored<Pod>[] = [];
  const atOnce: string[] = [];
  const candidates: string[] = [];
  for (const name of consideredNodes(situation)) {
    const pair = pairOn(situation, name);
    if (!pair) surge++;
    else if (!pair.oldPod) continue;
    else if (pair.newPod) {
      if (isUp(situation, pair.newPod)) toDelete.push(pair.oldPod);
      else surge++;
    } else if (!isUp(situation, pair.oldPod)) {
      if (situation.verdicts.get(name)?.runs) atOnce.push(name);
      else toDelete.push(pair.oldPod);
    } else if (situation.verdicts.get(name)?.runs && surge < maxSurge) candidates.push(name);
  }
  return { create: [...atOnce, ...candidates.slice(0, Math.max(0, maxSurge - surge))], delete: toDelete, ended: [] };
}

/** More than one pod of an age is too many; the old one goes when it is not ready or the new one is available. */
function surplus(situation: ByNode, running: readonly Stored<Pod>[]): Stored<Pod>[] {
  const updated = running.filter((pod) => isUpdated(situation.set, pod, situation.hash));
  const outdated = running.filter((pod) => !isUpdated(situation.set, pod, situation.hash));
  const [newPod, oldPod] = [updated[0], outdated[0]];
  const isReplaced = newPod && oldPod && (!isReady(oldPod) || isUp(situation, newPod));
  return [...updated.slice(1), ...outdated.slice(1), ...(isReplaced ? [oldPod] : [])];
}

function consideredNodes({ podsOn, verdicts }: ByNode): Set<string> {
  return new Set([...podsOn.keys(), ...[...verdicts].filter(([, { runs }]) => runs).map(([name]) => name)]);
}

/** The one pod of each age on a node; undefined when there are several of one. */
function pairOn({ set, podsOn, hash }: ByNode, name: string): { newPod: Stored<Pod> | undefined; oldPod: Stored<Pod> | undefined } | undefined {
  const alive = (podsOn.get(name) ?? []).filter((pod) => !pod.metadata.deletionTimestamp);
  const updated = alive.filter((pod) => isUpdated(set, pod, hash));
  if (updated.length > 1 || alive.length - updated.length > 1) return undefined;
  return { newPod: updated[0], oldPod: alive.find((pod) => !updated.includes(pod)) };
}

function limits({ set, verdicts }: ByNode): { maxSurge: number; maxUnavailable: number } {
  const desired = [...verdicts.values()].filter(({ runs }) => runs).length;
  const { maxSurge, maxUnavailable } = set.spec?.updateStrategy?.rollingUpdate ?? {};
  const surge = scaledValue(maxSurge as IntOrString | undefined, desired, true);
  const unavailable = scaledValue((maxUnavailable as IntOrString | undefined) ?? 1, desired, true);
  return { maxSurge: surge, maxUnavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}

function allowsSurge(set: DaemonSet): boolean {
  return set.spec?.updateStrategy?.type === "RollingUpdate" && scaledValue(set.spec.updateStrategy.rollingUpdate?.maxSurge as IntOrString | undefined, 1, true) > 0;
}

function isUp({ set, now }: ByNode, pod: Pod): boolean {
  return isAvailable(pod, set.spec?.minReadySeconds ?? 0, now);
}

/** Bound before unbound, ready before not, then the older: of two by mistake on one node the one that serves stays. */
function bestFirst(a: Stored<Pod>, b: Stored<Pod>): number {
  const bound = (b.spec?.nodeName ? 1 : 0) - (a.spec?.nodeName ? 1 : 0);
  return bound || Number(isReady(b)) - Number(isReady(a)) || a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) || a.metadata.name.localeCompare(b.metadata.name);
}
