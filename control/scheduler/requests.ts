// What a pod asks of a node, added up over its containers as the API defines it (KEP-753, pod-level resources).
// Amounts are plain numbers: CPU in thousandths, everything else in whole units.
import { milliValue, parseQuantity, wholeValue } from "../../api/quantity.ts";
import type { Container, Pod } from "../../api/types.ts";

export interface Resources {
  readonly milliCpu: number;
  readonly memory: number;
  readonly ephemeralStorage: number;
  /** Extended resources, huge pages and whatever else is named; undefined when there is none. */
  readonly scalar: ReadonlyMap<string, number> | undefined;
}

/** A pod's demand: what must fit, and what scores count, where a container that says nothing is taken to use something. */
export interface Demand {
  readonly requests: Resources;
  readonly nonZeroMilliCpu: number;
  readonly nonZeroMemory: number;
}

type ResourceList = Readonly<Record<string, string>>;
type Amounts = Map<string, number>;

const DEFAULT_MILLI_CPU = 100;
const DEFAULT_MEMORY = 200 * 1024 * 1024;
const POD_LEVEL = (name: string): boolean => name === "cpu" || name === "memory" || name.startsWith("hugepages-");

/** One amount of a resource in the unit this file uses; 0 for what cannot be read. */
export function amountOf(name: string, quantity: string): number {
  try {
    const parsed = parseQuantity(String(quantity));
    return name === "cpu" ? milliValue(parsed) : wholeValue(parsed);
  } catch {
    return 0;
  }
}

/** The demand of a pod as placed by a scheduler; a resize under way counts the larger of what is asked and what is held. */
export function demandOf(pod: Pod): Demand {
  const requests = podAmounts(pod, undefined);
  const nonZero = podAmounts(pod, { cpu: DEFAULT_MILLI_CPU, memory: DEFAULT_MEMORY });
  return { requests: resourcesOf(requests), nonZeroMilliCpu: nonZero.get("cpu") ?? 0, nonZeroMemory: nonZero.get("memory") ?? 0 };
}

/** What of a pod's status changes its demand: empty unless a container's actual resources differ from its spec's. */
export function resizeKey(pod: Pod): string {
  let key = podLevelKey(pod);
  for (const statuses of [pod.status?.containerStatuses, pod.status?.initContainerStatuses]) {
    for (const status of statuses ?? []) {
      if (!status.resources) continue;
      const held = JSON.stringify([status.resources.requests ?? {}, status.allocatedResources ?? status.resources.requests ?? {}]);
      const asked = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].find((c) => c.name === status.name)?.resources?.requests ?? {};
      if (held !== JSON.stringify([asked, asked])) key += `${status.name}=${held};`;
    }
  }
  return key === "" || !isResizeInfeasible(pod) ? key : `infeasible;${key}`;
}

function podLevelKey({ spec, status }: Pod): string {
  if (!spec?.resources?.requests || !status?.resources) return "";
  const held = JSON.stringify([status.resources.requests ?? {}, status.allocatedResources ?? {}]);
  return held === JSON.stringify([spec.resources.requests, spec.resources.requests]) ? "" : `pod=${held};`;
}

/** Node allocatable or a sum of requests in numbers; `pods` is left to the caller. */
export function resourcesOf(amounts: ReadonlyMap<string, number>): Resources {
  let scalar: Map<string, number> | undefined;
  for (const [name, amount] of amounts) {
    if (name === "cpu" || name === "memory" || name === "ephemeral-storage" || name === "pods") continue;
    (scalar ??= new Map()).set(name, amount);
  }
  return { milliCpu: amounts.get("cpu") ?? 0, memory: amounts.get("memory") ?? 0, ephemeralStorage: amounts.get("ephemeral-storage") ?? 0, scalar };
}

/** A resource list in numbers. */
export function amountsOf(list: ResourceList | undefined): Amounts {
  const amounts: Amounts = new Map();
  for (const name in list) amounts.set(name, amountOf(name, list[name] as string));
  return amounts;
}

function podAmounts(pod: Pod, missing: Readonly<Record<string, number>> | undefined): Amounts {
  const total: Amounts = new Map();
  const spec = pod.spec;
  if (!spec) return total;
  for (const container of spec.containers) add(total, containerAmounts(pod, container, missing));

  const sidecars: Amounts = new Map();
  const initPeak: Amounts = new Map();
  for (const container of spec.initContainers ?? []) {
    const own = containerAmounts(pod, container, missing);
    if (container.restartPolicy === "Always") {
      add(total, own);
      add(sidecars, own);
      raise(initPeak, sidecars);
    } else {
      add(own, sidecars);
      raise(initPeak, own);
    }
  }
  raise(total, initPeak);
  for (const [name, amount] of podLevelAmounts(pod)) if (POD_LEVEL(name)) total.set(name, amount);
  add(total, amountsOf(spec.overhead));
  return total;
}

/** While the pod as a whole is resized, the larger of what is asked and what is held. */
function podLevelAmounts(pod: Pod): Amounts {
  const asked = amountsOf(pod.spec?.resources?.requests);
  const held = asked.size > 0 ? pod.status?.resources?.requests : undefined;
  if (!held) return asked;
  const overhead = amountsOf(pod.spec?.overhead);
  const holding = [amountsOf(held), amountsOf(pod.status?.allocatedResources)];
  // What a status tells includes the overhead, which is added for all pods alike.
  const heldOf = (name: string): number[] => holding.map((amounts) => (amounts.get(name) ?? 0) - (overhead.get(name) ?? 0));
  for (const [name, amount] of asked) asked.set(name, Math.max(isResizeInfeasible(pod) ? 0 : amount, ...heldOf(name)));
  return asked;
}

function containerAmounts(pod: Pod, container: Container, missing: Readonly<Record<string, number>> | undefined): Amounts {
  const isResizable = container.restartPolicy === "Always" || !pod.spec?.initContainers?.includes(container);
  const status = isResizable ? statusOf(pod, container.name) : undefined;
  const amounts = status?.resources && isResizeInfeasible(pod) ? new Map<string, number>() : amountsOf(container.resources?.requests);
  if (status?.resources) {
    raise(amounts, amountsOf(status.resources.requests));
    raise(amounts, amountsOf(status.allocatedResources));
  }
  for (const name in missing) if (!amounts.has(name)) amounts.set(name, missing[name] as number);
  return amounts;
}

function statusOf(pod: Pod, name: string): { resources?: { requests?: ResourceList | undefined } | undefined; allocatedResources?: ResourceList | undefined } | undefined {
  return pod.status?.containerStatuses?.find((s) => s.name === name) ?? pod.status?.initContainerStatuses?.find((s) => s.name === name);
}

function isResizeInfeasible(pod: Pod): boolean {
  return pod.status?.conditions?.some((c) => c.type === "PodResizePending" && c.reason === "Infeasible") ?? false;
}

function add(into: Amounts, from: ReadonlyMap<string, number>): void {
  for (const [name, amount] of from) into.set(name, (into.get(name) ?? 0) + amount);
}

function raise(into: Amounts, to: ReadonlyMap<string, number>): void {
  for (const [name, amount] of to) if (amount > (into.get(name) ?? 0)) into.set(name, amount);
}
