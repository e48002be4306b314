// What pods use of one resource, in thousandths, and how many pods that calls for.
// Rules: k8s.io/kubernetes/pkg/controller/podautoscaler/replica_calculator.go; pure.
import type { PodMetrics } from "../../../api/metrics.ts";
import { podResources } from "../../../api/podresources.ts";
import { milliValue, parseQuantity } from "../../../api/quantity.ts";
import type { Pod, PodSpec, Stored } from "../../../api/types.ts";
import { podCondition } from "../pods.ts";

/** One pod's figure. */
export interface PodMetric {
  readonly milli: number;
  readonly timeMs: number;
  readonly windowMs: number;
}

export type PodFigures = ReadonlyMap<string, PodMetric>;

/** How far from its target a ratio may be before anything is done, in each direction. */
export interface Tolerances {
  readonly up: number;
  readonly down: number;
}

export interface Question {
  readonly pods: readonly Stored<Pod>[];
  readonly figures: PodFigures;
  readonly currentReplicas: number;
  readonly tolerances: Tolerances;
  readonly nowMs: number;
  /** Empty for figures that are no resource's. */
  readonly resource: string;
}

export interface Answer {
  readonly replicas: number;
  /** Average per pod, in thousandths. */
  readonly milli: number;
  /** Percent of what was asked for, where that is the target. */
  readonly utilization?: number;
}

const CPU_INITIALIZATION_MS = 300_000;
const INITIAL_READINESS_MS = 30_000;

/** The figures of one resource, of one container where it is named; pods that lack one of theirs are left out. */
export function figuresOf(metrics: readonly PodMetrics[], resource: string, container: string): Map<string, PodMetric> {
  const figures = new Map<string, PodMetric>();
  for (const { metadata, timestamp, window, containers } of metrics) {
    const counted = container === "" ? containers : containers.filter(({ name }) => name === container);
    const values = counted.map(({ usage }) => (usage as unknown as Record<string, string | undefined>)[resource]);
    if (values.length === 0 || values.includes(undefined)) continue;
    const milli = values.reduce((sum, value) => sum + milliValue(parseQuantity(value as string)), 0);
    figures.set(metadata.name ?? "", { milli, timeMs: Date.parse(timestamp), windowMs: Number.parseFloat(window) * 1000 });
  }
  return figures;
}

/** Pods for an average share of what they asked for. Throws what upstream says when that cannot be told. */
export function replicasForUtilization(question: Question, target: number, container: string): Answer {
  const requests = new Map(question.pods.map((pod) => [pod.metadata.name, requestOf(pod, question.resource, container)]));
  const ratioOf = (figures: PodFigures): { ratio: number; milli: number; utilization: number } => {
    const known = [...figures].filter(([name]) => requests.has(name));
    const used = known.reduce((sum, [, { milli }]) => sum + milli, 0);
    const asked = known.reduce((sum, [name]) => sum + (requests.get(name) ?? 0), 0);
    if (asked === 0) throw new Error("no metrics returned matched known pods");
    const utilization = Math.trunc((used * 100) / asked);
    return { ratio: utilization / target, milli: Math.trunc(used / known.length), utilization };
  };
  // A pod nobody knows anything about is taken to use all it asked for when the question is whether to take some away.
  return decide(question, ratioOf, (name) => Math.trunc(((requests.get(name) ?? 0) * Math.max(100, target)) / 100));
}

/** Pods for an average amount per pod. */
export function replicasForAverage(question: Question, targetMilli: number): Answer {
  const ratioOf = (figures: PodFigures): { ratio: number; milli: number } => {
    const milli = Math.trunc([...figures.values()].reduce((sum, figure) => sum + figure.milli, 0) / figures.size);
    return { ratio: milli / targetMilli, milli };
  };
  return decide(question, ratioOf, () => targetMilli);
}

/** Whether a ratio is as good as the target. */
export function isWithin({ up, down }: Tolerances, ratio: number): boolean {
  return 1 - down <= ratio && ratio <= 1 + up;
}

