// A pod in the scheduling queue with its history there, which comes before which, and how long one rests. Pure.
import type { ClusterEvent, Status } from "./framework.ts";
import type { PodInfo } from "./podinfo.ts";

/** A pod in the queue and its history there. */
export interface QueuedPod {
  info: PodInfo;
  /** When it came to the place in the queue it has, and its turn among those of the same instant. */
  since: number;
  turn: number;
  /** When it first came. */
  readonly firstSeen: number;
  attempts: number;
  unschedulableCount: number;
  errorCount: number;
  readyAt: number;
  /** Names of plugins that turned it away last time. */
  rejectedBy: ReadonlySet<string>;
  /** The status of the plugin that keeps it out of the queue. */
  gate: Status | undefined;
}

/** One that has just come. */
export function newcomer(info: PodInfo, now: number): QueuedPod {
  return { info, since: 0, turn: 0, firstSeen: now, attempts: 0, unschedulableCount: 0, errorCount: 0, readyAt: 0, rejectedBy: new Set(), gate: undefined };
}

/** By priority, then by age. */
export function comesFirst(a: QueuedPod, b: QueuedPod): boolean {
  if (a.info.priority !== b.info.priority) return a.info.priority > b.info.priority;
  return a.since < b.since || (a.since === b.since && a.turn < b.turn);
}

/** How long a pod rests after it failed, in milliseconds: twice as long each time. */
export function restMs({ errorCount, unschedulableCount }: QueuedPod, { initialBackoffMs, maxBackoffMs }: { initialBackoffMs: number; maxBackoffMs: number }): number {
  const failures = errorCount > 0 ? errorCount : unschedulableCount;
  return Math.min(maxBackoffMs, initialBackoffMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
}

/** Where pods come to, as upstream's `scheduler_queue_incoming_pods_total` names it. */
export type QueueName = "active" | "backoff" | "unschedulable";

/** Why a pod came to a queue, where it was no event. */
export const CAUSES = {
  failed: "ScheduleAttemptFailure", rested: "BackoffComplete", early: "PopFromBackoffQ", asked: "ForceActivate", forgotten: "UnschedulableTimeout",
  added: "UnschedulablePodAdd", updated: "UnschedulablePodUpdate",
} as const;

const RESOURCES: Readonly<Record<string, string>> = {
  persistentvolumeclaims: "PersistentVolumeClaim", persistentvolumes: "PersistentVolume", storageclasses: "StorageClass", csinodes: "CSINode",
  csidrivers: "CSIDriver", csistoragecapacities: "CSIStorageCapacity", volumeattachments: "VolumeAttachment", deviceclasses: "DeviceClass", resourceslices: "ResourceSlice",
};

/** An event as upstream labels it, as far as it is told apart here. */
export function eventLabel(event: ClusterEvent): string {
  if (event.type === "ObjectChange" || event.type === "DeviceChange") return `${RESOURCES[event.resource] ?? event.resource}Update`;
  if (event.type === "ResourceClaimChange") return event.old ? "ResourceClaimUpdate" : "ResourceClaimAdd";
  return event.type === "PodUpdate" ? CAUSES.updated : event.type;
}
