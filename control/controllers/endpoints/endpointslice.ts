// Publishes the pods behind every Service as EndpointSlices of at most 100.
// What the slices should be is `sliceplan.ts`'s business.
import { keyOf, type Informer, type Key } from "../../../api/client/informer.ts";
import { isConflict, isNamespaceTerminating, orAbsent } from "../../../api/errors.ts";
import type { EndpointSlice, Node, Service, Stored } from "../../../api/types.ts";
import { KindController, type Controller, type ControllerDeps } from "../controller.ts";
import { ENDPOINT_SLICE, NODE, SERVICE } from "../kinds.ts";
import { isSame } from "../template.ts";
import { PendingWrites } from "../writes.ts";
import { Pace } from "../pace.ts";
import { countPlan, tellSlices } from "./figures.ts";
import { TriggerTimes, withTriggerTime } from "./triggertimes.ts";
import { canBeEndpoint, hasManagedEndpoints, podsOf, watchServicePods, type ServicePods } from "./servicepods.ts";
import { wantsTopologyHints, zoneShares, type ZoneShares } from "./topologyhints.ts";
import { MANAGED_BY, planSlices, SERVICE_NAME, SLICE_CONTROLLER, type Backend, type SlicePlan } from "./sliceplan.ts";

const NAME = "endpointslice-controller";
const SERVICE_INDEX = "service";
/** A change touches one slice of many, so proxies hear of it soon even in large services. */
const MS_PER_ENDPOINT = 0.1;
const MAX_PAUSE_MS = 500;

export function endpointSliceController(deps: ControllerDeps): Controller {
  return new EndpointSliceController(deps);
}

class EndpointSliceController extends KindController<Service> {
  readonly #caches: ServicePods;
  readonly #slices: Informer<EndpointSlice>;
  readonly #nodes: Informer<Node>;
  readonly #pending: PendingWrites;
  readonly #pace: Pace;
  readonly #triggers = new TriggerTimes();
  /** Services with pods on nodes that are not there (yet), by node name. */
  readonly #waitingForNode = new Map<string, Set<Key>>();
  /** Services that want routing by zone, and what they were told of it. */
  readonly #routed = new Map<Key, readonly string[]>();
  #zones: { readonly shares: ZoneShares | undefined } | undefined;

