// What of a pod may change after it exists: images, a shorter deadline, more tolerations, fewer gates.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { Container, NodeSelectorTerm, Pod, PodSpec, Toleration } from "../../../../../api/types.ts";
import { describeDifference } from "../../validation/diff.ts";
import { isEqual } from "../../validation/values.ts";

const MIRROR = "kubernetes.io/config.mirror";
const MUTABLE = [
  "`spec.containers[*].image`", "`spec.initContainers[*].image`", "`spec.activeDeadlineSeconds`",
  "`spec.tolerations` (only additions to existing tolerations)", "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
];
const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";

/** What a new version of a pod may not change. */
export function validatePodUpdate(pod: Pod, old: Pod): FieldError[] {
  const errors: FieldError[] = mirrorErrors(pod, old);
  const spec = pod.spec as PodSpec;
  const before = old.spec as PodSpec;
  for (const name of ["containers", "initContainers"] as const) {
    if ((spec[name]?.length ?? 0) !== (before[name]?.length ?? 0)) return [...errors, field.forbidden(`spec.${name}`, "pod updates may not add or remove containers")];
  }
  if (isEqual(spec, before)) return errors;
  const deadline = deadlineError(spec, before);
  if (deadline) errors.push(deadline);
  tolerationErrors(spec, before, errors);
  gateErrors(spec, before, errors);
  const isGated = (before.schedulingGates?.length ?? 0) > 0;
  if (isGated) placementErrors(spec, before, errors);
  const rest = withoutMutable(spec, before, isGated);
  if (!isEqual(rest, before)) errors.push(field.forbidden("spec", `pod updates may not change fields other than ${MUTABLE.join(",")}\n${describeDifference(before, rest)}`));
  return errors;
}

/** Whether a pod is the API's picture of a static pod can never change. */
export function mirrorErrors({ metadata }: Pod, { metadata: old }: Pod): FieldError[] {
  if (metadata.annotations?.[MIRROR] === old.annotations?.[MIRROR]) return [];
  return [field.forbidden(`metadata.annotations[${MIRROR}]`, "may not add, remove or update mirror pod annotation")];
}

function deadlineError({ activeDeadlineSeconds: next }: PodSpec, { activeDeadlineSeconds: old }: PodSpec): FieldError | undefined {
  const path = "spec.activeDeadlineSeconds";
  if (next === undefined) return old === undefined ? undefined : field.invalid(path, next, "must not update from a positive integer to nil value");
  return old !== undefined && old < next ? field.invalid(path, next, "must be less than or equal to previous value") : undefined;
}

function tolerationErrors({ tolerations = [] }: PodSpec, { tolerations: old = [] }: PodSpec, errors: FieldError[]): void {
  const isKept = (toleration: Toleration): boolean => tolerations.some((next) => isEqual({ ...next, tolerationSeconds: undefined }, { ...toleration, tolerationSeconds: undefined }));
  if (!old.every(isKept)) errors.push(field.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"));
}

function gateErrors({ schedulingGates = [] }: PodSpec, { schedulingGates: old = [] }: PodSpec, errors: FieldError[]): void {
  for (const [index, { name }] of schedulingGates.entries()) {
    if (!old.some((gate) => gate.name === name)) errors.push(field.forbidden(`spec.schedulingGates[${index}].name`, `only deletion is allowed, but found new scheduling gate '${name}'`));
  }
}

/** A gated pod may still be told more precisely where to go. */
function placementErrors({ nodeSelector = {}, affinity }: PodSpec, old: PodSpec, errors: FieldError[]): void {
  const isNarrower = Object.entries(old.nodeSelector ?? {}).every(([key, value]) => nodeSelector[key] === value);
  if (!isNarrower) errors.push(field.invalid("spec.nodeSelector", nodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"));
  const before = old.affinity?.nodeAffinity?.[REQUIRED]?.nodeSelectorTerms ?? [];
  const terms = affinity?.nodeAffinity?.[REQUIRED]?.nodeSelectorTerms ?? [];
  const path = `spec.affinity.nodeAffinity.${REQUIRED}.nodeSelectorTerms`;
  if (before.length > 0 && before.length !== terms.length) return void errors.push(field.invalid(path, terms, "no additions/deletions to non-empty NodeSelectorTerms list are allowed"));
  for (const [index, term] of before.entries()) {
    if (!onlyAdds(terms[index] as NodeSelectorTerm, term)) errors.push(field.invalid(`${path}[${index}]`, terms[index], "only additions are allowed (no mutations or deletions)"));
  }
}

function onlyAdds(next: NodeSelectorTerm, old: NodeSelectorTerm): boolean {
  const isEmpty = !old.matchExpressions?.length && !old.matchFields?.length;
  if (isEmpty) return !next.matchExpressions?.length && !next.matchFields?.length;
  return (["matchExpressions", "matchFields"] as const).every((name) => {
    const before = old[name] ?? [];
    return isEqual((next[name] ?? []).slice(0, before.length), before);
  });
}

/** The new spec with everything that may change put back. */
function withoutMutable(spec: PodSpec, old: PodSpec, isGated: boolean): PodSpec {
  const rest: PodSpec = { ...spec, containers: withImagesOf(spec.containers, old.containers) };
  if (spec.initContainers) rest.initContainers = withImagesOf(spec.initContainers, old.initContainers ?? []);
  for (const name of ["activeDeadlineSeconds", "schedulingGates", "tolerations"] as const) Object.assign(rest, { [name]: old[name] });
  if ((old.terminationGracePeriodSeconds ?? 0) < 0 && spec.terminationGracePeriodSeconds === 1) rest.terminationGracePeriodSeconds = old.terminationGracePeriodSeconds;
  if (!isGated) return rest;
  rest.nodeSelector = old.nodeSelector;
  const affinity = { ...spec.affinity, nodeAffinity: old.affinity?.nodeAffinity };
  rest.affinity = Object.values(affinity).some((part) => part !== undefined) ? affinity : old.affinity;
  return rest;
}

function withImagesOf(containers: readonly Container[], old: readonly Container[]): Container[] {
  return containers.map((container, index) => ({ ...container, image: old[index]?.image }));
}
