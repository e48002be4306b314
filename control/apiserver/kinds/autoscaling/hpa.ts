// HorizontalPodAutoscalers in their stored version, v2; `hpa-v1.ts` is the other one.
import { field, type FieldError } from "../../../../api/errors.ts";
import { parseQuantity } from "../../../../api/quantity.ts";
import type { HorizontalPodAutoscaler } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { ageColumn, integer, nameColumn, printer, text } from "../print/columns.ts";
import { checkNonNegative } from "../validation/values.ts";
import { checkMetric, metricsText } from "./metrics.ts";
import { checkReference } from "./reference.ts";

type Spec = NonNullable<HorizontalPodAutoscaler["spec"]>;
type Rules = NonNullable<NonNullable<Spec["behavior"]>["scaleUp"]>;
type Metric = NonNullable<Spec["metrics"]>[number];

const MAX_WINDOW = 3600;
const MAX_PERIOD = 1800;
const PERIOD = 15;

/** What is measured when nobody says: processor time, up to a share of what was asked for. */
export const defaultMetrics = (): Metric[] => [{ type: "Resource", resource: { name: "cpu", target: { type: "Utilization", averageUtilization: 80 } } }];

export const hpaPrinter = printer<HorizontalPodAutoscaler>(
  nameColumn(),
  text("Reference", ({ spec }) => `${spec?.scaleTargetRef?.kind}/${spec?.scaleTargetRef?.name}`, "What is scaled."),
  text("Targets", ({ spec, status }) => metricsText(spec?.metrics, status?.currentMetrics), "What is measured, and what it should be."),
  text("MinPods", ({ spec }) => (spec?.minReplicas === undefined ? "<unset>" : String(spec.minReplicas)), "The fewest pods."),
  text("MaxPods", ({ spec }) => spec?.maxReplicas ?? 0, "The most pods."),
  integer("Replicas", ({ status }) => status?.currentReplicas ?? 0, "How many pods there are."),
  ageColumn(),
);

export const hpaStrategy = define<HorizontalPodAutoscaler>({
  group: "autoscaling", kind: "HorizontalPodAutoscaler",
  hasGeneration: false,
  applyDefaults: ({ spec }) => defaultHpa(spec),
  validate: ({ spec }) => hpaErrors(spec),
  validateCreate: ({ spec }) => boundErrors(spec),
  validateUpdate: ({ spec }, { spec: old }) => boundErrors(spec, old),
  subresources: { status: { validateUpdate: hpaStatusErrors } },
  printer: hpaPrinter,
});

/** Metrics and scaling rules where there are none, or only parts. */
function defaultHpa(spec: Spec | undefined): void {
  if (!spec) return;
  if (!spec.metrics?.length) spec.metrics = defaultMetrics();
  if (!spec.behavior) return;
  const up = [{ type: "Pods", value: 4, periodSeconds: PERIOD }, { type: "Percent", value: 100, periodSeconds: PERIOD }];
  const down = [{ type: "Percent", value: 100, periodSeconds: PERIOD }];
  spec.behavior = {
    scaleUp: { stabilizationWindowSeconds: 0, selectPolicy: "Max", policies: up, ...spec.behavior.scaleUp },
    scaleDown: { selectPolicy: "Max", policies: down, ...spec.behavior.scaleDown },
  };
}

/** Everything wrong with a spec but what the old one may excuse. */
export function hpaErrors(spec: Spec | undefined): FieldError[] {
  if (!spec) return [field.required("spec")];
  const errors: FieldError[] = [];
  const { minReplicas, maxReplicas = 0, metrics = [], behavior } = spec;
  if (maxReplicas === 0) errors.push(field.required("spec.maxReplicas", "must be set and greater than 0"));
  else if (maxReplicas < 0) errors.push(field.invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to 1"));
  if (minReplicas !== undefined && maxReplicas < minReplicas) errors.push(field.invalid("spec.maxReplicas", maxReplicas, "must be greater than or equal to `minReplicas`"));
  for (const [index, metric] of metrics.entries()) checkMetric(errors, `spec.metrics[${index}]`, metric);
  if (minReplicas === 0 && !metrics.some(({ type }) => type === "Object" || type === "External")) errors.push(field.forbidden("spec.metrics", "must specify at least one Object or External metric to support scaling to zero replicas"));
  for (const name of ["scaleUp", "scaleDown"] as const) if (behavior?.[name]) checkRules(errors, `spec.behavior.${name}`, behavior[name]);
  return errors;
}

/** Rules an existing autoscaler need not meet if it never did. */
export function boundErrors(spec: Spec | undefined, old?: Spec): FieldError[] {
  if (!spec) return [];
  const errors: FieldError[] = [];
  const least = old?.minReplicas === 0 ? 0 : 1;
  if (spec.minReplicas !== undefined && spec.minReplicas < least) errors.push(field.invalid("spec.minReplicas", spec.minReplicas, `must be greater than or equal to ${least}`));
  const target = spec.scaleTargetRef;
  const isSameTarget = old !== undefined && old.scaleTargetRef?.apiVersion === target?.apiVersion && old.scaleTargetRef?.kind === target?.kind;
  checkReference(errors, "spec.scaleTargetRef", target, { allowCoreGroup: isSameTarget || target?.kind === "ReplicationController" });
  return errors;
}

function checkRules(errors: FieldError[], path: string, { stabilizationWindowSeconds: window, selectPolicy, policies = [], tolerance }: Rules): void {
  if (window !== undefined && window < 0) errors.push(field.invalid(`${path}.stabilizationWindowSeconds`, window, "must be greater than or equal to zero"));
  if (window !== undefined && window > MAX_WINDOW) errors.push(field.invalid(`${path}.stabilizationWindowSeconds`, window, `must be less than or equal to ${MAX_WINDOW}`));
  const choices = ["Disabled", "Max", "Min"];
  if (selectPolicy !== undefined && !choices.includes(selectPolicy)) errors.push(field.notSupported(`${path}.selectPolicy`, selectPolicy, choices));
  if (policies.length === 0) errors.push(field.required(`${path}.policies`, "must specify at least one Policy"));
  for (const [index, { type, value, periodSeconds }] of policies.entries()) {
    const at = `${path}.policies[${index}]`;
    if (type !== "Pods" && type !== "Percent") errors.push(field.notSupported(`${at}.type`, type, ["Percent", "Pods"]));
    if (!(value > 0)) errors.push(field.invalid(`${at}.value`, value, "must be greater than zero"));
    if (!(periodSeconds > 0)) errors.push(field.invalid(`${at}.periodSeconds`, periodSeconds, "must be greater than zero"));
    if (periodSeconds > MAX_PERIOD) errors.push(field.invalid(`${at}.periodSeconds`, periodSeconds, `must be less than or equal to ${MAX_PERIOD}`));
  }
  if (tolerance !== undefined && parseQuantity(tolerance).nano < 0n) errors.push(field.invalid(`${path}.tolerance`, tolerance, "must be greater than or equal to 0"));
}

/** Everything wrong with a status. */
export function hpaStatusErrors({ status }: Pick<HorizontalPodAutoscaler, "status">): FieldError[] {
  const errors: FieldError[] = [];
  checkNonNegative(errors, "status.currentReplicas", status?.currentReplicas);
  checkNonNegative(errors, "status.desiredReplicas", status?.desiredReplicas);
  return errors;
}
