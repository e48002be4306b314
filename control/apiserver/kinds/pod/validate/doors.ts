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
  podLevelErrors(spec.resources, before.resources, errors);
  for (const name of ["containers", "initContainers"] as const) {
    for (const [index, container] of (before[name] ?? []).entries()) containerErrors({ name, index }, spec[name]?.[index] as Container, container, errors);
  }
  return errors;
}

function orderErrors(name: "containers" | "initContainers", containers: readonly Container[], before: readonly Container[]): FieldError[] {
  if (containers.length !== before.length) return [field.forbidden(`spec.${name}`, `${name} may not be added or removed on resize`)];
  return before.flatMap((container, index) => (containers[index]?.name === container.name ? [] : [field.forbidden(`spec.${name}[${index}].name`, `${name} may not be renamed or reordered on resize`)]));
}

function podLevelErrors(resources: ResourceRequirements | undefined, before: ResourceRequirements | undefined, errors: FieldError[]): void {
  if (!resources && !before) return;
  if (before && !resources) return void errors.push(field.forbidden("spec.resources", "pod-level resources cannot be removed"));
  for (const side of ["requests", "limits"] as const) {
    if (isAnyGone(resources?.[side], before?.[side])) errors.push(field.forbidden(`spec.resources.${side}`, `pod-level resource ${side} cannot be removed`));
  }
  if (!isEqual(withoutCompute(resources), withoutCompute(before))) errors.push(field.forbidden("spec", "only cpu and memory resources are mutable at pod-level"));
}

function containerErrors({ name, index }: { name: "containers" | "initContainers"; index: number }, container: Container, before: Container, errors: FieldError[]): void {
  const path = `spec.${name}[${index}]`;
  for (const side of ["requests", "limits"] as const) {
    if (isAnyGone(container.resources?.[side], before.resources?.[side])) errors.push(field.forbidden(`${path}.resources.${side}`, `resource ${side} cannot be removed`));
  }
  const isInit = name === "initContainers";
  if (!isEqual(withoutCompute(container.resources), withoutCompute(before.resources))) errors.push(isInit ? field.forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable") : field.forbidden("spec", "only cpu and memory resources are mutable"));
  // One that runs to its end would have to begin again.
  const restarts = container.resizePolicy?.some(({ restartPolicy }) => restartPolicy === "RestartContainer");
  if (isInit && before.restartPolicy !== "Always" && restarts && !isEqual(container.resources, before.resources)) errors.push(field.forbidden(path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"));
}

function isAnyGone(list: Record<string, string> | undefined, before: Record<string, string> | undefined): boolean {
  return Object.keys(before ?? {}).some((name) => list?.[name] === undefined);
}

function withoutCompute(resources: ResourceRequirements | undefined): unknown {
  return { claims: resources?.claims, requests: others(resources?.requests), limits: others(resources?.limits) };
}

function others(list: Record<string, string> | undefined): unknown {
  return Object.entries(list ?? {}).filter(([name]) => name !== "cpu" && name !== "memory").sort();
}
