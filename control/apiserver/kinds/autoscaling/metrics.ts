// What an autoscaler measures: rules for metrics, and how they are shown.
import { field, type FieldError } from "../../../../api/errors.ts";
import { parseQuantity } from "../../../../api/quantity.ts";
import type { HorizontalPodAutoscaler } from "../../../../api/types.ts";
import { checkContainerResourceName } from "../core/resources.ts";
import { check, dnsLabel, pathSegment } from "../validation/names.ts";
import { checkReference } from "./reference.ts";

type Metric = NonNullable<NonNullable<HorizontalPodAutoscaler["spec"]>["metrics"]>[number];
type MetricStatus = NonNullable<NonNullable<HorizontalPodAutoscaler["status"]>["currentMetrics"]>[number];
type Target = NonNullable<Metric["object"]>["target"];
type Identifier = NonNullable<Metric["object"]>["metric"];
type Check = (errors: FieldError[], path: string, metric: Metric) => void;
type Source = "object" | "external" | "pods" | "resource" | "containerResource";

const SHOWN = 2;
const TYPES = ["ContainerResource", "External", "Object", "Pods", "Resource"];
const TARGET_TYPES = ["Utilization", "Value", "AverageValue"];
const RAW_OR_UTILIZATION = "must set either a target raw value or a target utilization";

/** One check per place a metric can come from, in upstream's order. */
const SOURCES: Readonly<Record<Source, Check>> = { object: checkObject, external: checkExternal, pods: checkPods, resource: checkResource, containerResource: checkContainerResource };

/** One metric: its type, and exactly the source that goes with it. */
export function checkMetric(errors: FieldError[], path: string, metric: Metric): void {
  const present = (Object.keys(SOURCES) as Source[]).filter((name) => metric[name] !== undefined);
  if (!metric.type) errors.push(field.required(`${path}.type`, "must specify a metric source type"));
  const isKnown = TYPES.includes(metric.type);
  if (!isKnown) errors.push(field.notSupported(`${path}.type`, metric.type ?? "", TYPES));
  if (present[0]) SOURCES[present[0]](errors, path, metric);
  const expected = isKnown ? `${metric.type.charAt(0).toLowerCase()}${metric.type.slice(1)}` : "";
  if (isKnown && !present.includes(expected as Source)) errors.push(field.required(`${path}.${expected}`, "must populate information for the given metric source"));
  if (present.length > 1 || present[0] !== expected) for (const name of present) if (name !== expected) errors.push(field.forbidden(`${path}.${name}`, "must populate the given metric source only"));
}

function checkObject(errors: FieldError[], path: string, { object }: Metric): void {
  if (!object) return;
  const at = `${path}.object`;
  checkReference(errors, `${at}.describedObject`, object.describedObject, { allowCoreGroup: true });
  checkIdentified(errors, at, object);
  if (object.target?.value === undefined && object.target?.averageValue === undefined) errors.push(field.required(`${at}.target.averageValue`, "must set either a target value or averageValue"));
}

function checkExternal(errors: FieldError[], path: string, { external }: Metric): void {
  if (!external) return;
  const at = `${path}.external`;
  checkIdentified(errors, at, external);
  const { value, averageValue } = external.target ?? {};
  if (value === undefined && averageValue === undefined) errors.push(field.required(`${at}.target.averageValue`, "must set either a target value for metric or a per-pod target"));
  if (value !== undefined && averageValue !== undefined) errors.push(field.forbidden(`${at}.target.value`, "may not set both a target value for metric and a per-pod target"));
}

function checkPods(errors: FieldError[], path: string, { pods }: Metric): void {
  if (!pods) return;
  checkIdentified(errors, `${path}.pods`, pods);
  if (pods.target?.averageValue === undefined) errors.push(field.required(`${path}.pods.target.averageValue`, "must specify a positive target averageValue"));
}

function checkResource(errors: FieldError[], path: string, { resource }: Metric): void {
  if (!resource) return;
  if (!resource.name) errors.push(field.required(`${path}.resource.name`, "must specify a resource name"));
  checkShare(errors, `${path}.resource`, resource.target);
}

