// One pod's claims during one attempt to place it: what must be allocated, on which nodes that works out, and how.
// Pure; the plugin asks it node by node, and the binding takes the result of the node that was chosen.
import type { ResourceClaim } from "../../../api/types.ts";
import { PluginError, unresolvable, type Status } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";
import { allocate, alternativeScore, type PlannedClaim } from "./allocation.ts";
import { earlierClaim, extendedRequests, newClaim, type RequestMapping } from "./extended.ts";
import type { DeviceObjects } from "./objects.ts";
import { claimsOfPod } from "./podclaims.ts";
import { selects } from "./pools.ts";
import { isLate, readinessOf } from "./readiness.ts";
import { AllocationError, type Allocation, type Claim, type Class } from "./types.ts";
import { keyOf, planWishes } from "./wishes.ts";

export const NAME = "DynamicResources";

export interface PodStateOptions {
  readonly objects: DeviceObjects;
  /** How long devices may take to be made ready. */
  readonly bindingTimeoutMs: number;
  /** How long the search on one node may take. */
  readonly filterTimeoutMs: number;
  now(): number;
}

/** What allocating on one node would come to. */
export interface NodePlan {
  readonly allocations: ReadonlyMap<Claim, Allocation>;
  /** The claim to be made for the pod's resources there, and what it gets. */
  readonly extended: { readonly claim: ResourceClaim; readonly allocation: Allocation; readonly mappings: readonly RequestMapping[] } | undefined;
}

/** Resources of the pod that classes stand for; undefined when there are none. */
export function deviceResources({ shape }: PodInfo, objects: DeviceObjects): ReadonlyMap<string, Class> | undefined {
  let found: Map<string, Class> | undefined;
  for (const [name, amount] of shape.requests.scalar ?? []) {
    const deviceClass = amount > 0 ? objects.classForResource(name) : undefined;
    if (deviceClass) (found ??= new Map()).set(name, deviceClass);
  }
  return found;
}

/** Reads a pod's claims for one attempt; a status when no node will do, undefined when it has nothing to do with devices. */
export function podStateOf(pod: PodInfo, options: PodStateOptions): PodState | Status | undefined {
  const { objects } = options;
  const resources = deviceResources(pod, objects);
  if (!pod.pod.spec?.resourceClaims?.length && !resources) return undefined;
  const claims = claimsOfPod(pod.pod, objects);
  if (typeof claims === "string") return unresolvable(NAME, claims);
  const stale = resources && earlierClaim(objects.claimsIn(pod.identity.namespace), pod.pod);
  if (claims.length === 0 && !resources) return undefined;
  for (const claim of claims) {
    const problem = claim.status?.allocation ? undefined : whyNotYet(claim, objects);
    if (problem !== undefined) return unresolvable(NAME, problem);
  }
  return new PodState(pod, { ...options, claims, resources, stale });
}

function whyNotYet(claim: Claim, objects: DeviceObjects): string | undefined {
  if (objects.isInFlight(claim.metadata.uid)) return `resource claim ${keyOf(claim)} is in the process of being allocated`;
  for (const { name, exactly, firstAvailable = [] } of claim.spec?.devices?.requests ?? []) {
    if (!exactly && firstAvailable.length === 0) return `resource claim ${keyOf(claim)}, request ${name}: unknown request type`;
    const asked = exactly ? [{ at: name, deviceClassName: exactly.deviceClassName }] : firstAvailable.map((each) => ({ at: `${name}/${each.name}`, deviceClassName: each.deviceClassName }));
    const unknown = asked.find(({ deviceClassName }) => !objects.classOf(deviceClassName));
    if (unknown) return `request ${unknown.at}: device class ${unknown.deviceClassName} does not exist`;
  }
  return undefined;
}

interface Found extends PodStateOptions {
  readonly claims: readonly Claim[];
  readonly resources: ReadonlyMap<string, Class> | undefined;
  /** Made for the pod's resources in an attempt that failed. */
  readonly stale: Claim | undefined;
}

/** One attempt. */
export class PodState {
  readonly claims: readonly Claim[];
  /** Made for the pod's resources in an attempt that failed: in the way of a new one. */
  readonly stale: Claim | undefined;
  readonly #missing: readonly Claim[];
  readonly #plans = new Map<string, NodePlan>();
  readonly #unavailable = new Set<Claim>();
  readonly #wishes = new WeakMap<Claim, PlannedClaim>();

