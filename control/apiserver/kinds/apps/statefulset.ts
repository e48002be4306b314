// StatefulSets: ordered pods with claims of their own; most of the spec is for life.
import { field, type FieldError } from "../../../../api/errors.ts";
import { matcherOf } from "../../../../api/selectors.ts";
import type { PodTemplateSpec, StatefulSet } from "../../../../api/types.ts";
import { checkClaimSpec } from "../core/claim-spec.ts";
import { define } from "../define.ts";
import { defaultPodSpec } from "../pod/spec-defaults.ts";
import { warnOfTemplate } from "../pod/warnings.ts";
import { ageColumn, nameColumn, printer, text } from "../print/columns.ts";
import { containerColumns } from "../print/format.ts";
import { check, dnsLabel, forPrefix } from "../validation/names.ts";
import { amountOf, checkAtMost100Percent, checkIntOrPercent, checkNonNegative, isEqual } from "../validation/values.ts";
import { statusErrors } from "./status.ts";
import { checkWorkload } from "./template.ts";

type Spec = NonNullable<StatefulSet["spec"]>;
const RETENTION = ["Retain", "Delete"];
const MUTABLE = ["replicas", "template", "updateStrategy", "minReadySeconds", "ordinals", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy"] as const;

export const statefulSetStrategy = define<StatefulSet>({
  group: "apps", kind: "StatefulSet",
  applyDefaults({ spec }) {
    if (!spec) return;
    const strategy = (spec.updateStrategy = { ...spec.updateStrategy });
    if (!strategy.type) {
      strategy.type = "RollingUpdate";
      strategy.rollingUpdate ??= {};
    }
    if (strategy.type === "RollingUpdate" && strategy.rollingUpdate) strategy.rollingUpdate = { partition: 0, ...strategy.rollingUpdate };
    for (const claim of spec.volumeClaimTemplates ?? []) {
      claim.apiVersion ??= "v1";
      claim.kind ??= "PersistentVolumeClaim";
      if (claim.spec) claim.spec.volumeMode ??= "Filesystem";
      claim.status ??= {};
      claim.status.phase ??= "Pending";
    }
    defaultPodSpec(spec.template?.spec);
  },
  prepareForCreate: ({ spec }, context) => warnOfTemplate(spec?.template, context),
  prepareForUpdate: ({ spec }, old, context) => warnOfTemplate(spec?.template, context, { old: old.spec?.template }),
  validateName: forPrefix(dnsLabel),
  validate: ({ spec }) => specErrors(spec),
  validateUpdate({ spec }, { spec: old }) {
    const frozen = { ...spec };
    for (const name of MUTABLE) Object.assign(frozen, { [name]: old?.[name] });
    if (isEqual(frozen, old)) return [];
    return [field.forbidden("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden")];
  },
  subresources: {
    status: { validateUpdate: ({ status }, { status: old }) => statusErrors(status, old, { counts: ["replicas"], parts: ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"], ready: "status.readyReplicas" }) },
  },
  scale: {
    replicas: ({ spec }) => spec?.replicas ?? 0,
    statusReplicas: ({ status }) => status?.replicas ?? 0,
    selector: ({ spec }) => matcherOf(spec?.selector).toString(),
    setReplicas: ({ spec }, replicas) => void ((spec as Spec).replicas = replicas),
  },
  printer: printer(
    nameColumn(),
    text("Ready", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 0}`, "Number of the pod with ready state"),
    ageColumn(),
    ...containerColumns<StatefulSet>(({ spec }) => spec?.template),
  ),
});

function specErrors(spec: Spec | undefined): FieldError[] {
  if (!spec) return [field.required("spec")];
  const errors: FieldError[] = [];
  const { podManagementPolicy = "", persistentVolumeClaimRetentionPolicy: retention, volumeClaimTemplates = [], ordinals, serviceName } = spec;
  if (podManagementPolicy === "") errors.push(field.required("spec.podManagementPolicy"));
  else if (!["OrderedReady", "Parallel"].includes(podManagementPolicy)) errors.push(field.invalid("spec.podManagementPolicy", podManagementPolicy, "must be 'OrderedReady' or 'Parallel'"));
  strategyErrors(spec.updateStrategy, errors);
  for (const name of ["whenDeleted", "whenScaled"] as const) {
    const value = retention?.[name];
    if (value !== undefined && !RETENTION.includes(value)) errors.push(field.notSupported(`spec.persistentVolumeClaimRetentionPolicy.${name}`, value, RETENTION));
  }
  for (const [index, claim] of volumeClaimTemplates.entries()) checkClaimSpec(errors, `spec.volumeClaimTemplates[${index}].spec`, claim.spec);
  checkNonNegative(errors, "spec.replicas", spec.replicas);
  checkNonNegative(errors, "spec.minReadySeconds", spec.minReadySeconds);
  checkNonNegative(errors, "spec.ordinals.start", ordinals?.start);
  if (serviceName) check(errors, "spec.serviceName", serviceName, dnsLabel);
  checkWorkload(errors, { selector: spec.selector, template: withClaims(spec), kind: "StatefulSet", word: "statefulset" });
  return errors;
}

function strategyErrors({ type = "", rollingUpdate }: NonNullable<Spec["updateStrategy"]> = {}, errors: FieldError[]): void {
  const path = "spec.updateStrategy";
  if (type === "") return void errors.push(field.required(path));
  if (type === "OnDelete") {
    if (rollingUpdate) errors.push(field.invalid(`${path}.rollingUpdate`, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'"));
    return;
  }
  if (type !== "RollingUpdate") return void errors.push(field.invalid(path, { type }, "must be 'RollingUpdate' or 'OnDelete'"));
  if (!rollingUpdate) return;
  checkNonNegative(errors, `${path}.rollingUpdate.partition`, rollingUpdate.partition);
  const { maxUnavailable } = rollingUpdate;
  if (maxUnavailable === undefined) return;
  checkIntOrPercent(errors, `${path}.rollingUpdate.maxUnavailable`, maxUnavailable);
  if (amountOf(maxUnavailable) === 0) errors.push(field.invalid(`${path}.rollingUpdate.maxUnavailable`, maxUnavailable, "cannot be 0"));
  checkAtMost100Percent(errors, `${path}.rollingUpdate.maxUnavailable`, maxUnavailable);
}

/** The template as its pods will be: with a volume for every claim. */
function withClaims({ template, volumeClaimTemplates = [] }: Spec): PodTemplateSpec {
  if (!template?.spec || volumeClaimTemplates.length === 0) return template ?? {};
  const names = volumeClaimTemplates.map(({ metadata }) => metadata?.name ?? "");
  const claims = names.map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
  const others = (template.spec.volumes ?? []).filter(({ name }) => !names.includes(name));
  return { ...template, spec: { ...template.spec, volumes: [...claims, ...others] } };
}
