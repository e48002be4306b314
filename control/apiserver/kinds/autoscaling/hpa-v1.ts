// HorizontalPodAutoscalers as autoscaling/v1 has them: one processor target, everything else in annotations.
// The annotations and their contents are upstream's, so that objects survive the way there and back.
import type { AnyObject, HorizontalPodAutoscaler } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { boundErrors, defaultMetrics, hpaErrors, hpaPrinter, hpaStatusErrors } from "./hpa.ts";

const PREFIX = "autoscaling.alpha.kubernetes.io/";
const METRICS = `${PREFIX}metrics`;
const CURRENT_METRICS = `${PREFIX}current-metrics`;
const CONDITIONS = `${PREFIX}conditions`;
const BEHAVIOR = `${PREFIX}behavior`;
const SOURCES = { Object: "object", Pods: "pods", Resource: "resource", ContainerResource: "containerResource", External: "external" } as const;

type Source = (typeof SOURCES)[keyof typeof SOURCES];
// Metrics of either version, moved around field by field.
type Part = AnyObject;

const asV2 = (object: unknown): HorizontalPodAutoscaler => toStored(structuredClone(object) as AnyObject) as unknown as HorizontalPodAutoscaler;

export const hpaV1Strategy = define<AnyObject>({
  group: "autoscaling", kind: "HorizontalPodAutoscaler", version: "v1",
  hasGeneration: false,
  validate: (hpa) => hpaErrors(asV2(hpa).spec),
  validateCreate: (hpa) => boundErrors(asV2(hpa).spec),
  validateUpdate: (hpa, old) => boundErrors(asV2(hpa).spec, asV2(old).spec),
  subresources: { status: { validateUpdate: (hpa) => hpaStatusErrors(asV2(hpa)) } },
  printer: { columns: hpaPrinter.columns, cells: (hpa, now) => hpaPrinter.cells(asV2(hpa), now) },
  convert: { toStored, fromStored },
});

/** The v2 form; mutates and answers its argument. */
function toStored(hpa: AnyObject): AnyObject {
  const annotations = hpa.metadata.annotations ?? {};
  const { targetCPUUtilizationPercentage: target, ...spec } = (hpa["spec"] ?? {}) as Part;
  const others = parsed<Part[]>(annotations[METRICS])?.map((metric) => withSource(metric, sourceToV2)) ?? [];
  spec["metrics"] = [...others, ...(target === undefined ? [] : [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: target } } }])];
  if (spec["metrics"].length === 0) spec["metrics"] = defaultMetrics();
  const behavior = parsed<Part>(annotations[BEHAVIOR]);
  if (behavior && Object.keys(behavior).length > 0) spec["behavior"] = renamed(behavior, lowerFirst);
  const { currentCPUUtilizationPercentage: current, ...status } = (hpa["status"] ?? {}) as Part;
  const statuses = parsed<Part[]>(annotations[CURRENT_METRICS])?.map((metric) => withSource(metric, statusToV2));
  status["currentMetrics"] = statuses ?? (current === undefined ? null : [{ type: "Resource", resource: { name: "cpu", current: { averageUtilization: current } } }]);
  const conditions = parsed<Part[]>(annotations[CONDITIONS]);
  if (conditions) status["conditions"] = conditions;
  return { ...hpa, apiVersion: "autoscaling/v2", metadata: withAnnotations(hpa, {}), spec, status };
}

/** The v1 form. */
function fromStored(hpa: AnyObject): AnyObject {
  const { metrics = [], behavior, ...spec } = (hpa["spec"] ?? {}) as Part;
  const { currentMetrics, conditions, ...status } = (hpa["status"] ?? {}) as Part;
  const isCpu = ({ type, resource }: Part): boolean => type === "Resource" && resource?.name === "cpu" && resource.target?.averageUtilization !== undefined;
  const cpu = (metrics as Part[]).find(isCpu);
  const others = (metrics as Part[]).filter((metric) => !isCpu(metric));
  const current = ((currentMetrics ?? []) as Part[]).findLast(({ type, resource }) => type === "Resource" && resource?.name === "cpu" && resource.current?.averageUtilization !== undefined);
  const annotations = {
    ...(others.length > 0 && { [METRICS]: JSON.stringify(others.map((metric) => withSource(metric, sourceToV1))) }),
    ...(currentMetrics?.length > 0 && { [CURRENT_METRICS]: JSON.stringify((currentMetrics as Part[]).map((metric) => withSource(metric, statusToV1))) }),
    ...(behavior && { [BEHAVIOR]: JSON.stringify(behaviorToInternal(behavior as Part)) }),
    ...(conditions?.length > 0 && { [CONDITIONS]: JSON.stringify(conditions) }),
  };
  return {
    ...hpa, apiVersion: "autoscaling/v1", metadata: withAnnotations(hpa, annotations),
    spec: { ...spec, ...(cpu && { targetCPUUtilizationPercentage: cpu["resource"].target.averageUtilization }) },
    status: { ...status, currentReplicas: status["currentReplicas"] ?? 0, desiredReplicas: status["desiredReplicas"] ?? 0, ...(current && { currentCPUUtilizationPercentage: current["resource"].current.averageUtilization }) },
  };
}

