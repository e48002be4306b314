// Deployments.
import { field, type FieldError } from "../../../../api/errors.ts";
import { matcherOf, SelectorError } from "../../../../api/selectors.ts";
import type { Deployment, DeploymentSpec } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { defaultPodSpec } from "../pod/spec-defaults.ts";
import { warnOfTemplate } from "../pod/warnings.ts";
import { ageColumn, integer, nameColumn, printer, text, wide } from "../print/columns.ts";
import { containerColumns } from "../print/format.ts";
import { warnOfDottedName } from "../validation/warnings.ts";
import { amountOf, checkAtMost100Percent, checkImmutable, checkIntOrPercent, checkNonNegative, isEqual } from "../validation/values.ts";
import { statusErrors } from "./status.ts";
import { checkWorkload } from "./template.ts";

export const deploymentStrategy = define<Deployment>({
  group: "apps", kind: "Deployment",
  applyDefaults({ spec }) {
    if (!spec) return;
    spec.replicas ??= 1;
    spec.strategy = { ...spec.strategy };
    spec.strategy.type ||= "RollingUpdate";
    if (spec.strategy.type === "RollingUpdate") spec.strategy.rollingUpdate = { maxUnavailable: "25%", maxSurge: "25%", ...spec.strategy.rollingUpdate };
    defaultPodSpec(spec.template?.spec);
  },
  prepareForCreate(deployment, context) {
    warnOfDottedName(deployment, context);
    warnOfTemplate(deployment.spec?.template, context);
  },
  prepareForUpdate(deployment, old, context) {
    warnOfTemplate(deployment.spec?.template, context, { old: old.spec?.template });
    // Annotations are copied to replica sets, so their change is one for the controller too.
    if (!isEqual(deployment.metadata.annotations ?? {}, old.metadata.annotations ?? {})) deployment.metadata.generation = (old.metadata.generation ?? 0) + 1;
  },
  validate: ({ spec }) => specErrors(spec),
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec.selector", spec?.selector, old?.selector);
    return errors;
  },
  subresources: {
    status: { validateUpdate: ({ status }, { status: old }) => statusErrors(status, old, { counts: ["replicas", "unavailableReplicas", "terminatingReplicas"], parts: ["updatedReplicas", "readyReplicas", "availableReplicas"] }) },
  },
  scale: {
    replicas: ({ spec }) => spec?.replicas ?? 0,
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => matcherOf(spec?.selector).toString(),
    setReplicas: ({ spec }, replicas) => void ((spec as DeploymentSpec).replicas = replicas),
  },
  printer: printer(
    nameColumn(),
    text("Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`, "Number of the pod with ready state"),
    integer("Up-to-date", ({ status }) => status?.updatedReplicas ?? 0, "Pods of the current template."),
    integer("Available", ({ status }) => status?.availableReplicas ?? 0, "Pods that have been ready long enough."),
    ageColumn(),
    ...containerColumns<Deployment>(({ spec }) => spec?.template),
    wide(text("Selector", selectorText, "Which pods belong to it.")),
  ),
});

function selectorText({ spec }: Deployment): string {
  try {
    return matcherOf(spec?.selector).toString();
  } catch (error) {
    if (error instanceof SelectorError) return "<invalid>";
    throw error;
  }
}

function specErrors(spec: DeploymentSpec | undefined): FieldError[] {
  if (!spec) return [field.required("spec")];
  const errors: FieldError[] = [];
  checkNonNegative(errors, "spec.replicas", spec.replicas);
  checkWorkload(errors, { selector: spec.selector, template: spec.template ?? {}, kind: "ReplicaSet", word: "deployment" });
  strategyErrors(spec, errors);
  checkNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
  checkNonNegative(errors, "spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  const deadline = spec.progressDeadlineSeconds;
  checkNonNegative(errors, "spec.progressDeadlineSeconds", deadline);
  if (deadline !== undefined && deadline <= (spec.minReadySeconds ?? 0)) errors.push(field.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"));
  return errors;
}

function strategyErrors({ strategy }: DeploymentSpec, errors: FieldError[]): void {
  const { type, rollingUpdate } = strategy ?? {};
  const path = "spec.strategy.rollingUpdate";
  if (type === "Recreate") {
    if (rollingUpdate) errors.push(field.forbidden(path, "may not be specified when strategy `type` is 'Recreate'"));
  } else if (type !== "RollingUpdate") errors.push(field.notSupported("spec.strategy", strategy, ["Recreate", "RollingUpdate"]));
  else {
    const { maxUnavailable, maxSurge } = rollingUpdate ?? {};
    checkIntOrPercent(errors, `${path}.maxUnavailable`, maxUnavailable);
    checkIntOrPercent(errors, `${path}.maxSurge`, maxSurge);
    if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0) errors.push(field.invalid(`${path}.maxUnavailable`, maxUnavailable, "may not be 0 when `maxSurge` is 0"));
    checkAtMost100Percent(errors, `${path}.maxUnavailable`, maxUnavailable);
  }
}
