// Which EndpointSlices a service should have, and the fewest writes that get there. Pure.
// Rules: k8s.io/endpointslice/reconciler.go.
import type { Endpoint, EndpointSlice, Node, Pod, Service, Stored } from "../../../api/types.ts";
import { newControllerRef } from "../owners.ts";
import { SERVICE } from "../kinds.ts";
import { isReady } from "../pods.ts";
import { canonical, isSame } from "../template.ts";
import { topologyHints, wantsTopologyHints, ZONE, type ZoneShares } from "./topologyhints.ts";
import { addressesOf, hostnameOf, isHeadless, isIPv6, targetPortOf } from "./servicepods.ts";

export const SERVICE_NAME = "kubernetes.io/service-name";
export const MANAGED_BY = "endpointslice.kubernetes.io/managed-by";
export const SLICE_CONTROLLER = "endpointslice-controller.k8s.io";

const HEADLESS = "service.kubernetes.io/headless";
export const MAX_ENDPOINTS = 100;
const MAX_GENERATED_PREFIX = 253 - 5;
const RESERVED = new Set([SERVICE_NAME, MANAGED_BY, HEADLESS]);
const CLOSE = new Set(["PreferClose", "PreferSameZone", "PreferSameNode"]);

export type AddressType = "IPv4" | "IPv6";
type Ports = NonNullable<EndpointSlice["ports"]>;

/** The writes that make slices what they should be. */
export interface SlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly Stored<EndpointSlice>[];
  readonly delete: readonly Stored<EndpointSlice>[];
  /** By address type, where the service wants topology-aware routing: why it cannot be had, or that it can. */
  readonly routing: readonly { readonly type: AddressType; readonly problem: string | undefined }[];
}

type Writes = Omit<SlicePlan, "routing">;

/** One pod of a service, with the node it runs on where that is known. */
export interface Backend {
  readonly pod: Stored<Pod>;
  readonly node: Node | undefined;
}

/** A group of endpoints that listen on the same ports. */
interface Group {
  readonly ports: Ports;
  readonly endpoints: Map<string, Endpoint>;
}

/** Plans one service over all its address types; `existing` are the slices managed here. */
export function planSlices(service: Stored<Service>, backends: readonly Backend[], { existing, zones }: { existing: readonly Stored<EndpointSlice>[]; zones?: ZoneShares | undefined }): SlicePlan {
  const types = addressTypesOf(service);
  const routing: { type: AddressType; problem: string | undefined }[] = [];
  const plans = types.map((type) => {
    const groups = groupByPorts(service, type, backends);
    if (wantsTopologyHints(service)) routing.push({ type, problem: spreadOverZones(groups, zones) });
    return planType(service, type, { groups, existing: existing.filter((slice) => slice.addressType === type) });
  });
  const foreign = existing.filter((slice) => !types.includes(slice.addressType as AddressType));
  return {
    create: service.metadata.deletionTimestamp ? [] : plans.flatMap((plan) => plan.create),
    update: plans.flatMap((plan) => plan.update),
    delete: [...plans.flatMap((plan) => plan.delete), ...foreign],
    routing,
  };
}

/** Gives every ready endpoint the zone it is for; says why that cannot be. */
function spreadOverZones(groups: ReadonlyMap<string, Group>, zones: ZoneShares | undefined): string | undefined {
  const ready = [...groups].flatMap(([key, { endpoints }]) => [...endpoints].filter(([, endpoint]) => endpoint.conditions?.ready).map(([id, endpoint]) => ({ id: `${key}/${id}`, zone: endpoint.zone })));
  const hints = topologyHints(ready, zones);
  if (typeof hints === "string") return hints;
  for (const [key, { endpoints }] of groups) {
    for (const [id, endpoint] of endpoints) {
      const name = hints.get(`${key}/${id}`);
      if (name !== undefined) endpoints.set(id, { ...endpoint, hints: { forZones: [{ name }] } });
    }
  }
  return undefined;
}

