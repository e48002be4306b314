// One metric of an autoscaler: what it says now, and how many pods that calls for.
// Resources are measured by the nodes; anything else comes from whoever serves custom and external metrics.
import type { MetricsSource } from "../../../api/metrics.ts";
import { formatQuantity, milliValue, parseQuantity, quantityOfMilli } from "../../../api/quantity.ts";
import type { LabelMatcher } from "../../../api/selectors.ts";
import type { HorizontalPodAutoscaler, LabelSelector, Pod, Stored } from "../../../api/types.ts";
import { isReady } from "../pods.ts";
import { figuresOf, isWithin, replicasForAverage, replicasForUtilization, type Answer, type PodFigures, type Tolerances } from "./podmetrics.ts";

export type MetricSpec = NonNullable<NonNullable<HorizontalPodAutoscaler["spec"]>["metrics"]>[number];
export type MetricStatus = NonNullable<NonNullable<HorizontalPodAutoscaler["status"]>["currentMetrics"]>[number];
type Target = NonNullable<MetricSpec["resource"]>["target"];
type Identifier = NonNullable<MetricSpec["pods"]>["metric"];

/** Metrics that are no node's, in thousandths. Rejects when there is none of that name. */
export interface CustomMetrics {
  pods(query: { readonly namespace: string; readonly metric: string; readonly pods: LabelMatcher; readonly selector?: LabelSelector | undefined }): Promise<PodFigures>;
  object(query: { readonly namespace: string; readonly metric: string; readonly object: { readonly kind: string; readonly name: string; readonly apiVersion?: string | undefined }; readonly selector?: LabelSelector | undefined }): Promise<number>;
  external(query: { readonly namespace: string; readonly metric: string; readonly selector?: LabelSelector | undefined }): Promise<readonly number[]>;
}

/** What a metric is judged by. */
export interface Situation {
  readonly namespace: string;
  readonly specReplicas: number;
  readonly statusReplicas: number;
  readonly matcher: LabelMatcher;
  readonly pods: readonly Stored<Pod>[];
  readonly tolerances: Tolerances;
  readonly nowMs: number;
  readonly metrics: MetricsSource | undefined;
  readonly custom: CustomMetrics | undefined;
}

export interface Evaluation {
  readonly replicas: number;
  /** As events name it. */
  readonly name: string;
  readonly status: MetricStatus;
}

