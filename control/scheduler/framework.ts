// What a scheduling plugin is, and the words decisions are made in: statuses, events, states.
// Plugins are pure: they read the pod and the cluster, and answer; nothing here does I/O.
import type { ResourceClaim, Stored } from "../../api/types.ts";
import type { Cluster } from "./cluster.ts";
import type { NodeState } from "./nodestate.ts";
import type { PodInfo } from "./podinfo.ts";

export const MAX_NODE_SCORE = 100;

/** Why a pod cannot go somewhere. */
export interface Status {
  /** `UnschedulableAndUnresolvable`: taking other pods away would not help either. */
  readonly code: "Unschedulable" | "UnschedulableAndUnresolvable" | "Error";
  /** Upstream's words; one status may have several. */
  readonly reasons: readonly string[];
  readonly plugin: string;
}

/** A plugin cannot decide about a pod: not the cluster's fault, so the pod rests and is tried again. */
export class PluginError extends Error {
  override readonly name = "PluginError";

  constructor(message: string, readonly plugin: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** A change in the cluster that may let a pod in that was turned away before. */
export type ClusterEvent =
  | { readonly type: "NodeAdd"; readonly node: NodeState }
  | { readonly type: "NodeUpdate"; readonly node: NodeState; readonly old: NodeSummary }
  | { readonly type: "NodeDelete" }
  | { readonly type: "AssignedPodAdd"; readonly pod: PodInfo }
  | { readonly type: "AssignedPodUpdate"; readonly pod: PodInfo; readonly old: PodInfo }
  | { readonly type: "AssignedPodDelete"; readonly pod: PodInfo; readonly node: NodeState }
  /** The waiting pod itself changed. */
  | { readonly type: "PodUpdate"; readonly pod: PodInfo; readonly old: PodInfo }
  | { readonly type: "NamespaceUpdate" }
  /** Objects a plugin reads that are neither pods nor nodes: volumes, claims, classes. */
  | { readonly type: "ObjectChange"; readonly resource: string }
  /** A claim for devices came (`old` undefined), changed, or went (its status is empty then). */
  | { readonly type: "ResourceClaimChange"; readonly claim: Stored<ResourceClaim>; readonly old?: Stored<ResourceClaim> }
  /** There are other devices, or other classes of them. */
  | { readonly type: "DeviceChange"; readonly resource: "deviceclasses" | "resourceslices" };

/** What of a node a hint compares with. */
export type NodeSummary = Pick<NodeState, "name" | "labels" | "isUnschedulable" | "hardTaints" | "allocatable" | "allowedPods" | "declaredFeatures">;

/** A filter that was prepared for one pod by looking across the cluster. */
export interface PreparedFilter {
  filter(node: NodeState): Status | undefined;
  /** Takes into account that `pod` were (1) or were not (-1) on `node` any more: for what-ifs. */
  change?(pod: PodInfo, node: NodeState, by: 1 | -1): void;
  /** Takes what the pod needs beyond the node itself; undefined when there is nothing to take. */
  reserve?(node: NodeState): Reservation | undefined;
  /** What can be done when no node will do. */
  lastResort?(): LastResort;
}

/** What a plugin does about a pod that fits nowhere, and says of it. */
export interface LastResort {
  readonly message: string;
  act?(): Promise<void>;
}

/** Something taken for a pod that is about to be bound. */
export interface Reservation {
  /** Whose it is. */
  readonly plugin: string;
  /** Gives it back when the pod is not bound after all. */
  undo(): void;
  /** What must be done before the pod is bound; throws when it cannot be. */
  beforeBinding(): Promise<void>;
}

/** What preparing may say instead: no node at all, or only these nodes. */
export type Preparation = { readonly reject: Status } | { readonly nodeNames: ReadonlySet<string> } | PreparedFilter | undefined;

/** Scores prepared for one pod and the nodes it fits. */
export interface PreparedScore {
  score(node: NodeState): number;
  /** Brings raw scores to 0..100, in place; left out when they already are. */
  normalize?(scores: number[]): void;
}

/** One plugin, under upstream's name. */
export interface Plugin {
  readonly name: string;
  /** Keeps a pod out of the queue altogether. */
  preEnqueue?(pod: PodInfo): Status | undefined;
  /**
   * Looks at the pod's shape and one node, nothing else: the answer is remembered for all pods
   * of the shape until the node changes.
   */
  filterNode?(pod: PodInfo, node: NodeState): Status | undefined;
  /** Prepares a filter that looks further than one node; undefined when there is nothing to check. */
  prepareFilter?(pod: PodInfo, cluster: Cluster): Preparation;
  /** Scores one node for the pod's shape, remembered as `filterNode` is. Undefined from `scoresShape` skips it. */
  readonly nodeScore?: NodeScore;
  prepareScore?(pod: PodInfo, cluster: Cluster, nodes: readonly NodeState[]): PreparedScore | undefined;
  /** Whether an event may let in a pod this plugin turned away; left out: no event does. */
  readonly hint?: Hint;
}

/** Which events are worth a look, and whether one may help a pod. */
export interface Hint {
  readonly on: readonly ClusterEvent["type"][];
  helps(event: ClusterEvent, pod: PodInfo, cluster: Cluster): boolean;
}

/** A score that depends on the pod's shape and one node alone. */
export interface NodeScore {
  /** False when every node would get the same. */
  applies(pod: PodInfo, cluster: Cluster): boolean;
  score(pod: PodInfo, node: NodeState, cluster: Cluster): number;
  /** Raw scores are brought to 0..100: the highest becomes 100, or 0 when `reverse`. */
  readonly normalize?: "highest" | "reverse";
}

/** A plugin as a profile uses it. */
export interface EnabledPlugin {
  readonly plugin: Plugin;
  /** 0: does not score. */
  readonly weight: number;
  readonly filters: boolean;
}

export const unschedulable = (plugin: string, ...reasons: string[]): Status => ({ code: "Unschedulable", reasons, plugin });
export const unresolvable = (plugin: string, ...reasons: string[]): Status => ({ code: "UnschedulableAndUnresolvable", reasons, plugin });

/** Scales so that the highest becomes 100; `reverse` turns the order round. As upstream's DefaultNormalizeScore. */
export function normalizeByHighest(scores: number[], reverse: boolean): void {
  let highest = 0;
  for (const score of scores) if (score > highest) highest = score;
  for (let i = 0; i < scores.length; i++) {
    const scaled = highest === 0 ? 0 : Math.trunc((MAX_NODE_SCORE * (scores[i] as number)) / highest);
    scores[i] = reverse ? MAX_NODE_SCORE - scaled : scaled;
  }
}