/** The metadata with these annotations in place of those a conversion made earlier. */
function withAnnotations({ metadata }: AnyObject, made: Readonly<Record<string, string>>): AnyObject["metadata"] {
  const { annotations = {}, ...rest } = metadata;
  const kept = Object.fromEntries(Object.entries(annotations).filter(([name]) => ![METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR].includes(name)));
  const all = { ...kept, ...made };
  return Object.keys(all).length > 0 ? { ...rest, annotations: all } : rest;
}

function withSource(metric: Part, convert: (part: Part, source: Source) => Record<string, unknown>): Part {
  const source = SOURCES[metric["type"] as keyof typeof SOURCES];
  if (!source || !metric[source]) return metric;
  return { ...metric, [source]: convert(metric[source] as Part, source) };
}

function sourceToV2(part: Part, source: Source): Record<string, unknown> {
  if (source === "resource" || source === "containerResource") {
    const { targetAverageUtilization: utilization, targetAverageValue: value, ...rest } = part;
    return { ...rest, target: compact({ type: utilization === undefined ? "AverageValue" : "Utilization", averageValue: value, averageUtilization: utilization }) };
  }
  if (source === "pods") return { metric: identifier(part["metricName"], part["selector"]), target: { type: "AverageValue", averageValue: part["targetAverageValue"] } };
  const isObject = source === "object";
  const average = part[isObject ? "averageValue" : "targetAverageValue"];
  const isValue = isObject ? average === undefined : part["targetValue"] !== undefined;
  // The old form cannot leave the value out.
  const value = isObject && !isValue && part["targetValue"] === "0" ? undefined : part["targetValue"];
  const target = compact({ type: isValue ? "Value" : "AverageValue", value, averageValue: average });
  return { ...(isObject && { describedObject: part["target"] }), metric: identifier(part["metricName"], part[isObject ? "selector" : "metricSelector"]), target };
}

function sourceToV1({ metric, target, describedObject, name, container }: Part, source: Source): Record<string, unknown> {
  const { value, averageValue, averageUtilization } = (target ?? {}) as Part;
  if (source === "resource") return compact({ name, targetAverageUtilization: averageUtilization, targetAverageValue: averageValue });
  if (source === "containerResource") return compact({ name, targetAverageUtilization: averageUtilization, targetAverageValue: averageValue, container });
  if (source === "pods") return compact({ metricName: metric?.name, targetAverageValue: averageValue ?? "0", selector: metric?.selector });
  if (source === "object") return compact({ target: describedObject, metricName: metric?.name, targetValue: value ?? "0", selector: metric?.selector, averageValue });
  return compact({ metricName: metric?.name, metricSelector: metric?.selector, targetValue: value, targetAverageValue: averageValue });
}

function statusToV2(part: Part, source: Source): Record<string, unknown> {
  if (source === "resource" || source === "containerResource") {
    const { currentAverageUtilization: averageUtilization, currentAverageValue: averageValue, ...rest } = part;
    return { ...rest, current: compact({ averageValue, averageUtilization }) };
  }
  if (source === "pods") return { metric: identifier(part["metricName"], part["selector"]), current: { averageValue: part["currentAverageValue"] } };
  const isObject = source === "object";
  const current = compact({ value: part["currentValue"], averageValue: part[isObject ? "averageValue" : "currentAverageValue"] });
  return { ...(isObject && { describedObject: part["target"] }), metric: identifier(part["metricName"], part[isObject ? "selector" : "metricSelector"]), current };
}

function statusToV1({ metric, current, describedObject, name, container }: Part, source: Source): Record<string, unknown> {
  const { value, averageValue, averageUtilization } = (current ?? {}) as Part;
  if (source === "resource") return compact({ name, currentAverageUtilization: averageUtilization, currentAverageValue: averageValue ?? "0" });
  if (source === "containerResource") return compact({ name, currentAverageUtilization: averageUtilization, currentAverageValue: averageValue ?? "0", container });
  if (source === "pods") return compact({ metricName: metric?.name, currentAverageValue: averageValue ?? "0", selector: metric?.selector });
  if (source === "object") return compact({ target: describedObject, metricName: metric?.name, currentValue: value ?? "0", selector: metric?.selector, averageValue });
  return compact({ metricName: metric?.name, metricSelector: metric?.selector, currentValue: value ?? "0", currentAverageValue: averageValue });
}

const identifier = (name: unknown, selector: unknown): Record<string, unknown> => compact({ name, selector });

function compact(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Upstream writes its internal form here: capitalized names, and null for what is not set. */
function behaviorToInternal({ scaleUp, scaleDown }: Part): Record<string, unknown> {
  const rules = (part: Part | undefined): unknown => part && renamed({ stabilizationWindowSeconds: null, selectPolicy: null, policies: null, tolerance: null, ...part }, upperFirst);
  return { ScaleUp: rules(scaleUp) ?? null, ScaleDown: rules(scaleDown) ?? null };
}

/** The same value with its keys spelled otherwise, and without nothings when reading. */
function renamed(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== null || rename === upperFirst);
  return Object.fromEntries(entries.map(([key, item]) => [rename(key), renamed(item, rename)]));
}

const lowerFirst = (key: string): string => key.charAt(0).toLowerCase() + key.slice(1);
const upperFirst = (key: string): string => key.charAt(0).toUpperCase() + key.slice(1);

/** What an annotation says; nothing when it is missing or no JSON. */
function parsed<T>(text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