function checkContainerResource(errors: FieldError[], path: string, { containerResource: resource }: Metric): void {
  if (!resource) return;
  const at = `${path}.containerResource`;
  if (resource.name) checkContainerResourceName(errors, `${at}.name`, resource.name);
  else errors.push(field.required(`${at}.name`, "must specify a resource name"));
  if (resource.container) check(errors, `${at}.container`, resource.container, dnsLabel);
  else errors.push(field.required(`${at}.container`, "must specify a container"));
  checkShare(errors, at, resource.target);
}

function checkIdentified(errors: FieldError[], path: string, { metric, target }: { metric: Identifier; target: Target }): void {
  if (metric?.name) check(errors, `${path}.metric.name`, metric.name, pathSegment);
  else errors.push(field.required(`${path}.metric.name`, "must specify a metric name"));
  checkTarget(errors, `${path}.target`, target);
}

/** The target of a resource: of what was asked for, or as an amount. */
function checkShare(errors: FieldError[], path: string, target: Target): void {
  checkTarget(errors, `${path}.target`, target);
  const { averageUtilization, averageValue } = target ?? {};
  if (averageUtilization === undefined && averageValue === undefined) errors.push(field.required(`${path}.target.averageUtilization`, RAW_OR_UTILIZATION));
  if (averageUtilization !== undefined && averageValue !== undefined) errors.push(field.forbidden(`${path}.target.averageValue`, "may not set both a target raw value and a target utilization"));
}

function checkTarget(errors: FieldError[], path: string, target: Target | undefined): void {
  const { type = "", averageUtilization } = target ?? {};
  if (type === "") errors.push(field.required(`${path}.type`, "must specify a metric target type"));
  if (!TARGET_TYPES.includes(type)) errors.push(field.invalid(`${path}.type`, type, "must be either Utilization, Value, or AverageValue"));
  for (const name of ["value", "averageValue"] as const) {
    const amount = target?.[name];
    if (amount !== undefined && parseQuantity(amount).nano <= 0n) errors.push(field.invalid(`${path}.${name}`, amount, "must be positive"));
  }
  if (averageUtilization !== undefined && averageUtilization < 1) errors.push(field.invalid(`${path}.averageUtilization`, averageUtilization, "must be greater than 0"));
}

/** Current and wanted values, `cpu: 20%/50%`, of the first metrics. */
export function metricsText(metrics: readonly Metric[] = [], statuses?: readonly MetricStatus[] | null): string {
  if (metrics.length === 0) return "<none>";
  const shown = metrics.slice(0, SHOWN).map((metric, index) => metricText(metric, statuses?.[index])).join(", ");
  return metrics.length > SHOWN ? `${shown} + ${metrics.length - SHOWN} more...` : shown;
}

function metricText(metric: Metric, status: MetricStatus | undefined): string {
  const nothing = "<unknown>";
  if (metric.type === "Pods") return `${status?.pods?.current.averageValue ?? nothing}/${metric.pods?.target.averageValue}`;
  if (metric.type === "External" || metric.type === "Object") {
    const name = metric.type === "External" ? "external" : "object";
    const target = metric[name]?.target;
    const current = status?.[name]?.current;
    return target?.averageValue === undefined ? `${current?.value ?? nothing}/${target?.value}` : `${current?.averageValue ?? nothing}/${target.averageValue} (avg)`;
  }
  if (metric.type !== "Resource" && metric.type !== "ContainerResource") return "<unknown type>";
  const name = metric.type === "Resource" ? "resource" : "containerResource";
  const source = metric[name];
  const current = status?.[name]?.current;
  if (source?.target.averageValue !== undefined) return `${source.name}: ${current?.averageValue ?? nothing}/${source.target.averageValue}`;
  return `${source?.name}: ${percent(current?.averageUtilization, nothing)}/${percent(source?.target.averageUtilization, "<auto>")}`;
}

const percent = (value: number | undefined, otherwise: string): string => (value === undefined ? otherwise : `${value}%`);
