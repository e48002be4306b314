// Mirrors Endpoints somebody wrote by hand into EndpointSlices, which is what proxies read.
// Only for Services without a selector; all others have their slices made from pods.
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import { isNamespaceTerminating, orAbsent } from "../../../api/errors.ts";
import type { Endpoint, EndpointAddress, Endpoints, EndpointSlice, EndpointSubset, Service, Stored } from "../../../api/types.ts";
import { formatAddress, parseAddress } from "../../../lib/cidr.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { ENDPOINT_SLICE, ENDPOINTS, SERVICE } from "../kinds.ts";
import { newControllerRef } from "../owners.ts";
import { canonical, isSame } from "../template.ts";
import { PendingWrites } from "../writes.ts";
import { MANAGED_BY, SERVICE_NAME } from "./sliceplan.ts";
import { repackSubsets } from "./subsets.ts";

const NAME = "endpointslice-mirroring-controller";
const MIRROR = "endpointslicemirroring-controller.k8s.io";
const SKIP = "endpointslice.kubernetes.io/skip-mirror";
const LEADER = "control-plane.alpha.kubernetes.io/leader";
const NOT_COPIED = new Set(["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"]);
const MAX_ADDRESSES = 1000;
const SERVICE_INDEX = "service";

export function endpointSliceMirroringController(deps: ControllerDeps): Controller {
  return new Mirroring(deps);
}

class Mirroring extends KindController<Endpoints> {
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #pending: PendingWrites;

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: ENDPOINTS });
    this.#services = deps.informers.for<Service>(SERVICE);
    this.#slices = deps.informers.for<EndpointSlice>(ENDPOINT_SLICE, { labelSelector: `${MANAGED_BY}=${MIRROR}` });
    deps.figures.reads("endpoint_slice_mirroring_controller_num_endpoint_slices", () => [[[], this.#slices.lister.list().length]]);
    this.#pending = new PendingWrites(deps.clock, this.#slices.lister);
    this.#slices.addIndex(SERVICE_INDEX, (slice) => [serviceKeyOf(slice)]);
    const enqueue = (service: Stored<Service>): void => this.queue.add(keyOf(service));
    this.#services.addHandler({ add: enqueue, update: enqueue, delete: enqueue });
    const sliceChanged = (slice: Stored<EndpointSlice>): void => this.queue.add(serviceKeyOf(slice));
    this.#slices.addHandler({ add: sliceChanged, update: sliceChanged, delete: sliceChanged });
  }

  protected async reconcile(key: Key): Promise<void> {
    if (this.#pending.isBehind(key)) return this.queue.addAfter(key, 1000);
    const service = this.#services.lister.get(key);
    const endpoints = this.objects.lister.get(key);
    const isMirrored = endpoints !== undefined && service !== undefined && !service.spec?.selector && shouldMirror(endpoints);
    if (isMirrored) this.#warn(endpoints);
    const wanted = new Map((isMirrored ? mirrorsOf(endpoints) : []).map((slice) => [idOf(slice), slice]));
    for (const slice of this.#slices.lister.byIndex(SERVICE_INDEX, key)) {
      const id = idOf(slice);
      const mirror = wanted.get(id);
      wanted.delete(id);
      await this.#apply(key, slice, mirror);
    }
    for (const slice of wanted.values()) await this.#create(key, slice);
  }

  async #apply(key: Key, slice: Stored<EndpointSlice>, mirror: EndpointSlice | undefined): Promise<void> {
    if (!mirror) {
      await this.#pending.deleting(key, slice, () => orAbsent(this.client.delete(ENDPOINT_SLICE, slice.metadata)));
      this.figures.count("endpoint_slice_mirroring_controller_changes", "delete");
      return;
    }
    const { labels, annotations, ownerReferences } = mirror.metadata;
    const metadata = { ...slice.metadata, labels, annotations, ownerReferences };
    if (isSame([labels, annotations ?? {}, ownerReferences, mirror.endpoints], [slice.metadata.labels, slice.metadata.annotations ?? {}, slice.metadata.ownerReferences, slice.endpoints])) return;
    this.#pending.wrote(key, await this.client.update<EndpointSlice>(ENDPOINT_SLICE, { ...slice, metadata, endpoints: mirror.endpoints }));
    this.figures.count("endpoint_slice_mirroring_controller_changes", "update");
  }

  async #create(key: Key, slice: EndpointSlice): Promise<void> {
    try {
      this.#pending.wrote(key, await this.client.create<EndpointSlice>(ENDPOINT_SLICE, slice));
      this.figures.count("endpoint_slice_mirroring_controller_changes", "create");
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
  }

  #warn(endpoints: Stored<Endpoints>): void {
    const addresses = repackSubsets(endpoints.subsets ?? []).map(allAddresses);
    const invalid = addresses.flat().filter(({ address }) => !parseAddress(address.ip)).length;
    const skipped = addresses.reduce((total, subset) => total + Math.max(0, subset.length - MAX_ADDRESSES), 0);
    if (invalid > 0) this.recorder.event(endpoints, "Warning", "InvalidIPAddress", `Skipped ${invalid} invalid IP addresses when mirroring to EndpointSlices`);
    if (skipped > 0) this.recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", `A max of ${MAX_ADDRESSES} addresses can be mirrored to EndpointSlices per Endpoints subset. ${skipped} addresses were skipped`);
  }
}

