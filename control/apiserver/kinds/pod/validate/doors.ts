// Rules for the other doors of a pod: ephemeral containers and resizing.
import { field, type FieldError } from "../../../../../api/errors.ts";
import type { Container, Pod, PodSpec, ResourceRequirements } from "../../../../../api/types.ts";
import { describeDifference } from "../../validation/diff.ts";
import { isEqual } from "../../validation/values.ts";
import { qosClass } from "../../../../../api/qos.ts";
import { validatePod } from "./pod.ts";

const MIRROR = "kubernetes.io/config.mirror";
const isMirror = ({ metadata }: Pod): boolean => metadata.annotations?.[MIRROR] !== undefined;

/** Ephemeral containers are only ever added. */
export function validateEphemeralContainers(pod: Pod, old: Pod): FieldError[] {
  if (isMirror(old)) return [field.forbidden("[]", "static pods do not support ephemeral containers")];
  const errors = validatePod(pod);
  const path = "spec.ephemeralContainers";
  for (const before of old.spec?.ephemeralContainers ?? []) {
    const next = pod.spec?.ephemeralContainers?.find(({ name }) => name === before.name);
    const quoted = JSON.stringify(before.name);
    if (!next) errors.push(field.forbidden(path, `existing ephemeral containers ${quoted} may not be removed\n`));
    else if (!isEqual(next, before)) errors.push(field.forbidden(path, `existing ephemeral containers ${quoted} may not be changed\n${describeDifference(before, next)}`));
  }
  return errors;
}

/** A resize changes CPU and memory, and never the class of service. */
export function validateResize(pod: Pod, old: Pod): FieldError[] {
  if (isMirror(old)) return [field.forbidden("[]", "static pods cannot be resized")];
  const spec = pod.spec as PodSpec;
  const before = old.spec as PodSpec;
  const errors = validatePod(pod);
  const order = [...orderErrors("containers", spec.containers ?? [], before.containers), ...orderErrors("initContainers", spec.initContainers ?? [], before.initContainers ?? [])];
  if (order.length > 0) return [...errors, ...order];
  if (qosClass(spec) !== (old.status?.qosClass ?? qosClass(before))) errors.push(field.invalid("spec", pod.status?.qosClass ?? "", "Pod QOS Class may not change as a result of resizing"));
  for (const name of ["containers", "initContainers"] as const) {
    for (const [index, container] of (before[name] ?? []).entries()) containerErrors(`spec.${name}[${index}]`, spec[name]?.[index] as Container, container, errors);
  }
  return errors;
}

function orderErrors(name: "containers" | "initContainers", containers: readonly Container[], before: readonly Container[]): FieldError[] {
  if (containers.length !== before.length) return [field.forbidden(`spec.${name}`, `${name} may not be added or removed on resize`)];
  return before.flatMap((container, index) => (containers[index]?.name === container.name ? [] : [field.forbidden(`spec.${name}[${index}].name`, `${name} may not be renamed or reordered on resize`)]));
}

function containerErrors(path: string, container: Container, before: Container, errors: FieldError[]): void {
  if (path.startsWith("spec.initContainers") && before.restartPolicy !== "Always") {
    if (!isEqual(container, before)) errors.push(field.forbidden("spec", "resources for non-sidecar init containers are immutable"));
    return;
  }
  for (const side of ["requests", "limits"] as const) {
    const isGone = Object.keys(before.resources?.[side] ?? {}).some((name) => container.resources?.[side]?.[name] === undefined);
    if (isGone) errors.push(field.forbidden(`${path}.resources.${side}`, `resource ${side} cannot be removed`));
  }
  if (!isEqual(withoutCompute(container.resources), withoutCompute(before.resources))) errors.push(field.forbidden("spec", "only cpu and memory resources are mutable"));
}

function withoutCompute(resources: ResourceRequirements | undefined): unknown {
  return { claims: resources?.claims, requests: others(resources?.requests), limits: others(resources?.limits) };
}

function others(list: Record<string, string> | undefined): unknown {
  return Object.entries(list ?? {}).filter(([name]) => name !== "cpu" && name !== "memory").sort();
}
