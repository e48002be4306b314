// What controllers ask about pods: alive, ready, available, and which of several to delete first.
// Order of deletion: k8s.io/kubernetes/pkg/controller/controller_utils.go, ActivePodsWithRanks.
import type { ContainerStatus, Pod, PodCondition, Stored } from "../../api/types.ts";

const NO_CONDITIONS: readonly PodCondition[] = [];

/** Neither finished nor being deleted. */
export function isActive(pod: Pod): boolean {
  return pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed" && !pod.metadata.deletionTimestamp;
}

/** Being deleted, but not finished yet. */
export function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined && !isFinished(pod);
}

/** Ran to its end, well or badly. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function podCondition(pod: Pod, type: string): PodCondition | undefined {
  for (const condition of pod.status?.conditions ?? NO_CONDITIONS) if (condition.type === type) return condition;
  return undefined;
}

export function isReady(pod: Pod): boolean {
  return podCondition(pod, "Ready")?.status === "True";
}

/** When the pod became ready, in milliseconds; undefined when it is not. */
export function readySince(pod: Pod): number | undefined {
  const condition = podCondition(pod, "Ready");
  return condition?.status === "True" && condition.lastTransitionTime ? Date.parse(condition.lastTransitionTime) : undefined;
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
  if (!isReady(pod)) return false;
  if (minReadySeconds <= 0) return true;
  const since = readySince(pod);
  return since !== undefined && since + minReadySeconds * 1000 <= now;
}

/** Milliseconds until the next ready pod becomes available; undefined when none will by waiting alone. */
export function nextAvailability(pods: readonly Pod[], minReadySeconds: number, now: number): number | undefined {
  let soonest: number | undefined;
  for (const pod of pods) {
    const since = readySince(pod);
    if (since === undefined || isAvailable(pod, minReadySeconds, now)) continue;
    const wait = since + minReadySeconds * 1000 - now;
    soonest = Math.min(soonest ?? Infinity, wait);
  }
  return soonest;
}

/** The `count` pods whose loss hurts least; `related` are the pods that crowd their nodes. */
export function leastUseful(pods: readonly Stored<Pod>[], related: readonly Pod[], count: number, now: number): Stored<Pod>[] {
  if (count >= pods.length) return [...pods];
  const onNode = new Map<string, number>();
  for (const pod of related) if (isActive(pod)) onNode.set(pod.spec?.nodeName ?? "", (onNode.get(pod.spec?.nodeName ?? "") ?? 0) + 1);
  const ranked = pods.map((pod) => ({ pod, order: usefulness(pod, onNode.get(pod.spec?.nodeName ?? "") ?? 0, now) }));
  ranked.sort((a, b) => compare(a.order, b.order) || (a.pod.metadata.uid < b.pod.metadata.uid ? -1 : 1));
  return ranked.slice(0, count).map(({ pod }) => pod);
}

const PHASE_ORDER: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

/** The criteria in order, each so that the smaller goes first. */
function usefulness(pod: Stored<Pod>, neighbours: number, now: number): readonly number[] {
  const ready = isReady(pod);
  return [
    pod.spec?.nodeName ? 1 : 0,
    PHASE_ORDER[pod.status?.phase ?? ""] ?? 0,
    ready ? 1 : 0,
    deletionCost(pod),
    -neighbours,
    ready ? ageRank(readySince(pod), now) : 0,
    -maxRestarts(pod.status?.containerStatuses),
    -maxRestarts(sidecarStatuses(pod)),
    ageRank(Date.parse(pod.metadata.creationTimestamp), now),
  ];
}

/** Ages on a logarithmic scale of nanoseconds, so that pods of about one age are chosen among at random. */
function ageRank(since: number | undefined, now: number): number {
  if (since === undefined || Number.isNaN(since)) return -2;
  const age = (now - since) * 1e6;
  return age > 0 ? Math.trunc(Math.log2(age)) : -1;
}

function deletionCost(pod: Pod): number {
  const text = pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"];
  return text !== undefined && /^(0|-?[1-9][0-9]*)$/.test(text) ? Number(text) : 0;
}

function sidecarStatuses(pod: Pod): ContainerStatus[] {
  const names = new Set(pod.spec?.initContainers?.filter((container) => container.restartPolicy === "Always").map((container) => container.name));
  return pod.status?.initContainerStatuses?.filter((status) => names.has(status.name)) ?? [];
}

function maxRestarts(statuses: readonly ContainerStatus[] | undefined): number {
  return Math.max(0, ...(statuses ?? []).map((status) => status.restartCount));
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let at = 0; at < a.length; at++) {
    const difference = (a[at] as number) - (b[at] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
