// Which services a pod stands behind, and what of a pod a service publishes: shared by EndpointSlices and Endpoints.
import { keyOf, type Informer } from "../../../api/client/informer.ts";
import { matcherOfLabels } from "../../../api/selectors.ts";
import type { Pod, Service, ServicePort, Stored } from "../../../api/types.ts";
import type { ControllerDeps } from "../controller.ts";
import { POD, SERVICE } from "../kinds.ts";
import { isFinished, isReady } from "../pods.ts";
import { isSame } from "../template.ts";

/** Services by one pair of their selector, so that a pod finds its services without looking at all of them. */
const SELECTOR_INDEX = "selector";

/** The caches both controllers read. */
export interface ServicePods {
  readonly services: Informer<Service>;
  readonly pods: Informer<Pod>;
}

/** Asks for the caches and calls `enqueue` with the key of every service a change may matter to. */
export function watchServicePods({ informers }: ControllerDeps, enqueue: (key: string) => void): ServicePods {
  const services = informers.for<Service>(SERVICE);
  const pods = informers.for<Pod>(POD);
  services.addIndex(SELECTOR_INDEX, (service) => {
    const pair = Object.entries(service.spec?.selector ?? {})[0];
    return pair ? [`${service.metadata.namespace}/${pair[0]}=${pair[1]}`] : [];
  });
  const enqueueService = (service: Stored<Service>): void => enqueue(keyOf(service));
  services.addHandler({ add: enqueueService, update: enqueueService, delete: enqueueService });
  const enqueueServicesOf = (pod: Stored<Pod>): void => servicesOf(services, pod).forEach(enqueueService);
  pods.addHandler({
    add: enqueueServicesOf,
    delete: enqueueServicesOf,
    update: (pod, old) => {
      const hasMoved = !isSame(pod.metadata.labels, old.metadata.labels);
      if (!hasMoved && !isPublishedDifferently(pod, old)) return;
      enqueueServicesOf(pod);
      if (hasMoved) enqueueServicesOf(old);
    },
  });
  return { services, pods };
}

/** The pods a service selects. */
export function podsOf({ pods }: ServicePods, service: Stored<Service>): Stored<Pod>[] {
  const matcher = matcherOfLabels(service.spec?.selector);
  return pods.lister.inNamespace(service.metadata.namespace ?? "").filter((pod) => matcher.matches(pod.metadata.labels));
}

/** Whether a service's endpoints are made here: it has a selector and is not a mere alias. */
export function hasManagedEndpoints(service: Service): boolean {
  return service.spec?.type !== "ExternalName" && service.spec?.selector !== undefined && service.spec.selector !== null;
}

/** Whether the pod has an address worth publishing: ready or not, but alive. */
export function canBeEndpoint(pod: Pod, includesTerminating: boolean): boolean {
  if (isFinished(pod) || addressesOf(pod).length === 0) return false;
  return includesTerminating || !pod.metadata.deletionTimestamp;
}

export function addressesOf(pod: Pod): readonly string[] {
  const { podIPs, podIP } = pod.status ?? {};
  const many = (podIPs ?? []).map(({ ip }) => ip).filter((ip): ip is string => Boolean(ip));
  return many.length > 0 ? many : podIP ? [podIP] : [];
}

export function isIPv6(address: string): boolean {
  return address.includes(":");
}

/** The pod's hostname, when the service is the subdomain it lives under. */
export function hostnameOf(pod: Pod, service: Service): string | undefined {
  const { hostname, subdomain } = pod.spec ?? {};
  return hostname && subdomain === service.metadata.name && pod.metadata.namespace === service.metadata.namespace ? hostname : undefined;
}

/** The port number a service port means on this pod; undefined when a named port is not there. */
export function targetPortOf(pod: Pod, port: ServicePort): number | undefined {
  const target = (port.targetPort as number | string | undefined) ?? port.port;
  if (typeof target === "number") return target;
  const sidecars = pod.spec?.initContainers?.filter((container) => container.restartPolicy === "Always") ?? [];
  for (const container of [...(pod.spec?.containers ?? []), ...sidecars]) {
    const found = container.ports?.find(({ name, protocol }) => name === target && (protocol ?? "TCP") === (port.protocol ?? "TCP"));
    if (found) return found.containerPort;
  }
  return undefined;
}

export function isHeadless(service: Service): boolean {
  const { clusterIP } = service.spec ?? {};
  return !clusterIP || clusterIP === "None";
}

function servicesOf(services: Informer<Service>, pod: Stored<Pod>): Stored<Service>[] {
  const { namespace, labels = {} } = pod.metadata;
  const candidates = Object.entries(labels).flatMap(([key, value]) => services.lister.byIndex(SELECTOR_INDEX, `${namespace}/${key}=${value}`));
  // An empty selector selects every pod and is under no pair.
  const selectingAll = services.lister.inNamespace(namespace ?? "").filter(({ spec }) => spec?.selector && Object.keys(spec.selector).length === 0);
  return [...candidates.filter((service) => matcherOfLabels(service.spec?.selector).matches(labels)), ...selectingAll];
}

function isPublishedDifferently(pod: Pod, old: Pod): boolean {
  return isReady(pod) !== isReady(old) || pod.spec?.nodeName !== old.spec?.nodeName || pod.status?.phase !== old.status?.phase
    || (pod.metadata.deletionTimestamp === undefined) !== (old.metadata.deletionTimestamp === undefined)
    || !isSame(addressesOf(pod), addressesOf(old));
}
