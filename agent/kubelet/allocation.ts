// What each pod has been granted of the node, and what its containers really have: kept on disk beside the pod.
// A resize is granted here when it fits; carrying it out is the plan's and `resize.ts`'s.
import { readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseQuantity } from "../../api/quantity.ts";
import type { Container, Pod, ResourceRequirements } from "../../api/types.ts";
import type { Paths } from "./paths.ts";
import { podRequest } from "./qos.ts";

/** Why a resize is not granted (yet), in the words of the PodResizePending condition. */
export interface Pending {
  readonly reason: "Deferred" | "Infeasible";
  readonly message: string;
}

interface Grant {
  /** By container name. */
  allocated: Record<string, ResourceRequirements>;
  /** By container id, with what the pod's own limits add. */
  readonly actuated: Record<string, ResourceRequirements>;
  /** Of the pod as a whole; absent for pods that say nothing of it. */
  allocatedPod?: ResourceRequirements | undefined;
  actuatedPod?: ResourceRequirements | undefined;
}

const RESIZABLE = ["cpu", "memory"] as const;

export class Allocations {
  readonly #grants = new Map<string, Grant>();

  constructor(readonly paths: Paths, readonly allocatable: () => Readonly<Record<string, string>>) {}

  /**
   * The pod with the resources it has been granted, which are those it asks for unless a resize must wait.
   * `others` are the pods that share the node with it, as granted.
   */
  async allocate(pod: Pod, others: readonly Pod[]): Promise<{ pod: Pod; pending: Pending | undefined; isNew: boolean }> {
    const uid = pod.metadata.uid ?? "";
    const grant = this.#grant(uid);
    const wanted = resourcesByName(pod);
    if (Object.keys(grant.allocated).length === 0) {
      grant.allocated = wanted;
      grant.allocatedPod = grant.actuatedPod = pod.spec?.resources;
      await this.#save(uid);
      return { pod, pending: undefined, isNew: false };
    }
    const granted = withResources(pod, grant);
    if (!isResized(pod.spec?.resources, grant.allocatedPod) && !allContainers(pod).some((container) => isResized(container.resources, grant.allocated[container.name]))) return { pod: granted, pending: undefined, isNew: false };
    const pending = misfit(pod, others, this.allocatable());
    if (pending) return { pod: granted, pending, isNew: false };
    grant.allocated = wanted;
    grant.allocatedPod = pod.spec?.resources;
    await this.#save(uid);
    return { pod, pending: undefined, isNew: true };
  }

  /** The pod as granted, without granting anything. */
  granted(pod: Pod): Pod {
    const grant = this.#grants.get(pod.metadata.uid ?? "");
    return grant && Object.keys(grant.allocated).length > 0 ? withResources(pod, grant) : pod;
  }

  /** What a running container really has; undefined when nobody noted it. */
  actuated(uid: string, containerId: string): ResourceRequirements | undefined {
    return this.#grant(uid).actuated[containerId];
  }

  /** Notes what a container has from now on. */
  async actuate(uid: string, containerId: string, resources: ResourceRequirements): Promise<void> {
    this.#grant(uid).actuated[containerId] = resources;
    await this.#save(uid);
  }

  /** What the pod as a whole really has. */
  actuatedPod(uid: string): ResourceRequirements | undefined {
    return this.#grant(uid).actuatedPod;
  }

  /** Notes what the pod as a whole has from now on. */
  async actuatePod(uid: string, resources: ResourceRequirements | undefined): Promise<void> {
    this.#grant(uid).actuatedPod = resources;
    await this.#save(uid);
  }

  forget(uid: string): void {
    this.#grants.delete(uid);
  }

  #grant(uid: string): Grant {
    const known = this.#grants.get(uid);
    if (known) return known;
    const grant = readGrant(this.#file(uid));
    this.#grants.set(uid, grant);
    return grant;
  }

  async #save(uid: string): Promise<void> {
    const file = this.#file(uid);
    await mkdir(dirname(file), { recursive: true, mode: 0o750 });
    await writeFile(`${file}.new`, JSON.stringify(this.#grant(uid)));
    await rename(`${file}.new`, file);
  }

  #file(uid: string): string {
    return join(this.paths.pod(uid), "allocation.json");
  }
}

function readGrant(file: string): Grant {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Grant;
  } catch {
    return { allocated: {}, actuated: {} };
  }
}

const allContainers = (pod: Pod): Container[] => [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];

function resourcesByName(pod: Pod): Record<string, ResourceRequirements> {
  return Object.fromEntries(allContainers(pod).map((container) => [container.name, container.resources ?? {}]));
}

function withResources(pod: Pod, { allocated, allocatedPod }: Grant): Pod {
  const replaced = (container: Container): Container => {
    const granted = allocated[container.name];
    return granted && isResized(container.resources, granted) ? { ...container, resources: granted } : container;
  };
  const isPodResized = isResized(pod.spec?.resources, allocatedPod);
  if (!pod.spec || (!isPodResized && !allContainers(pod).some((container) => replaced(container) !== container))) return pod;
  const { resources, ...spec } = pod.spec;
  const own = isPodResized ? allocatedPod : resources;
  return { ...pod, spec: { ...spec, ...(own && { resources: own }), containers: spec.containers.map(replaced), ...(spec.initContainers && { initContainers: spec.initContainers.map(replaced) }) } };
}

/** What a container gets: the pod's own limits hold where it has none. */
export function effectiveResources(pod: Pod, container: Container): ResourceRequirements {
  const limits = { ...pod.spec?.resources?.limits, ...container.resources?.limits };
  return { ...container.resources, ...(Object.keys(limits).length > 0 && { limits }) };
}

/** Whether cpu or memory differ, by amount and not by spelling. */
export function isResized(wanted: ResourceRequirements | undefined, have: ResourceRequirements | undefined): boolean {
  return changedResources(wanted, have).length > 0;
}

/** Which of cpu and memory differ in request or limit. */
export function changedResources(wanted: ResourceRequirements | undefined, have: ResourceRequirements | undefined): ("cpu" | "memory")[] {
  return RESIZABLE.filter((name) => nano(wanted?.requests, name) !== nano(have?.requests, name) || nano(wanted?.limits, name) !== nano(have?.limits, name));
}

function nano(list: Record<string, string> | undefined, name: string): bigint {
  return parseQuantity(list?.[name] ?? "0").nano;
}

/** Why the pod as it is wanted does not fit beside the others; undefined when it does. */
function misfit(pod: Pod, others: readonly Pod[], allocatable: Readonly<Record<string, string>>): Pending | undefined {
  for (const name of RESIZABLE) {
    const requested = podRequest(pod, name);
    const capacity = podRequest({ metadata: {}, spec: { containers: [{ name: "", resources: { requests: { [name]: allocatable[name] ?? "0" } } }] } }, name);
    if (requested > capacity) return { reason: "Infeasible", message: `Node didn't have enough capacity: ${name}, requested: ${requested}, capacity: ${capacity}` };
    const used = others.reduce((sum, other) => sum + podRequest(other, name), 0);
    if (used + requested > capacity) return { reason: "Deferred", message: `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}` };
  }
  return undefined;
}