  constructor(deps: ControllerDeps) {
    super(deps, { name: NAME, kind: SERVICE, backoff: { baseMs: 100, maxMs: 100_000 } });
    this.#caches = watchServicePods(deps, (key) => this.queue.add(key));
    this.#slices = deps.informers.for<EndpointSlice>(ENDPOINT_SLICE, { labelSelector: `${MANAGED_BY}=${SLICE_CONTROLLER}` });
    tellSlices(deps.figures, this.#slices, this.objects);
    this.#nodes = deps.informers.for<Node>(NODE);
    this.#pending = new PendingWrites(deps.clock, this.#slices.lister);
    this.#pace = new Pace(this.queue, deps.clock);
    this.#listen();
  }

  #listen(): void {
    this.#slices.addIndex(SERVICE_INDEX, (slice) => [serviceKeyOf(slice)]);
    this.#slices.addHandler({
      add: (slice) => this.queue.add(serviceKeyOf(slice)), delete: (slice) => this.queue.add(serviceKeyOf(slice)),
      update: (slice, old) => {
        if (serviceKeyOf(old) !== serviceKeyOf(slice)) this.queue.add(serviceKeyOf(old));
        this.queue.add(serviceKeyOf(slice));
      },
    });
    this.#nodes.addHandler({
      add: ({ metadata: { name } }) => {
        for (const key of this.#waitingForNode.get(name) ?? []) this.queue.add(key);
        this.#waitingForNode.delete(name);
        this.#zonesChanged();
      },
      update: (node, old) => (isSame(zoneFacts(node), zoneFacts(old)) ? undefined : this.#zonesChanged()),
      delete: () => this.#zonesChanged(),
    });
  }

  protected async reconcile(key: Key): Promise<void> {
    const service = this.objects.lister.get(key);
    // What a deleted service leaves is the garbage collector's; one without selector has its slices made by others.
    if (!service || !hasManagedEndpoints(service)) return this.#forget(key);
    if (this.#pending.isBehind(key)) return this.queue.addAfter(key, 1000);
    if (this.#pace.mustWait(key)) return;
    try {
      const backends = this.#backendsOf(service);
      const existing = this.#slices.lister.byIndex(SERVICE_INDEX, key);
      const plan = planSlices(service, backends, { existing, zones: this.#zonesFor(key, service) });
      this.#tellRouting(key, service, plan);
      await this.#apply(key, stamped(plan, this.#triggers.of(key, service, backends.map(({ pod }) => pod))));
      countPlan(this.figures, plan, existing);
      this.figures.count("endpoint_slice_controller_syncs", "success");
      this.#pace.wrote(key, Math.min(backends.length * MS_PER_ENDPOINT, MAX_PAUSE_MS));
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      this.figures.count("endpoint_slice_controller_syncs", isConflict(error) ? "stale" : "error");
      this.recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", `Error updating Endpoint Slices for Service ${key}: ${(error as Error).message}`);
      throw error;
    }
  }

  #zonesChanged(): void {
    this.#zones = undefined;
    for (const key of this.#routed.keys()) this.queue.add(key);
  }

  /** Zones are counted only where a service asks. */
  #zonesFor(key: Key, service: Stored<Service>): ZoneShares | undefined {
    if (!wantsTopologyHints(service)) {
      if (this.#routed.delete(key)) this.recorder.event(service, "Warning", "TopologyAwareHintsDisabled", "Topology Aware Hints has been disabled");
      return undefined;
    }
    return (this.#zones ??= { shares: zoneShares(this.#nodes.lister.list()) }).shares;
  }

  /** Says once what came of a service's wish for routing by zone. */
  #tellRouting(key: Key, service: Stored<Service>, { routing }: SlicePlan): void {
    if (routing.length === 0) return;
    const said = routing.map(({ type, problem }) => `${problem ?? "Topology Aware Hints has been enabled"}, addressType: ${type}`);
    const before = this.#routed.get(key);
    this.#routed.set(key, said);
    for (const [index, { problem }] of routing.entries()) {
      if (before?.[index] !== said[index]) this.recorder.event(service, problem === undefined ? "Normal" : "Warning", problem === undefined ? "TopologyAwareHintsEnabled" : "TopologyAwareHintsDisabled", said[index] as string);
    }
  }

  #forget(key: Key): void {
    this.#routed.delete(key);
    this.#pace.forget(key);
    this.#triggers.forget(key);
  }

  #backendsOf(service: Stored<Service>): Backend[] {
    const publishesAll = service.spec?.publishNotReadyAddresses === true;
    return podsOf(this.#caches, service).filter((pod) => canBeEndpoint(pod, true)).flatMap((pod) => {
      const { nodeName = "" } = pod.spec ?? {};
      const node = this.#nodes.lister.get(nodeName);
      if (node || publishesAll) return [{ pod, node }];
      // A pod on a node that is not there must not hold back the others; it joins when its node does.
      this.#waitingForNode.set(nodeName, (this.#waitingForNode.get(nodeName) ?? new Set()).add(keyOf(service)));
      return [];
    });
  }

  async #apply(key: Key, plan: SlicePlan): Promise<void> {
    for (const slice of plan.create) this.#pending.wrote(key, await this.client.create<EndpointSlice>(ENDPOINT_SLICE, slice));
    for (const slice of plan.update) this.#pending.wrote(key, await this.client.update<EndpointSlice>(ENDPOINT_SLICE, slice));
    for (const slice of plan.delete) await this.#pending.deleting(key, slice, () => orAbsent(this.client.delete(ENDPOINT_SLICE, slice.metadata)));
  }
}

/** What of a node decides its zone's share. */
function zoneFacts({ metadata, status }: Node): unknown {
  return [metadata.labels, status?.allocatable?.["cpu"], status?.conditions?.find(({ type }) => type === "Ready")?.status];
}

function stamped(plan: SlicePlan, time: string | undefined): SlicePlan {
  const stamp = <S extends EndpointSlice>(slice: S): S => {
    const annotations = withTriggerTime(slice.metadata.annotations, time);
    const { annotations: _, ...metadata } = slice.metadata;
    return { ...slice, metadata: { ...metadata, ...(Object.keys(annotations).length > 0 && { annotations }) } };
  };
  return { ...plan, create: plan.create.map(stamp), update: plan.update.map(stamp) };
}

function serviceKeyOf({ metadata: { namespace, labels } }: EndpointSlice): Key {
  return `${namespace}/${labels?.[SERVICE_NAME] ?? ""}`;
}