/** Packs endpoints into as few changes of the slices of one port set as possible. */
export function packEndpoints(wanted: ReadonlyMap<string, Endpoint>, slices: readonly Stored<EndpointSlice>[], max: number): { changed: Map<Stored<EndpointSlice>, Endpoint[]>; fresh: Endpoint[][] } {
  const left = new Map(wanted);
  const contents = new Map<Stored<EndpointSlice>, Endpoint[]>();
  const changed = new Map<Stored<EndpointSlice>, Endpoint[]>();
  for (const slice of slices) {
    const kept = keptIn(slice, left);
    contents.set(slice, kept);
    if (!isSame(kept, slice.endpoints)) changed.set(slice, kept);
  }
  const fill = (endpoints: Endpoint[]): void => {
    for (const [id, endpoint] of left) {
      if (endpoints.length >= max) return;
      endpoints.push(endpoint);
      left.delete(id);
    }
  };
  for (const endpoints of [...changed.values()].filter(({ length }) => length > 0).sort((a, b) => b.length - a.length)) fill(endpoints);
  const fits = closestFit(slices.filter((slice) => !changed.has(slice)), left.size, max);
  if (fits) {
    const endpoints = [...(contents.get(fits) ?? [])];
    fill(endpoints);
    changed.set(fits, endpoints);
  }
  const fresh: Endpoint[][] = [];
  while (left.size > 0) {
    const endpoints: Endpoint[] = [];
    fill(endpoints);
    fresh.push(endpoints);
  }
  return { changed, fresh };
}

/** The labels of a service's slices: the service's own and the reserved ones. */
export function sliceLabels(service: Stored<Service>, managedBy: string): Record<string, string> {
  const own = Object.entries(service.metadata.labels ?? {}).filter(([key]) => !RESERVED.has(key));
  return { ...Object.fromEntries(own), ...(isHeadless(service) && { [HEADLESS]: "" }), [SERVICE_NAME]: service.metadata.name, [MANAGED_BY]: managedBy };
}

function planType(service: Stored<Service>, type: AddressType, { groups, existing }: { groups: ReadonlyMap<string, Group>; existing: readonly Stored<EndpointSlice>[] }): Writes {
  const ours = existing.filter((slice) => slice.metadata.ownerReferences?.some(({ uid }) => uid === service.metadata.uid));
  const byPorts = Map.groupBy(ours, (slice) => portKey(slice.ports ?? []));
  const toDelete = new Set(existing);
  const create: EndpointSlice[] = [];
  const update: Stored<EndpointSlice>[] = [];
  const labels = sliceLabels(service, SLICE_CONTROLLER);
  for (const [key, group] of groups) {
    const slices = byPorts.get(key) ?? [];
    const { changed, fresh } = packEndpoints(group.endpoints, slices, MAX_ENDPOINTS);
    for (const slice of slices) {
      const endpoints = changed.get(slice) ?? slice.endpoints ?? [];
      if (endpoints.length === 0) continue;
      toDelete.delete(slice);
      if (changed.has(slice) || !isSame(slice.metadata.labels, labels)) update.push({ ...slice, metadata: { ...slice.metadata, labels }, endpoints });
    }
    for (const endpoints of fresh) create.push(newSlice(service, { type, labels, ports: group.ports, endpoints }));
  }
  if (toDelete.size === existing.length && create.length === 0) {
    const placeholder = newSlice(service, { type, labels, ports: [], endpoints: [] });
    const standing = [...toDelete].find((slice) => toDelete.size === 1 && isPlaceholder(slice, placeholder));
    if (standing) toDelete.delete(standing);
    else create.push(placeholder);
  }
  return reuse({ create, update, delete: [...toDelete] }, ours);
}

/** A slice to be deleted and one to be created are one update. */
function reuse(plan: Writes, ours: readonly Stored<EndpointSlice>[]): Writes {
  const create = [...plan.create];
  const update = [...plan.update];
  const remaining: Stored<EndpointSlice>[] = [];
  for (const slice of plan.delete) {
    const replacement = ours.includes(slice) ? create.pop() : undefined;
    if (replacement) update.push({ ...slice, metadata: { ...slice.metadata, labels: replacement.metadata.labels }, endpoints: replacement.endpoints, ports: replacement.ports });
    else remaining.push(slice);
  }
  return { create, update, delete: remaining };
}

