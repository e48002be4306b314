// ReplicaSets, and ReplicationControllers, their ancestors with a plain map for a selector.
import { field, type FieldError } from "../../../../api/errors.ts";
import { formatLabelSelector, matcherOf, matcherOfLabels } from "../../../../api/selectors.ts";
import type { ReplicaSet, ReplicationController } from "../../../../api/types.ts";
import { define } from "../define.ts";
import { defaultPodSpec } from "../pod/spec-defaults.ts";
import { checkPodTemplate } from "../pod/validate/template.ts";
import { warnOfTemplate } from "../pod/warnings.ts";
import { ageColumn, integer, nameColumn, printer, text, wide, type ColumnOf } from "../print/columns.ts";
import { containerColumns, formatLabels } from "../print/format.ts";
import { checkImmutable, checkNonNegative } from "../validation/values.ts";
import { warnOfDottedName } from "../validation/warnings.ts";
import { statusErrors } from "./status.ts";
import { checkAlwaysRestarts, checkWorkload } from "./template.ts";

const STATUS = { counts: ["replicas", "terminatingReplicas"], parts: ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] };

type Replicated = ReplicaSet | ReplicationController;

const countColumns = <T extends Replicated>(): ColumnOf<T>[] => [
  nameColumn(),
  integer("Desired", ({ spec }) => spec?.replicas ?? 0, "How many pods there should be."),
  integer("Current", ({ status }) => status?.replicas ?? 0, "How many pods there are."),
  integer("Ready", ({ status }) => status?.readyReplicas ?? 0, "How many pods are ready."),
  ageColumn(),
  ...containerColumns<T>(({ spec }) => spec?.template),
];

export const replicaSetStrategy = define<ReplicaSet>({
  group: "apps", kind: "ReplicaSet",
  applyDefaults({ spec }) {
    if (!spec) return;
    spec.replicas ??= 1;
    defaultPodSpec(spec.template?.spec);
  },
  prepareForCreate(set, context) {
    warnOfDottedName(set, context);
    warnOfTemplate(set.spec?.template, context);
  },
  prepareForUpdate: (set, old, context) => warnOfTemplate(set.spec?.template, context, { old: old.spec?.template }),
  validate({ spec }) {
    if (!spec) return [field.required("spec")];
    const errors: FieldError[] = [];
    checkNonNegative(errors, "spec.replicas", spec.replicas);
    checkNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
    checkWorkload(errors, { selector: spec.selector, template: spec.template ?? {}, kind: "ReplicaSet", word: "deployment" });
    return errors;
  },
  validateUpdate({ spec }, { spec: old }) {
    const errors: FieldError[] = [];
    checkImmutable(errors, "spec.selector", spec?.selector, old?.selector);
    return errors;
  },
  subresources: { status: { validateUpdate: ({ status }, { status: old }) => statusErrors(status, old, STATUS) } },
  selectableFields: ({ status }) => ({ "status.replicas": String(status?.replicas ?? 0) }),
  scale: {
    replicas: ({ spec }) => spec?.replicas ?? 0,
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => matcherOf(spec?.selector).toString(),
    setReplicas: ({ spec }, replicas) => void (spec && (spec.replicas = replicas)),
  },
  printer: printer(...countColumns<ReplicaSet>(), wide(text("Selector", ({ spec }) => formatLabelSelector(spec?.selector), "Which pods belong to it."))),
});

export const replicationControllerStrategy = define<ReplicationController>({
  group: "", kind: "ReplicationController",
  applyDefaults({ metadata, spec }) {
    if (!spec) return;
    spec.replicas ??= 1;
    defaultPodSpec(spec.template?.spec);
    const labels = spec.template?.metadata?.labels;
    if (!labels) return;
    if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
    if (Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
  },
  prepareForCreate(controller, context) {
    warnOfDottedName(controller, context);
    warnOfTemplate(controller.spec?.template, context);
  },
  prepareForUpdate: (controller, old, context) => warnOfTemplate(controller.spec?.template, context, { old: old.spec?.template }),
  validate: ({ spec }) => controllerErrors(spec ?? {}),
  subresources: { status: { validateUpdate: ({ status }, { status: old }) => statusErrors(status, old, STATUS) } },
  defaultPropagation: "Orphan",
  selectableFields: ({ status }) => ({ "status.replicas": String(status?.replicas ?? 0) }),
  scale: {
    replicas: ({ spec }) => spec?.replicas ?? 0,
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => matcherOfLabels(spec?.selector).toString(),
    setReplicas: ({ spec }, replicas) => void (spec && (spec.replicas = replicas)),
  },
  printer: printer(...countColumns<ReplicationController>(), wide(text("Selector", ({ spec }) => formatLabels(spec?.selector), "Which pods belong to it."))),
});

function controllerErrors({ minReadySeconds, replicas, selector = {}, template }: NonNullable<ReplicationController["spec"]>): FieldError[] {
  const errors: FieldError[] = [];
  checkNonNegative(errors, "spec.minReadySeconds", minReadySeconds);
  const hasSelector = Object.keys(selector).length > 0;
  if (!hasSelector) errors.push(field.required("spec.selector"));
  if (replicas === undefined) errors.push(field.required("spec.replicas"));
  else checkNonNegative(errors, "spec.replicas", replicas);
  if (!template) return [...errors, field.required("spec.template")];
  const labels = template.metadata?.labels;
  if (hasSelector && !matcherOfLabels(selector).matches(labels ?? {})) errors.push(field.invalid("spec.template.metadata.labels", labels ?? {}, "`selector` does not match template `labels`"));
  checkPodTemplate(errors, "spec.template", template);
  checkAlwaysRestarts(errors, template, "ReplicationController");
  return errors;
}
