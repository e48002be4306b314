// Quality of service and resource figures of a pod, as upstream derives them from requests and limits. Pure.
import { parseQuantity, milliValue, wholeValue } from "../../api/quantity.ts";
import type { Container, Pod, ResourceRequirements } from "../../api/types.ts";
import { isSidecar } from "./observed.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

/** The class of service: Guaranteed when every container limits cpu and memory to what it requests. */
export function qosClass(pod: Pod): QosClass {
  const podLevel = pod.spec?.resources;
  if (podLevel && (podLevel.requests || podLevel.limits)) return classOf([podLevel]);
  return classOf([...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((container) => container.resources ?? {}));
}

function classOf(all: readonly ResourceRequirements[]): QosClass {
  let isAny = false;
  let isGuaranteed = true;
  for (const { requests = {}, limits = {} } of all) {
    for (const name of ["cpu", "memory"]) {
      const request = nonZero(requests[name]);
      const limit = nonZero(limits[name]);
      if (request || limit) isAny = true;
      if (!limit || (request && parseQuantity(request).nano !== parseQuantity(limit).nano)) isGuaranteed = false;
    }
  }
  if (!isAny) return "BestEffort";
  return isGuaranteed ? "Guaranteed" : "Burstable";
}

function nonZero(quantity: string | undefined): string | undefined {
  return quantity !== undefined && parseQuantity(quantity).nano !== 0n ? quantity : undefined;
}

/** Thousandths of a core; 0 when absent. */
export const milliCpu = (list: Record<string, string> | undefined): number => (list?.["cpu"] === undefined ? 0 : milliValue(parseQuantity(list["cpu"])));

/** Bytes (or another whole amount); 0 when absent. */
export const amount = (list: Record<string, string> | undefined, name: string): number => (list?.[name] === undefined ? 0 : wholeValue(parseQuantity(list[name])));

/** What one container asks for: its request, or its limit where it has no request. */
export function requestOf(container: Container, name: string): number {
  const { requests, limits } = container.resources ?? {};
  const list = requests?.[name] === undefined ? limits : requests;
  return name === "cpu" ? milliCpu(list) : amount(list, name);
}

/** What the whole pod asks for: the larger of its long-running containers together and each init container in its turn. */
export function podRequest(pod: Pod, name: string): number {
  const podLevel = pod.spec?.resources?.requests?.[name];
  const overhead = name === "cpu" ? milliCpu(pod.spec?.overhead) : amount(pod.spec?.overhead, name);
  if (podLevel !== undefined) return (name === "cpu" ? milliCpu({ cpu: podLevel }) : amount({ [name]: podLevel }, name)) + overhead;
  return aggregate(pod, (container) => requestOf(container, name)) + overhead;
}

/** The pod's limit; undefined when any container has none. */
export function podLimit(pod: Pod, name: "cpu" | "memory"): number | undefined {
  const read = (list: Record<string, string> | undefined): number => (name === "cpu" ? milliCpu(list) : amount(list, name));
  const podLevel = read(pod.spec?.resources?.limits);
  if (podLevel > 0) return podLevel;
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  if (all.some((container) => read(container.resources?.limits) === 0)) return undefined;
  return aggregate(pod, (container) => read(container.resources?.limits)) + read(pod.spec?.overhead);
}

function aggregate(pod: Pod, figure: (container: Container) => number): number {
  let running = 0;
  let peak = 0;
  for (const container of pod.spec?.initContainers ?? []) {
    if (isSidecar(container)) running += figure(container);
    else peak = Math.max(peak, running + figure(container));
  }
  for (const container of pod.spec?.containers ?? []) running += figure(container);
  return Math.max(running, peak);
}