function groupByPorts(service: Stored<Service>, type: AddressType, backends: readonly Backend[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const backend of backends) {
    const endpoint = endpointOf(service, type, backend);
    const ports = portsOf(service, backend.pod);
    const key = portKey(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map<string, Endpoint>() };
    groups.set(key, group);
    if (endpoint) group.endpoints.set(backend.pod.metadata.uid, endpoint);
  }
  return groups;
}

function endpointOf(service: Stored<Service>, type: AddressType, { pod, node }: Backend): Endpoint | undefined {
  const addresses = addressesOf(pod).filter((address) => isIPv6(address) === (type === "IPv6"));
  if (addresses.length === 0) return undefined;
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const zone = node?.metadata.labels?.[ZONE] || undefined;
  const hostname = hostnameOf(pod, service);
  const hints = ready ? hintsOf(service, zone, pod.spec?.nodeName) : undefined;
  const { name, namespace, uid } = pod.metadata;
  return {
    addresses, conditions: { ready, serving, terminating },
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(pod.spec?.nodeName && { nodeName: pod.spec.nodeName }),
    ...(zone && { zone }), ...(hostname && { hostname }), ...(hints && { hints }),
  };
}

function hintsOf(service: Service, zone: string | undefined, nodeName: string | undefined): Endpoint["hints"] {
  const { trafficDistribution = "" } = service.spec ?? {};
  if (!CLOSE.has(trafficDistribution) || wantsTopologyHints(service)) return undefined;
  const forNodes = trafficDistribution === "PreferSameNode" && nodeName ? [{ name: nodeName }] : undefined;
  return zone || forNodes ? { ...(zone && { forZones: [{ name: zone }] }), ...(forNodes && { forNodes }) } : undefined;
}

function portsOf(service: Service, pod: Pod): Ports {
  return (service.spec?.ports ?? []).flatMap((servicePort) => {
    const port = targetPortOf(pod, servicePort);
    const { name = "", protocol = "TCP", appProtocol } = servicePort;
    return port === undefined ? [] : [{ name, port, protocol, ...(appProtocol && { appProtocol }) }];
  });
}

function portKey(ports: Ports): string {
  return ports.map(({ name = "", port, protocol, appProtocol }) => canonical([name, port, protocol, appProtocol])).sort().join();
}

function addressTypesOf(service: Service): AddressType[] {
  const { ipFamilies, clusterIP } = service.spec ?? {};
  if (ipFamilies?.length) return [...new Set(ipFamilies)] as AddressType[];
  if (clusterIP && clusterIP !== "None") return [isIPv6(clusterIP) ? "IPv6" : "IPv4"];
  return ["IPv4", "IPv6"];
}

function newSlice(service: Stored<Service>, options: { type: AddressType; labels: Record<string, string>; ports: Ports; endpoints: Endpoint[] }): EndpointSlice {
  const { type, labels, ports, endpoints } = options;
  const { name, namespace } = service.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice",
    metadata: { generateName: `${name.slice(0, MAX_GENERATED_PREFIX - 1)}-`, namespace, labels, ownerReferences: [newControllerRef(SERVICE, service)] },
    addressType: type, endpoints, ports,
  };
}

function isPlaceholder(slice: EndpointSlice, placeholder: EndpointSlice): boolean {
  const { ownerReferences, labels } = slice.metadata;
  return !slice.endpoints?.length && !slice.ports?.length && isSame(labels, placeholder.metadata.labels) && isSame(ownerReferences, placeholder.metadata.ownerReferences);
}

/** The endpoints of a slice that are still wanted, as they are now; each is taken off the list. */
function keptIn(slice: EndpointSlice, left: Map<string, Endpoint>): Endpoint[] {
  return (slice.endpoints ?? []).flatMap(({ targetRef }) => {
    const id = targetRef?.uid ?? "";
    const endpoint = left.get(id);
    if (!endpoint) return [];
    left.delete(id);
    return [endpoint];
  });
}

/** The slice that comes closest to full when it takes them all. */
function closestFit(slices: readonly Stored<EndpointSlice>[], count: number, max: number): Stored<EndpointSlice> | undefined {
  if (count === 0 || count >= max) return undefined;
  const fitting = slices.filter(({ endpoints }) => (endpoints?.length ?? 0) + count <= max);
  return fitting.sort((a, b) => (b.endpoints?.length ?? 0) - (a.endpoints?.length ?? 0))[0];
}
