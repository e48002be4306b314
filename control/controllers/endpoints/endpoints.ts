// Publishes the pods behind every Service as the one Endpoints object older clients read.
// Rules: k8s.io/kubernetes/pkg/controller/endpoint.
import { keyOf, splitKey } from "../../../api/client/informer.ts";
import { WorkQueue } from "../../../api/client/workqueue.ts";
import { isNamespaceTerminating, isNotFound } from "../../../api/errors.ts";
import type { EndpointAddress, Endpoints, EndpointSubset, Pod, Service, Stored } from "../../../api/types.ts";
import { controllerOf, telling, type Controller, type ControllerDeps } from "../controller.ts";
import { ENDPOINTS } from "../kinds.ts";
import { isReady } from "../pods.ts";
import { isSame } from "../template.ts";
import { Pace } from "../pace.ts";
import { repackSubsets } from "./subsets.ts";
import { TriggerTimes, withTriggerTime } from "./triggertimes.ts";
import { addressesOf, canBeEndpoint, hasManagedEndpoints, hostnameOf, isHeadless, isIPv6, podsOf, targetPortOf, watchServicePods } from "./servicepods.ts";

/** Who it is to the API server, and what its objects carry. */
const NAME = "endpoint-controller";
const HEADLESS = "service.kubernetes.io/headless";
export const ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by";
const OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity";
const MAX_ADDRESSES = 1000;
/** The object is written as a whole: with a thousand addresses at most once a second. */
const MS_PER_ADDRESS = 1;
const MAX_PAUSE_MS = 1000;

type Ports = NonNullable<EndpointSubset["ports"]>;

