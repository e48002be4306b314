// DaemonSets, and the ControllerRevisions that remember what daemon and stateful sets were.
import { field, type FieldError } from "../../../../api/errors.ts";
import { formatLabelSelector } from "../../../../api/selectors.ts";
import type { ControllerRevision, DaemonSet } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { defaultPodSpec } from "../pod/spec-defaults.ts";
import { warnOfTemplate } from "../pod/warnings.ts";
import { ageColumn, integer, nameColumn, printer, text, wide } from "../print/columns.ts";
import { containerColumns, formatLabels } from "../print/format.ts";
import { amountOf, checkAtMost100Percent, checkImmutable, checkIntOrPercent, checkNonNegative, isEqual } from "../validation/values.ts";
import { statusErrors } from "./status.ts";
import { checkWorkload } from "./template.ts";

const COUNTS = ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable", "numberUnavailable"];
const TEMPLATE_GENERATION = "deprecated.daemonset.template.generation";
type Spec = NonNullable<DaemonSet["spec"]>;

export const daemonSetStrategy = define<DaemonSet>({
  group: "apps", kind: "DaemonSet",
  applyDefaults({ spec }) {
    if (!spec) return;
    spec.updateStrategy = { ...spec.updateStrategy };
    spec.updateStrategy.type ||= "RollingUpdate";
    if (spec.updateStrategy.type === "RollingUpdate") spec.updateStrategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...spec.updateStrategy.rollingUpdate };
    defaultPodSpec(spec.template?.spec);
  },
  prepareForCreate(set, context) {
    setTemplateGeneration(set, 1);
    warnOfTemplate(set.spec?.template, context);
  },
  prepareForUpdate(set, old, context) {
    warnOfTemplate(set.spec?.template, context, { old: old.spec?.template });
    const before = templateGeneration(old);
    setTemplateGeneration(set, isEqual(set.spec?.template, old.spec?.template) ? before : before + 1);
  },
  validate: ({ spec }) => specErrors(spec),
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec.selector", spec?.selector, old?.selector);
    return errors;
  },
  subresources: { status: { validateUpdate: ({ status }, { status: old }) => statusErrors(status, old, { counts: COUNTS }) } },
  printer: printer(
    nameColumn(),
    integer("Desired", ({ status }) => status?.desiredNumberScheduled ?? 0, "How many nodes should run its pod."),
    integer("Current", ({ status }) => status?.currentNumberScheduled ?? 0, "How many of them do."),
    integer("Ready", ({ status }) => status?.numberReady ?? 0, "How many pods are ready."),
    integer("Up-to-date", ({ status }) => status?.updatedNumberScheduled ?? 0, "How many pods are of the current template."),
    integer("Available", ({ status }) => status?.numberAvailable ?? 0, "How many pods have been ready long enough."),
    text("Node Selector", ({ spec }) => formatLabels(spec?.template?.spec?.nodeSelector), "Which nodes run its pod."),
    ageColumn(),
    ...containerColumns<DaemonSet>(({ spec }) => spec?.template),
    wide(text("Selector", ({ spec }) => formatLabelSelector(spec?.selector), "Which pods belong to it.")),
  ),
});

/** In apps/v1 the template's own generation lives in an annotation. */
function templateGeneration({ metadata }: DaemonSet): number {
  return Number(metadata.annotations?.[TEMPLATE_GENERATION] ?? 1);
}

function setTemplateGeneration({ metadata }: DaemonSet, generation: number): void {
  metadata.annotations = { ...metadata.annotations, [TEMPLATE_GENERATION]: String(generation) };
}

function specErrors(spec: Spec | undefined): FieldError[] {
  if (!spec) return [field.required("spec")];
  const errors: FieldError[] = [];
  checkWorkload(errors, { selector: spec.selector, template: spec.template ?? {}, kind: "DaemonSet", word: "daemonset" });
  checkNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
  checkNonNegative(errors, "spec.revisionHistoryLimit", spec.revisionHistoryLimit);
  const { type, rollingUpdate } = spec.updateStrategy ?? {};
  if (type === "RollingUpdate") rollingErrors(rollingUpdate, errors);
  else if (type !== "OnDelete") errors.push(field.notSupported("spec.updateStrategy", spec.updateStrategy, ["RollingUpdate", "OnDelete"]));
  return errors;
}

function rollingErrors(rollingUpdate: NonNullable<Spec["updateStrategy"]>["rollingUpdate"], errors: FieldError[]): void {
  const path = "spec.updateStrategy.rollingUpdate";
  if (!rollingUpdate) return void errors.push(field.required(path));
  const { maxUnavailable, maxSurge } = rollingUpdate;
  checkIntOrPercent(errors, `${path}.maxUnavailable`, maxUnavailable);
  checkIntOrPercent(errors, `${path}.maxSurge`, maxSurge);
  checkAtMost100Percent(errors, `${path}.maxUnavailable`, maxUnavailable);
  checkAtMost100Percent(errors, `${path}.maxSurge`, maxSurge);
  const hasUnavailable = amountOf(maxUnavailable) !== 0;
  const hasSurge = amountOf(maxSurge) !== 0;
  if (hasUnavailable && hasSurge) errors.push(field.invalid(`${path}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero"));
  if (!hasUnavailable && !hasSurge) errors.push(field.required(`${path}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
}

export const controllerRevisionStrategy = define<ControllerRevision>({
  group: "apps", kind: "ControllerRevision",
  validate({ revision, data }) {
    const errors: FieldError[] = [];
    checkNonNegative(errors, "revision", revision);
    if (data === undefined || data === null) errors.push(field.required("data", "data is mandatory"));
    else if (typeof data !== "object" || Array.isArray(data)) errors.push(field.required("data", "data must be a valid JSON object"));
    return errors;
  },
  validateUpdate({ data }, { data: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "data", data, old);
    return errors;
  },
  printer: printer(
    nameColumn(),
    text("Controller", controllerOf, "Controller of the object"),
    integer("Revision", ({ revision }) => revision ?? 0, "Which state in its history this is."),
    ageColumn(),
  ),
});

function controllerOf({ metadata }: ControllerRevision): string {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller);
  if (!owner) return "<none>";
  const group = owner.apiVersion.includes("/") ? `.${owner.apiVersion.split("/")[0]}` : "";
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}
