// What the containers of a pod need together: those that run at once, or the hungriest step of starting up.
import { addQuantities, compareQuantities, formatQuantity, parseQuantity } from "./quantity.ts";
import type { PodSpec } from "./types.ts";

export type ResourceList = Record<string, string>;

/** Requests or limits of all containers together, pod-level resources and overhead left out. */
export function aggregateResources(spec: PodSpec, side: "requests" | "limits"): ResourceList {
  const total: ResourceList = {};
  for (const container of spec.containers ?? []) addResources(total, container.resources?.[side]);
  if (!spec.initContainers?.length) return total;
  const sidecars: ResourceList = {};
  const startUp: ResourceList = {};
  for (const container of spec.initContainers) {
    const own = container.resources?.[side];
    if (container.restartPolicy === "Always") {
      addResources(total, own);
      addResources(sidecars, own);
      raise(startUp, sidecars);
    } else {
      const step: ResourceList = { ...own };
      addResources(step, sidecars);
      raise(startUp, step);
    }
  }
  raise(total, startUp);
  return total;
}

/** Adds one list to another, in place. */
export function addResources(total: ResourceList, list: Readonly<ResourceList> | undefined): void {
  for (const name in list) {
    const amount = list[name] as string;
    const sofar = total[name];
    total[name] = sofar === undefined ? amount : formatQuantity(addQuantities(parseQuantity(sofar), parseQuantity(amount)));
  }
}

function raise(total: ResourceList, list: ResourceList): void {
  for (const name in list) {
    const amount = list[name] as string;
    const sofar = total[name];
    if (sofar === undefined || compareQuantities(parseQuantity(amount), parseQuantity(sofar)) > 0) total[name] = amount;
  }
}

/** What a pod as a whole asks for: pod-level resources where given, else its containers', with the overhead of its runtime. */
export function podResources(spec: PodSpec, side: "requests" | "limits"): ResourceList {
  const total = aggregateResources(spec, side);
  for (const [name, amount] of Object.entries(spec.resources?.[side] ?? {})) if (name === "cpu" || name === "memory" || name.startsWith("hugepages-")) total[name] = amount;
  // A limit that nobody set does not come into being by overhead.
  for (const [name, amount] of Object.entries(spec.overhead ?? {})) if (side === "requests" || total[name] !== undefined) addResources(total, { [name]: amount });
  return total;
}