type Ratio = (figures: PodFigures) => { readonly ratio: number; readonly milli: number; readonly utilization?: number };

function decide(question: Question, ratioOf: Ratio, assumed: (name: string) => number): Answer {
  const { currentReplicas, tolerances, pods } = question;
  if (pods.length === 0) throw new Error("no pods returned by selector while calculating replica count");
  const { figures, ready, unready, missing } = grouped(question);
  if (figures.size === 0) throw new Error("did not receive metrics for targeted pods (pods might be unready)");
  const { ratio, ...shown } = ratioOf(figures);
  const isUpWithUnready = unready.length > 0 && ratio > 1;
  if (!isUpWithUnready && missing.length === 0) return { replicas: isWithin(tolerances, ratio) ? currentReplicas : Math.ceil(ratio * ready), ...shown };
  const filled = new Map(figures);
  const fill = (names: readonly string[], milli: (name: string) => number): void => names.forEach((name) => filled.set(name, { milli: milli(name), timeMs: 0, windowMs: 0 }));
  if (ratio < 1) fill(missing, assumed);
  else if (ratio > 1) fill(missing, () => 0);
  if (isUpWithUnready) fill(unready, () => 0);
  const next = ratioOf(filled).ratio;
  const replicas = Math.ceil(next * filled.size);
  const turnsBack = (ratio < 1 && next > 1) || (ratio > 1 && next < 1) || (next < 1 && replicas > currentReplicas) || (next > 1 && replicas < currentReplicas);
  return { replicas: isWithin(tolerances, next) || turnsBack ? currentReplicas : replicas, ...shown };
}

/** The figures that count, and the pods that have none. */
function grouped({ pods, figures, resource, nowMs }: Question): { figures: PodFigures; ready: number; unready: string[]; missing: string[] } {
  const counted = new Map(figures);
  const unready: string[] = [];
  const missing: string[] = [];
  let ready = 0;
  for (const pod of pods) {
    const { name } = pod.metadata;
    const metric = figures.get(name);
    if (pod.metadata.deletionTimestamp || pod.status?.phase === "Failed") counted.delete(name);
    else if (pod.status?.phase === "Pending") unready.push(name);
    else if (!metric) missing.push(name);
    else if (resource === "cpu" && isWarmingUp(pod, metric, nowMs)) unready.push(name);
    else ready++;
  }
  for (const name of unready) counted.delete(name);
  return { figures: counted, ready, unready, missing };
}

/** What a pod uses while it starts says nothing about its load. */
function isWarmingUp(pod: Pod, { timeMs, windowMs }: PodMetric, nowMs: number): boolean {
  const condition = podCondition(pod, "Ready");
  if (!condition || !pod.status?.startTime) return true;
  const startedMs = Date.parse(pod.status.startTime);
  const changedMs = Date.parse(condition.lastTransitionTime ?? pod.status.startTime);
  const isUnready = condition.status === "False";
  if (startedMs + CPU_INITIALIZATION_MS > nowMs) return isUnready || timeMs < changedMs + windowMs;
  return isUnready && startedMs + INITIAL_READINESS_MS > changedMs;
}

/** What a pod, or one of its containers, asked for. */
function requestOf(pod: Stored<Pod>, resource: string, container: string): number {
  const spec = pod.spec as PodSpec;
  const { name } = pod.metadata;
  if (container === "" && Object.keys(spec.resources?.requests ?? {}).length > 0) {
    const whole = podResources(spec, "requests")[resource];
    if (whole === undefined) throw new Error(`missing pod-level request for ${resource} in Pod ${name}`);
    return milliValue(parseQuantity(whole));
  }
  const all = [...spec.containers, ...(spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always")];
  const counted = container === "" ? all : all.filter((one) => one.name === container);
  if (counted.length === 0) throw new Error(`container ${container} not found in Pod ${name}`);
  return counted.reduce((sum, one) => {
    const request = one.resources?.requests?.[resource];
    if (request === undefined) throw new Error(`missing request for ${resource} in container ${one.name} of Pod ${name}`);
    return sum + milliValue(parseQuantity(request));
  }, 0);
}
