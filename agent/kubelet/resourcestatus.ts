// What a pod as a whole has been granted and what it really has, as its status shows both. Pure.
// Upstream reads the second off the pod's cgroup; here it is what was last written there.
import { podResources, type ResourceList } from "../../api/podresources.ts";
import type { Container, Pod, PodSpec, PodStatus, ResourceRequirements } from "../../api/types.ts";
import { latest, type ObservedPod } from "./observed.ts";
import type { PodPhase } from "./phase.ts";
import { podLimit } from "./qos.ts";

export interface ResourceStatusInput {
  /** As granted. */
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly phase: PodPhase;
  readonly actuated: (containerId: string) => ResourceRequirements | undefined;
  readonly actuatedPod: ResourceRequirements | undefined;
}

const ENFORCED = ["cpu", "memory"] as const;

/** `resources` and `allocatedResources` of the pod's status. */
export function resourceStatus(input: ResourceStatusInput): Pick<PodStatus, "resources" | "allocatedResources"> {
  const { pod } = input;
  if (!pod.spec) return {};
  const allocated = podResources(pod.spec, "requests");
  const resources = input.phase === "Running" ? actualResources(input, pod.spec) : listed(allocated, podResources(pod.spec, "limits"));
  return { resources, ...(isEmpty(allocated) ? {} : { allocatedResources: allocated }) };
}

/** Only what a running pod's cgroup tells of: cpu and memory, limits where every container has one. */
function actualResources(input: ResourceStatusInput, { resources: own, ...spec }: PodSpec): NonNullable<PodStatus["resources"]> {
  const held = (container: Container): Container => {
    const record = latest(input.observed, container.name);
    const resources = record?.state === "running" ? input.actuated(record.id) : undefined;
    return resources ? { ...container, resources } : container;
  };
  const podLevel = input.actuatedPod ?? own;
  const actual: PodSpec = { ...spec, ...(podLevel && { resources: podLevel }), containers: spec.containers.map(held), ...(spec.initContainers && { initContainers: spec.initContainers.map(held) }) };
  const [requests, limits] = [podResources(actual, "requests"), podResources(actual, "limits")];
  const isLimited = (name: "cpu" | "memory"): boolean => podLimit({ ...input.pod, spec: actual }, name) !== undefined;
  return listed(
    { ...podLevel?.requests, ...only(requests, ENFORCED) },
    { ...podLevel?.limits, ...only(limits, ENFORCED.filter(isLimited)) },
  );
}

function only(list: Readonly<ResourceList>, names: readonly string[]): ResourceList {
  return Object.fromEntries(Object.entries(list).filter(([name]) => names.includes(name)));
}

function listed(requests: ResourceList, limits: ResourceList): NonNullable<PodStatus["resources"]> {
  return { ...(!isEmpty(limits) && { limits }), ...(!isEmpty(requests) && { requests }) };
}

const isEmpty = (list: object): boolean => Object.keys(list).length === 0;
