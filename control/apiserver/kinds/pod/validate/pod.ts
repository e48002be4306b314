// Rules for a pod itself, beyond those for its spec: at creation, and of its annotations.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { Pod, PodSpec } from "../../../../../api/types.ts";
import { checkImageSpace } from "./containers.ts";
import { checkPodSpec } from "./spec.ts";

const MIRROR = "kubernetes.io/config.mirror";
const DELETION_COST = "controller.kubernetes.io/pod-deletion-cost";

/** Everything wrong with a pod, new or not. */
export function validatePod(pod: Pod): FieldError[] {
  const { metadata } = pod;
  const spec = pod.spec as PodSpec | undefined;
  const errors: FieldError[] = [];
  if (!spec) return [field.required("spec.containers")];
  annotationErrors(pod, errors);
  checkPodSpec(errors, "spec", spec, metadata);
  if (!spec.serviceAccountName) tokenErrors(spec, errors);
  for (const [index, container] of (spec.containers ?? []).entries()) checkImageSpace(errors, `spec.containers[${index}]`, container);
  for (const [index, container] of (spec.initContainers ?? []).entries()) checkImageSpace(errors, `spec.initContainers[${index}]`, container);
  return errors;
}

/** What only a new pod may not have. */
export function validatePodCreate({ spec }: Pod): FieldError[] {
  const errors: FieldError[] = [];
  if (spec?.ephemeralContainers?.length) errors.push(field.forbidden("spec.ephemeralContainers", "cannot be set on create"));
  if (spec?.nodeName && spec.schedulingGates?.length) errors.push(field.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  return errors;
}

function annotationErrors({ metadata: { annotations }, spec }: Pod, errors: FieldError[]): void {
  if (!annotations) return;
  if (annotations[MIRROR] !== undefined && !spec?.nodeName) errors.push(field.invalid(`metadata.annotations[${MIRROR}]`, annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set"));
  const cost = annotations[DELETION_COST];
  if (cost !== undefined && !/^(-?[1-9][0-9]{0,9}|0)$/.test(cost)) errors.push(field.invalid(`metadata.annotations[${DELETION_COST}]`, cost, "must be a 32bit integer"));
}

/** A token needs somebody it is for. */
function tokenErrors({ volumes }: PodSpec, errors: FieldError[]): void {
  for (const [index, { projected }] of (volumes ?? []).entries()) {
    for (const [at, { serviceAccountToken }] of (projected?.sources ?? []).entries()) {
      if (serviceAccountToken) errors.push(field.forbidden(`spec.volumes[${index}].projected.sources[${at}].serviceAccountToken`, "must not be specified when serviceAccountName is not set"));
    }
  }
}