/** A metric could not be had; `reason` is what event and condition say, and the message what is said of the whole. */
export class MetricError extends Error {
  override readonly name = "MetricError";
  constructor(readonly reason: string, readonly detail: string, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** Throws MetricError. */
export async function evaluate(spec: MetricSpec, situation: Situation): Promise<Evaluation> {
  switch (spec.type) {
    case "Resource": return named("FailedGetResourceMetric", `failed to get ${spec.resource?.name} resource metric value`, () => resource(spec.resource as Resource, "", situation));
    case "ContainerResource": return named("FailedGetContainerResourceMetric", `failed to get ${spec.containerResource?.container} container metric value`, () => resource(spec.containerResource as Resource, spec.containerResource?.container ?? "", situation));
    case "Pods": return named("FailedGetPodsMetric", "failed to get pods metric value", () => pods(spec, situation));
    case "Object": return named("FailedGetObjectMetric", "failed to get object metric value", () => object(spec, situation));
    case "External": return named("FailedGetExternalMetric", `failed to get ${spec.external?.metric.name} external metric value`, () => external(spec, situation));
    default: return named("InvalidMetricSourceType", "invalid metric", () => Promise.reject(new Error(`unknown metric source type ${JSON.stringify(spec.type)}`)));
  }
}

async function named(reason: string, context: string, work: () => Promise<Evaluation>): Promise<Evaluation> {
  try {
    return await work();
  } catch (error) {
    const { message } = error as Error;
    throw new MetricError(reason, message, `${context}: ${message}`, { cause: error });
  }
}

interface Resource {
  readonly name: string;
  readonly target: Target;
  readonly container?: string;
}

async function resource({ name, target }: Resource, container: string, situation: Situation): Promise<Evaluation> {
  const isUsage = target.averageValue !== undefined;
  if (!isUsage && target.averageUtilization === undefined) throw new Error("invalid resource metric source: neither an average utilization target nor an average value (usage) target was set");
  const answer = await prefixed(`failed to get ${name} ${isUsage ? "usage" : "utilization"}`, async () => {
    const question = { ...situation, currentReplicas: situation.specReplicas, resource: name, figures: await nodeFigures(situation, name, container) };
    return isUsage ? replicasForAverage(question, milli(target.averageValue)) : replicasForUtilization(question, target.averageUtilization ?? 0, container);
  });
  const current = { averageValue: formatQuantity(quantityOfMilli(answer.milli, name === "memory" ? "BinarySI" : "DecimalSI")), ...(answer.utilization !== undefined && { averageUtilization: answer.utilization }) };
  const kind = container === "" ? "resource" : isUsage ? "resource" : "container resource";
  return {
    replicas: answer.replicas, name: isUsage ? `${name} resource` : `${name} ${kind} utilization (percentage of request)`,
    status: container === "" ? { type: "Resource", resource: { name, current } } : { type: "ContainerResource", containerResource: { name, container, current } },
  };
}

async function nodeFigures({ metrics, matcher, namespace }: Situation, name: string, container: string): Promise<PodFigures> {
  return prefixed(`unable to get metrics for resource ${name}`, async () => {
    if (!metrics) throw new Error("unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)");
    const all = await metrics.pods({ matcher, namespace });
    if (all.length === 0) throw new Error("no metrics returned from resource metrics API");
    return figuresOf(all, name, container);
  });
}

async function pods({ pods: spec }: MetricSpec, situation: Situation): Promise<Evaluation> {
  const { metric, target } = spec as NonNullable<MetricSpec["pods"]>;
  const figures = await prefixed(`unable to get metric ${metric.name}`, () => customOf(situation).pods({ namespace: situation.namespace, metric: metric.name, pods: situation.matcher, selector: metric.selector }));
  const answer: Answer = replicasForAverage({ ...situation, currentReplicas: situation.specReplicas, resource: "", figures }, milli(target.averageValue));
  return { replicas: answer.replicas, name: `pods metric ${metric.name}`, status: { type: "Pods", pods: { metric: identifier(metric), current: { averageValue: text(answer.milli) } } } };
}

async function object({ object: spec }: MetricSpec, situation: Situation): Promise<Evaluation> {
  const { describedObject, metric, target } = spec as NonNullable<MetricSpec["object"]>;
  const { namespace } = situation;
  const { kind, name: objectName } = describedObject;
  const isAverage = target.averageValue !== undefined;
  const used = await prefixed(isAverage ? `failed to get ${metric.name} object metric` : "", () => suffixed({ before: `unable to get metric ${metric.name}: `, after: ` on ${kind} ${namespace}/${objectName}` }, () => customOf(situation).object({ namespace, metric: metric.name, object: describedObject, selector: metric.selector })));
  const { replicas, current } = forTotal(used, target, situation);
  // Upstream calls an average of an object's an external metric, too.
  return { replicas, name: isAverage ? externalName(metric) : `${kind} metric ${metric.name}`, status: { type: "Object", object: { describedObject, metric: identifier(metric), current } } };
}

async function external({ external: spec }: MetricSpec, situation: Situation): Promise<Evaluation> {
  const { metric, target } = spec as NonNullable<MetricSpec["external"]>;
  const { namespace, custom } = situation;
  const values = await prefixed(target.averageValue === undefined ? `failed to get external metric ${metric.name}` : `failed to get ${metric.name} external metric`, () => prefixed(`unable to get external metric ${namespace}/${metric.name}/${goText(metric.selector)}`, () => {
    if (!custom) throw new Error(`unable to fetch metrics from external metrics API: the server could not find the requested resource (get ${metric.name}.external.metrics.k8s.io)`);
    return custom.external({ namespace, metric: metric.name, selector: metric.selector });
  }));
  const { replicas, current } = forTotal(values.reduce((sum, value) => sum + value, 0), target, situation);
  return { replicas, name: externalName(metric), status: { type: "External", external: { metric: identifier(metric), current } } };
}

/** Pods for one figure of the whole: as many times as many as it is above its target, or each its share. */
function forTotal(used: number, target: Target, { specReplicas, statusReplicas, tolerances, pods }: Situation): { replicas: number; current: { value?: string; averageValue?: string } } {
  if (target.averageValue !== undefined) {
    const share = milli(target.averageValue);
    const replicas = isWithin(tolerances, used / (share * statusReplicas)) ? statusReplicas : Math.ceil(used / share);
    return { replicas, current: { averageValue: text(Math.ceil(used / Math.max(1, statusReplicas))) } };
  }
  if (target.value === undefined) throw new Error("neither a value target nor an average value target was set");
  const ratio = used / milli(target.value);
  const current = { value: text(used) };
  if (specReplicas === 0) return { replicas: Math.ceil(ratio), current };
  if (isWithin(tolerances, ratio)) return { replicas: specReplicas, current };
  if (pods.length === 0) throw new Error("unable to calculate ready pods: no pods returned by selector while calculating replica count");
  return { replicas: Math.ceil(ratio * pods.filter((pod) => pod.status?.phase === "Running" && isReady(pod)).length), current };
}

function customOf({ custom }: Situation): CustomMetrics {
  if (!custom) throw new Error("unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered");
  return custom;
}

async function prefixed<T>(context: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw context === "" ? error : new Error(`${context}: ${(error as Error).message}`, { cause: error });
  }
}

async function suffixed<T>({ before, after }: { before: string; after: string }, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new Error(`${before}${(error as Error).message}${after}`, { cause: error });
  }
}

const externalName = ({ name, selector }: Identifier): string => `external metric ${name}(${goText(selector)})`;

/** A selector as upstream's messages print it. */
function goText(selector: LabelSelector | undefined): string {
  if (!selector) return "nil";
  const labels = Object.entries(selector.matchLabels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}: ${value},`).join("");
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values = [] }) => `LabelSelectorRequirement{Key:${key},Operator:${operator},Values:[${values.join(" ")}],},`).join("");
  return `&LabelSelector{MatchLabels:map[string]string{${labels}},MatchExpressions:[]LabelSelectorRequirement{${expressions}},}`;
}

function identifier({ name, selector }: Identifier): Identifier {
  return { name, ...(selector && { selector }) };
}

function milli(quantity: string | undefined): number {
  return milliValue(parseQuantity(quantity ?? "0"));
}

function text(value: number): string {
  return formatQuantity(quantityOfMilli(value));
}
