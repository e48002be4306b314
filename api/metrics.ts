// The objects of metrics.k8s.io/v1beta1, which are computed when asked for and never stored, and who computes them.
import { row, type KindInfo } from "./kinds.ts";
import type { LabelMatcher } from "./selectors.ts";
import type { ObjectMeta } from "./types.ts";

export const METRICS_GROUP = "metrics.k8s.io";
export const NODE_METRICS: KindInfo = row(METRICS_GROUP, "v1beta1", "nodes", "NodeMetrics", false, { singular: "", verbs: ["get", "list"] });
export const POD_METRICS: KindInfo = row(METRICS_GROUP, "v1beta1", "pods", "PodMetrics", true, { singular: "", verbs: ["get", "list"] });

/** What is used: `cpu` in cores, `memory` in bytes, as quantities. */
export interface Usage {
  readonly cpu: string;
  readonly memory: string;
}

interface Measured {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  /** The end of the time the figures are the average of. */
  readonly timestamp: string;
  /** How long that time was: `10.5s`. */
  readonly window: string;
}

export interface NodeMetrics extends Measured {
  readonly usage: Usage;
}

export interface PodMetrics extends Measured {
  readonly containers: readonly { readonly name: string; readonly usage: Usage }[];
}

/** Whose figures are wanted; everything left out is not asked about. */
export interface MetricsQuery {
  readonly matcher?: LabelMatcher;
  readonly namespace?: string;
  readonly name?: string;
}

/** Figures of what runs now. What cannot be measured is left out. */
export interface MetricsSource {
  nodes(query: MetricsQuery): Promise<NodeMetrics[]>;
  pods(query: MetricsQuery): Promise<PodMetrics[]>;
}
