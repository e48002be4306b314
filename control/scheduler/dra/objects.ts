// Claims, classes and slices as watched, with the scheduler's decisions that are still on their way on top.
// Knows which devices are free and which a node can reach; what to do with them is decided elsewhere.
import { keyOf, type Informer, type Informers } from "../../../api/client/informer.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { DeviceClass, ResourceClaim, ResourceSlice } from "../../../api/types.ts";
import { Assumed } from "../assumed.ts";
import type { ClusterEvent } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import { AllocatedDevices } from "./allocated.ts";
import { poolsOf, type Pool, type SliceIndex } from "./pools.ts";
import type { Allocation, Claim, Class, Slice } from "./types.ts";

export const CLAIM = builtinKind("resource.k8s.io", "v1", "ResourceClaim");
const CLASS = builtinKind("resource.k8s.io", "v1", "DeviceClass");
const SLICE = builtinKind("resource.k8s.io", "v1", "ResourceSlice");
/** A class can be asked for like a resource, under this and its name. */
const IMPLICIT_RESOURCE = "deviceclass.resource.kubernetes.io/";

/** The device side of the cluster. */
export class DeviceObjects {
  readonly claims: Assumed<ResourceClaim>;
  readonly allocated = new AllocatedDevices();
  readonly #inFlight = new Map<string, Allocation>();
  readonly #claims: Informer<ResourceClaim>;
  readonly #classes: Informer<DeviceClass>;
  readonly #slices = new Slices();
  readonly #byResource = new Map<string, Class>();
  readonly #pools = new WeakMap<NodeState, { readonly labels: NodeState["labels"]; readonly version: number; readonly pools: readonly Pool[] }>();

  /** `onEvent` hears of whatever may let a waiting pod in. */
  constructor(informers: Informers, private readonly onEvent: (event: ClusterEvent) => void) {
    this.#claims = informers.for<ResourceClaim>(CLAIM);
    this.#classes = informers.for<DeviceClass>(CLASS);
    // The assumptions subscribe first, so that whoever is woken sees them settled.
    this.claims = new Assumed(this.#claims);
    this.#claims.addHandler({
      add: (claim) => this.#claimChanged(claim, () => onEvent({ type: "ResourceClaimChange", claim })),
      update: (claim, old) => this.#claimChanged(claim, () => onEvent({ type: "ResourceClaimChange", claim, old })),
      delete: (claim) => {
        this.allocated.set(claim.metadata.uid, this.#inFlight.get(claim.metadata.uid));
        onEvent({ type: "ResourceClaimChange", claim: { ...claim, status: {} }, old: claim });
      },
    });
    const classChanged = (): void => {
      this.#readClasses();
      onEvent({ type: "DeviceChange", resource: "deviceclasses" });
    };
    this.#classes.addHandler({ add: classChanged, update: classChanged, delete: classChanged });
    informers.for<ResourceSlice>(SLICE).addHandler({
      add: (slice) => {
        this.#slices.set(slice);
        onEvent({ type: "DeviceChange", resource: "resourceslices" });
      },
      update: (slice, old) => {
        this.#slices.remove(old);
        this.#slices.set(slice);
        onEvent({ type: "DeviceChange", resource: "resourceslices" });
      },
      delete: (slice) => this.#slices.remove(slice),
    });
  }

  classOf(name: string): Class | undefined {
    return this.#classes.lister.get(name);
  }

  /** The class whose devices a resource stands for. */
  classForResource(resource: string): Class | undefined {
    return this.#byResource.size === 0 ? undefined : this.#byResource.get(resource);
  }

  claimsIn(namespace: string): readonly Claim[] {
    return this.#claims.lister.inNamespace(namespace);
  }

  isInFlight(uid: string): boolean {
    return this.#inFlight.has(uid);
  }

  /** From now on the devices are taken, though the API does not say so yet. */
  begin(uid: string, allocation: Allocation): void {
    this.#inFlight.set(uid, allocation);
    this.allocated.set(uid, allocation);
  }

