// Defaults that only a pod itself gets, not a template: requests from limits, service links, host ports.
import type { Container, Pod, PodSpec } from "../../../../api/types.ts";
import { aggregateResources, type ResourceList } from "../../../../api/podresources.ts";
import { defaultPodSpec } from "./spec-defaults.ts";

/** Sets what a pod implies. Idempotent; mutates. */
export function defaultPod(pod: Pod): void {
  const { spec, status } = pod;
  if (status) keepAddressesInStep(status);
  if (!spec) return;
  defaultPodSpec(spec);
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  for (const container of containers) requestLimits(container);
  defaultPodResources(spec);
  spec.enableServiceLinks ??= true;
  if (spec.hostNetwork) for (const container of containers) for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
}

/** The one address is the first of the many; where they differ the one is meant, as older clients know no other. */
function keepAddressesInStep(status: NonNullable<Pod["status"]>): void {
  const { podIP, podIPs } = status;
  const first = podIPs?.[0]?.ip;
  if (podIP && podIP !== first) status.podIPs = [{ ip: podIP }];
  else if (first) status.podIP = first;
}

function requestLimits({ resources }: Container): void {
  if (!resources?.limits) return;
  resources.requests = { ...resources.limits, ...resources.requests };
}

/** With pod-level limits, pod-level requests are what the containers ask for together, and else the limits. */
function defaultPodResources(spec: PodSpec): void {
  const { resources } = spec;
  if (!resources) return;
  const hasAny = Object.keys(resources.limits ?? {}).length + Object.keys(resources.requests ?? {}).length > 0;
  if (hasAny) defaultHugePageLimits(spec);
  if (Object.keys(resources.limits ?? {}).length === 0) return;
  const requests: ResourceList = { ...resources.requests };
  for (const [name, amount] of Object.entries(aggregateResources(spec, "requests"))) if (name === "cpu" || name === "memory") requests[name] ??= amount;
  for (const [name, amount] of Object.entries(resources.limits ?? {})) if (isPodLevel(name)) requests[name] ??= amount;
  if (Object.keys(requests).length > 0) resources.requests = requests;
}

function defaultHugePageLimits(spec: PodSpec): void {
  const resources = spec.resources as { limits?: ResourceList; requests?: ResourceList };
  for (const [name, amount] of Object.entries(aggregateResources(spec, "limits"))) {
    if (!name.startsWith("hugepages-") || resources.requests?.[name] !== undefined) continue;
    resources.limits = { [name]: amount, ...resources.limits };
  }
}

function isPodLevel(name: string): boolean {
  return name === "cpu" || name === "memory" || name.startsWith("hugepages-");
}