/** The slices that say what hand-written Endpoints say: one per family and set of ports. */
export function mirrorsOf(endpoints: Stored<Endpoints>): EndpointSlice[] {
  const groups = new Map<string, EndpointSlice>();
  for (const subset of repackSubsets(endpoints.subsets ?? [])) {
    for (const { address, ready } of allAddresses(subset).slice(0, MAX_ADDRESSES)) {
      const parsed = parseAddress(address.ip);
      if (!parsed) continue;
      const slice = newMirror(endpoints, parsed.family === 4 ? "IPv4" : "IPv6", subset);
      const group = groups.get(idOf(slice)) ?? slice;
      groups.set(idOf(slice), group);
      group.endpoints?.push(endpointOf(address, formatAddress(parsed), ready));
    }
  }
  return [...groups.values()];
}

function newMirror(endpoints: Stored<Endpoints>, addressType: string, subset: EndpointSubset): EndpointSlice {
  const { name, namespace, labels, annotations } = endpoints.metadata;
  const copied = Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => !NOT_COPIED.has(key)));
  return {
    apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice",
    metadata: {
      generateName: `${name}-`, namespace, labels: { ...labels, [SERVICE_NAME]: name, [MANAGED_BY]: MIRROR },
      ...(Object.keys(copied).length > 0 && { annotations: copied }), ownerReferences: [newControllerRef(ENDPOINTS, endpoints)],
    },
    addressType, endpoints: [],
    ports: (subset.ports ?? []).map(({ name: portName = "", port, protocol = "TCP", appProtocol }) => ({ name: portName, port, protocol, ...(appProtocol && { appProtocol }) })),
  };
}

function endpointOf({ hostname, nodeName, targetRef }: EndpointAddress, address: string, ready: boolean): Endpoint {
  return { addresses: [address], conditions: { ready }, ...(hostname && { hostname }), ...(nodeName && { nodeName }), ...(targetRef && { targetRef }) };
}

function allAddresses({ addresses = [], notReadyAddresses = [] }: EndpointSubset): { address: EndpointAddress; ready: boolean }[] {
  return [...addresses.map((address) => ({ address, ready: true })), ...notReadyAddresses.map((address) => ({ address, ready: false }))];
}

function shouldMirror({ metadata: { labels, annotations } }: Endpoints): boolean {
  return labels?.[SKIP] !== "true" && annotations?.[LEADER] === undefined;
}

function idOf({ addressType, ports }: EndpointSlice): string {
  return `${addressType}|${(ports ?? []).map((port) => canonical(port)).sort().join()}`;
}

function serviceKeyOf({ metadata: { namespace, labels } }: EndpointSlice): Key {
  return `${namespace}/${labels?.[SERVICE_NAME] ?? ""}`;
}