export function endpointsController(deps: ControllerDeps): Controller {
  const client = deps.clientFor(NAME);
  const recorder = deps.recorderFor(NAME);
  const queue = new WorkQueue({ clock: deps.clock, backoff: { baseMs: 100, maxMs: 100_000 } });
  const caches = watchServicePods(deps, (key) => queue.add(key));
  const pace = new Pace(queue, deps.clock);
  const triggers = new TriggerTimes();
  const published = deps.informers.for<Endpoints>(ENDPOINTS);
  const enqueue = (endpoints: Stored<Endpoints>): void => queue.add(keyOf(endpoints));
  published.addHandler({ add: enqueue, update: enqueue, delete: enqueue });

  async function reconcile(key: string): Promise<void> {
    const service = caches.services.lister.get(key);
    const current = published.lister.get(key);
    if (!service) return removeLeftover(key, current);
    if (!hasManagedEndpoints(service) || pace.mustWait(key)) return;
    const pods = podsOf(caches, service);
    const due = endpointsOf(service, pods, current);
    if (current && isSame(current.subsets ?? [], due.subsets ?? []) && isSame(current.metadata.labels, due.metadata.labels) && isSame(current.metadata.annotations ?? {}, due.metadata.annotations ?? {})) return;
    const annotations = withTriggerTime(due.metadata.annotations, triggers.of(key, service, pods));
    const { annotations: _, ...metadata } = due.metadata;
    const wanted: Endpoints = { ...due, metadata: { ...metadata, ...(Object.keys(annotations).length > 0 && { annotations }) } };
    try {
      await (current ? client.update<Endpoints>(ENDPOINTS, wanted) : client.create<Endpoints>(ENDPOINTS, wanted));
      pace.wrote(key, Math.min(pods.length * MS_PER_ADDRESS, MAX_PAUSE_MS));
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      const [reason, message] = current ? ["FailedToUpdateEndpoint", `Failed to update endpoint ${key}`] : ["FailedToCreateEndpoint", `Failed to create endpoint for service ${key}`];
      recorder.event({ ...wanted, apiVersion: "v1", kind: "Endpoints" }, "Warning", reason as string, `${message}: ${(error as Error).message}`);
      throw error;
    }
  }

  /** The service is gone; what was made for it goes too, what somebody else made stays. */
  async function removeLeftover(key: string, current: Stored<Endpoints> | undefined): Promise<void> {
    pace.forget(key);
    triggers.forget(key);
    if (current?.metadata.labels?.[ENDPOINTS_MANAGED_BY] !== NAME) return;
    const { namespace, name } = splitKey(key);
    await client.delete(ENDPOINTS, { namespace, name }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
  return controllerOf({ name: "endpoints-controller", queue, informers: deps.informers, reconcile, subject: telling(deps, NAME, caches.services) });
}

/** What the Endpoints of a service should be; keeps annotations others put on it. */
export function endpointsOf(service: Stored<Service>, pods: readonly Stored<Pod>[], current?: Stored<Endpoints>): Endpoints {
  const { name, namespace, labels } = service.metadata;
  const { [HEADLESS]: _, ...own } = labels ?? {};
  const { [OVER_CAPACITY]: __, ...annotations } = current?.metadata.annotations ?? {};
  const { subsets, isTruncated } = truncate(subsetsOf(service, pods));
  return {
    apiVersion: "v1", kind: "Endpoints",
    metadata: {
      ...(current?.metadata ?? { name, namespace }),
      labels: { ...own, ...(isHeadless(service) && { [HEADLESS]: "" }), [ENDPOINTS_MANAGED_BY]: NAME },
      ...((isTruncated || Object.keys(annotations).length > 0) && { annotations: { ...annotations, ...(isTruncated && { [OVER_CAPACITY]: "truncated" }) } }),
    },
    subsets,
  };
}

function subsetsOf(service: Stored<Service>, pods: readonly Stored<Pod>[]): EndpointSubset[] {
  const publishesAll = service.spec?.publishNotReadyAddresses === true;
  return repackSubsets(pods.flatMap((pod) => {
    const address = canBeEndpoint(pod, publishesAll) ? addressOf(service, pod) : undefined;
    const ports = portsOf(service, pod);
    if (!address || (ports.length === 0 && (service.spec?.ports?.length || service.spec?.clusterIP !== "None"))) return [];
    return [publishesAll || isReady(pod) ? { addresses: [address], ports } : { notReadyAddresses: [address], ports }];
  }));
}

function addressOf(service: Stored<Service>, pod: Stored<Pod>): EndpointAddress | undefined {
  const { ipFamilies, clusterIP } = service.spec ?? {};
  const wantsIPv6 = ipFamilies?.length ? ipFamilies[0] === "IPv6" : isIPv6(clusterIP ?? "");
  const ip = addressesOf(pod).find((address) => isIPv6(address) === wantsIPv6);
  if (ip === undefined) return undefined;
  const hostname = hostnameOf(pod, service);
  const { name, namespace, uid } = pod.metadata;
  return { ip, ...(hostname && { hostname }), ...(pod.spec?.nodeName && { nodeName: pod.spec.nodeName }), targetRef: { kind: "Pod", namespace, name, uid } };
}

function portsOf(service: Service, pod: Pod): Ports {
  return (service.spec?.ports ?? []).flatMap((servicePort) => {
    const port = targetPortOf(pod, servicePort);
    const { name, protocol = "TCP", appProtocol } = servicePort;
    return port === undefined ? [] : [{ ...(name && { name }), port, protocol, ...(appProtocol && { appProtocol }) }];
  });
}

/** At most a thousand addresses, ready ones first: what is more belongs in EndpointSlices. */
function truncate(subsets: readonly EndpointSubset[]): { subsets: EndpointSubset[]; isTruncated: boolean } {
  if (subsets.reduce((total, subset) => total + addressCount(subset), 0) <= MAX_ADDRESSES) return { subsets: [...subsets], isTruncated: false };
  let room = MAX_ADDRESSES;
  const take = (addresses: readonly EndpointAddress[] | undefined): EndpointAddress[] => {
    const taken = (addresses ?? []).slice(0, room);
    room -= taken.length;
    return taken;
  };
  const ready = subsets.map(({ addresses }) => take(addresses));
  const cut = subsets.map(({ ports, notReadyAddresses }, index) => ({ addresses: ready[index] as EndpointAddress[], notReadyAddresses: take(notReadyAddresses), ...(ports && { ports }) }));
  return { isTruncated: true, subsets: cut.filter((subset) => addressCount(subset) > 0) };
}

function addressCount({ addresses, notReadyAddresses }: EndpointSubset): number {
  return (addresses?.length ?? 0) + (notReadyAddresses?.length ?? 0);
}