  /** The allocation is in the API, or came to nothing: `claim` says which. */
  end(uid: string, claim: Claim | undefined): void {
    if (!this.#inFlight.delete(uid)) return;
    const allocation = (claim && this.claims.get(keyOf(claim)))?.status?.allocation;
    this.allocated.set(uid, allocation);
    // Nothing in the API changed, but the devices are free for others.
    if (!allocation) this.onEvent({ type: "DeviceChange", resource: "resourceslices" });
  }

  /** Takes over what a write returned, unless newer is known. */
  wrote(claim: Claim): void {
    const known = this.claims.actual(keyOf(claim));
    if (known?.metadata.uid === claim.metadata.uid && Number(known.metadata.resourceVersion) >= Number(claim.metadata.resourceVersion)) return;
    this.claims.assume(claim);
    this.allocated.set(claim.metadata.uid, this.#inFlight.get(claim.metadata.uid) ?? claim.status?.allocation);
  }

  /** The pools a node can use devices of, remembered until slices or the node's labels change. */
  pools(node: NodeState): readonly Pool[] {
    const known = this.#pools.get(node);
    const { version } = this.#slices;
    if (known?.version === version && known.labels === node.labels) return known.pools;
    const pools = poolsOf(node, this.#slices);
    this.#pools.set(node, { labels: node.labels, version, pools });
    return pools;
  }

  #claimChanged(claim: Claim, tell: () => void): void {
    const { uid } = claim.metadata;
    this.allocated.set(uid, this.#inFlight.get(uid) ?? this.claims.get(keyOf(claim))?.status?.allocation);
    tell();
  }

  /** Of classes for the same resource the newest counts: that is how one is replaced by another. */
  #readClasses(): void {
    this.#byResource.clear();
    for (const each of this.#classes.lister.list()) {
      this.#byResource.set(IMPLICIT_RESOURCE + each.metadata.name, each);
      const resource = each.spec?.extendedResourceName;
      const known = resource === undefined ? undefined : this.#byResource.get(resource);
      if (resource !== undefined && (!known || age(each) > age(known) || (age(each) === age(known) && each.metadata.name < known.metadata.name))) this.#byResource.set(resource, each);
    }
  }
}

/** Slices by where they are used. */
class Slices implements SliceIndex {
  version = 0;
  #shared: readonly Slice[] | undefined;
  readonly #local = new Map<string, Set<Slice>>();
  readonly #wide = new Set<Slice>();
  readonly #byPool = new Map<string, Set<Slice>>();

  get shared(): readonly Slice[] {
    return (this.#shared ??= [...this.#wide]);
  }

  onNode(name: string): readonly Slice[] {
    return [...(this.#local.get(name) ?? [])];
  }

  ofPool(driver: string, pool: string): readonly Slice[] {
    return [...(this.#byPool.get(`${driver}/${pool}`) ?? [])];
  }

  set(slice: Slice): void {
    const { spec } = slice;
    if (!spec) return;
    this.#touch();
    if (isLocal(slice)) group(this.#local, spec.nodeName as string).add(slice);
    else this.#wide.add(slice);
    group(this.#byPool, `${spec.driver}/${spec.pool.name}`).add(slice);
  }

  remove(slice: Slice): void {
    const { spec } = slice;
    if (!spec) return;
    this.#touch();
    this.#wide.delete(slice);
    drop(this.#local, spec.nodeName ?? "", slice);
    drop(this.#byPool, `${spec.driver}/${spec.pool.name}`, slice);
  }

  #touch(): void {
    this.version++;
    this.#shared = undefined;
  }
}

const age = ({ metadata }: Class): string => metadata.creationTimestamp;
const isLocal = ({ spec }: Slice): boolean => Boolean(spec?.nodeName) && !spec?.sharedCounters?.length;

function group(groups: Map<string, Set<Slice>>, key: string): Set<Slice> {
  let known = groups.get(key);
  if (!known) groups.set(key, (known = new Set()));
  return known;
}

function drop(groups: Map<string, Set<Slice>>, key: string, slice: Slice): void {
  const known = groups.get(key);
  known?.delete(slice);
  if (known?.size === 0) groups.delete(key);
}
