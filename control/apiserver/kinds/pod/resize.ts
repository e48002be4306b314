// The `resize` door of a pod: only resources of containers, and how they are resized, may pass.
import type { Container, Pod, PodSpec } from "../../../../api/types.ts";
import { keepIdentity } from "./identity.ts";

/** Puts back everything a resize may not touch; containers that differ in number or name are left for validation to refuse. */
export function keepAllButResources(pod: Pod, old: Pod): void {
  const { containers = [], initContainers = [], resources } = pod.spec as PodSpec;
  const before = old.spec as PodSpec;
  if (containers.length !== before.containers.length || initContainers.length !== (before.initContainers?.length ?? 0)) return;
  const spec: PodSpec = { ...before, containers: resized(containers, before.containers) };
  if (before.initContainers) spec.initContainers = resized(initContainers, before.initContainers);
  if (resources) spec.resources = resources;
  else delete spec.resources;
  pod.spec = spec;
  if (old.status) pod.status = old.status;
  keepIdentity(pod, old);
}

function resized(containers: readonly Container[], before: readonly Container[]): Container[] {
  if (containers.some(({ name }, index) => name !== before[index]?.name)) return [...containers];
  return before.map((container, index) => {
    const { resources, resizePolicy } = containers[index] as Container;
    const next: Container = { ...container };
    if (resources) next.resources = resources;
    else delete next.resources;
    if (resizePolicy) next.resizePolicy = resizePolicy;
    else delete next.resizePolicy;
    return next;
  });
}
