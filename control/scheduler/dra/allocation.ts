// Allocations: what a claim's status says about the devices found for it, with their configuration and the nodes they bind it to.
// Also how many points a node gets for alternatives that come early.
import type { AllocatedDevice } from "../../../api/devicetaints.ts";
import { formatQuantity } from "../../../api/quantity.ts";
import type { SelectableNode } from "../nodeaffinity.ts";
import type { AllocatedDevices } from "./allocated.ts";
import { constraintsOf } from "./constraints.ts";
import type { Pool } from "./pools.ts";
import { search, type Pick } from "./search.ts";
import { AllocationError, type Allocation, type Claim, type Class, type NodeSelector } from "./types.ts";
import { keyOf, wishesOn, type WishPlan } from "./wishes.ts";

type Config = NonNullable<NonNullable<Allocation["devices"]>["config"]>[number];
type SelectorTerm = NodeSelector["nodeSelectorTerms"][number];
type Requirement = NonNullable<SelectorTerm["matchExpressions"]>[number];

const MAX_ALTERNATIVES = 8;
const NOT_ALL = "cannot allocate all claims";

/** A claim and what it asks for. */
export interface PlannedClaim {
  readonly claim: Claim;
  readonly requests: readonly (readonly WishPlan[])[];
}

export interface AllocateOptions {
  readonly node: SelectableNode;
  readonly claims: readonly PlannedClaim[];
  readonly pools: readonly Pool[];
  readonly allocated: AllocatedDevices;
  checkTime(): void;
}

/** An allocation for every claim, or in upstream's words why there is none; throws AllocationError. */
export function allocate({ node, claims, pools, allocated, checkTime }: AllocateOptions): readonly Allocation[] | string {
  if (pools.length === 0) return NOT_ALL;
  const wishes = claims.map(({ claim, requests }) => ({ requests: wishesOn(requests, { name: keyOf(claim), place: { node, pools } }), constraints: constraintsOf(claim.spec?.devices?.constraints, keyOf(claim)) }));
  const picks = search({ node, claims: wishes, pools, allocated, checkTime });
  if (!picks) return pools.some((pool) => pool.invalid !== undefined) ? "invalid resource pools were encountered" : NOT_ALL;
  return claims.map(({ claim }, index) => allocationOf(claim, picks[index] ?? [], node.name));
}

/** Points for the alternatives a claim got: the earlier, the more. */
export function alternativeScore({ spec }: Claim, { devices }: Allocation): number {
  const taken = new Set(devices?.results?.map(({ request }) => request));
  let score = 0;
  for (const { name, firstAvailable = [] } of spec?.devices?.requests ?? []) {
    for (const [index, alternative] of firstAvailable.entries()) if (taken.has(`${name}/${alternative.name}`)) score += MAX_ALTERNATIVES - index;
  }
  return score;
}

function allocationOf(claim: Claim, picks: readonly Pick[], nodeName: string): Allocation {
  const config = configOf(claim, picks);
  const nodeSelector = nodeSelectorOf(picks, nodeName);
  return {
    devices: { ...(picks.length > 0 && { results: picks.map(resultOf) }), ...(config.length > 0 && { config }) },
    ...(nodeSelector && { nodeSelector }),
  };
}

function resultOf({ wish, device, pool, consumed }: Pick): AllocatedDevice {
  const { bindingConditions, bindingFailureConditions } = device;
  return {
    request: wish.plan.fullRequest, driver: pool.driver, pool: pool.name, device: device.name,
    ...(wish.plan.hasAdminAccess && { adminAccess: true }),
    ...(wish.plan.tolerations.length > 0 && { tolerations: [...wish.plan.tolerations] }),
    ...(bindingConditions && { bindingConditions }), ...(bindingFailureConditions && { bindingFailureConditions }),
    ...(consumed && { shareID: crypto.randomUUID() }),
    ...(consumed && consumed.size > 0 && { consumedCapacity: Object.fromEntries([...consumed].map(([name, amount]) => [name, formatQuantity(amount)])) }),
  };
}

/** A class's configuration once, for all requests of the class; then the claim's for the requests that were met. */
function configOf({ spec }: Claim, picks: readonly Pick[]): Config[] {
  const byClass = new Map<string, { readonly class: Class; readonly requests: string[] }>();
  const met = new Set<string>();
  for (const { wish: { plan } } of picks) {
    if (met.has(plan.fullRequest)) continue;
    met.add(plan.fullRequest).add(plan.request);
    const known = byClass.get(plan.class.metadata.name) ?? { class: plan.class, requests: [] };
    known.requests.push(plan.fullRequest);
    byClass.set(plan.class.metadata.name, known);
  }
  const ofClasses = [...byClass.values()].flatMap(({ class: { spec: classSpec }, requests }) => (classSpec?.config ?? []).map((config): Config => ({ source: "FromClass", requests: [...requests], ...config })));
  const ofClaim = (spec?.devices?.config ?? []).filter(({ requests = [] }) => requests.length === 0 || requests.some((name) => met.has(name)));
  return [...ofClasses, ...ofClaim.map((config): Config => ({ source: "FromClaim", ...config }))];
}

/** The nodes all these devices can be used from; undefined for all. */
function nodeSelectorOf(picks: readonly Pick[], nodeName: string): NodeSelector | undefined {
  const matchFields: Requirement[] = [];
  const matchExpressions: Requirement[] = [];
  for (const { device, slice } of picks) {
    const place = slice.spec?.perDeviceNodeSelection ? device : slice.spec;
    if (place?.nodeName || device.bindsToNode) return { nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [nodeName] }] }] };
    const terms = place?.nodeSelector?.nodeSelectorTerms ?? [];
    if (terms.length > 1) throw new AllocationError(`unsupported ResourceSlice.NodeSelector with ${terms.length} terms`);
    addNew(matchFields, terms[0]?.matchFields);
    addNew(matchExpressions, terms[0]?.matchExpressions);
  }
  if (matchFields.length === 0 && matchExpressions.length === 0) return undefined;
  return { nodeSelectorTerms: [{ ...(matchExpressions.length > 0 && { matchExpressions }), ...(matchFields.length > 0 && { matchFields }) }] };
}

function addNew(requirements: Requirement[], more: readonly Requirement[] | undefined): void {
  const text = ({ key, operator, values }: Requirement): string => JSON.stringify([key, operator, [...(values ?? [])].sort()]);
  for (const requirement of more ?? []) if (!requirements.some((known) => text(known) === text(requirement))) requirements.push(requirement);
}