  constructor(readonly pod: PodInfo, private readonly found: Found) {
    this.claims = found.claims;
    this.stale = found.stale;
    this.#missing = found.claims.filter((claim) => !claim.status?.allocation);
  }

  /** Why the pod's devices cannot be had on the node. Remembers how they can. */
  filter(node: NodeState): Status | undefined {
    if (this.stale) return unresolvable(NAME, "cannot schedule extended resource claim");
    const extended = this.#extendedOn(node);
    const unavailable = this.claims.filter((claim) => !this.#isAvailable(claim, node));
    const plan = this.#planOn(node, extended);
    if (typeof plan === "string") return unresolvable(NAME, plan);
    for (const claim of unavailable) this.#unavailable.add(claim);
    if (unavailable.length > 0) return unresolvable(NAME, "resourceclaim not available on the node");
    this.#plans.set(node.name, plan);
    return undefined;
  }

  planFor(nodeName: string): NodePlan | undefined {
    return this.#plans.get(nodeName);
  }

  /** A claim that keeps the pod from every node it might fit, and that nobody else uses: its devices could be others. */
  get replaceable(): Claim | undefined {
    return [...this.#unavailable].find(({ status }) => (status?.reservedFor ?? []).every((consumer) => consumer.uid === this.pod.uid));
  }

  get hasAlternatives(): boolean {
    return this.claims.some(({ spec }) => spec?.devices?.requests?.some(({ firstAvailable }) => firstAvailable));
  }

  /** The better the alternatives the pod gets on the node, the more. */
  score(node: NodeState): number {
    const plan = this.#plans.get(node.name);
    let score = 0;
    for (const claim of this.claims) {
      const allocation = claim.status?.allocation ?? plan?.allocations.get(claim);
      if (allocation) score += alternativeScore(claim, allocation);
    }
    return score;
  }

  /** What of the pod's resources the node itself does not offer. */
  #extendedOn(node: NodeState): ReadonlyMap<string, Class> | undefined {
    const { resources } = this.found;
    if (!resources) return undefined;
    const lacking = new Map([...resources].filter(([name]) => !node.allocatable.scalar?.get(name)));
    return lacking.size > 0 ? lacking : undefined;
  }

  #isAvailable(claim: Claim, node: NodeState): boolean {
    const allocation = claim.status?.allocation;
    if (!allocation) return true;
    if (allocation.nodeSelector && !selects(allocation.nodeSelector, node)) return false;
    const readiness = readinessOf(claim);
    if (readiness === "ready") return true;
    return readiness === "waiting" && !isLate(claim, this.found.now(), this.found.bindingTimeoutMs);
  }

  #planOn(node: NodeState, resources: ReadonlyMap<string, Class> | undefined): NodePlan | string {
    if (this.#missing.length === 0 && !resources) return { allocations: new Map(), extended: undefined };
    const wanted = resources && extendedRequests(this.pod.pod.spec ?? { containers: [] }, resources);
    const extra = wanted && newClaim(this.pod.pod, wanted.requests);
    const claims = extra ? [...this.#missing, extra as Claim] : this.#missing;
    const allocations = this.#allocate(node, claims);
    if (typeof allocations === "string") return allocations;
    const last = allocations.at(-1) as Allocation;
    return {
      allocations: new Map(this.#missing.map((claim, index) => [claim, allocations[index] as Allocation])),
      extended: extra && wanted && { claim: extra, allocation: last, mappings: wanted.mappings },
    };
  }

  /** Read once for all nodes; a claim that is to be made is another one on each. */
  #planned(claim: Claim): PlannedClaim {
    let planned = this.#wishes.get(claim);
    if (!planned) this.#wishes.set(claim, (planned = { claim, requests: planWishes(claim, (name) => this.found.objects.classOf(name)) }));
    return planned;
  }

  #allocate(node: NodeState, claims: readonly Claim[]): readonly Allocation[] | string {
    const { objects, filterTimeoutMs } = this.found;
    const end = performance.now() + filterTimeoutMs;
    const checkTime = (): void => {
      if (performance.now() > end) throw new AllocationError(`node ${node.name}: timed out trying to allocate devices`);
    };
    try {
      return allocate({ node, claims: claims.map((claim) => this.#planned(claim)), pools: objects.pools(node), allocated: objects.allocated, checkTime });
    } catch (error) {
      if (error instanceof AllocationError) throw new PluginError(`running ${JSON.stringify(NAME)} filter plugin: ${error.message}`, NAME, { cause: error });
      throw error;
    }
  }
}
