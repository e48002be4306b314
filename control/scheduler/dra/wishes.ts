// What claims ask for, made ready for the search: every request with its alternatives, class, selectors and number of devices.
// Finds requests that can never be met; choosing devices is the search's business.
import type { DeviceToleration } from "../../../api/devicetaints.ts";
import { deviceSelector } from "../../../api/cel/device.ts";
import type { SelectableNode } from "../nodeaffinity.ts";
import { consumption } from "./capacity.ts";
import { isAt, type Pool } from "./pools.ts";
import { AllocationError, MAX_RESULTS, type Claim, type Class, type Device, type Request, type Slice } from "./types.ts";

type Exact = NonNullable<Request["exactly"]>;

/** A device where it stands. */
export interface Candidate {
  readonly device: Device;
  readonly slice: Slice;
  readonly pool: Pool;
}

/** One request, or one alternative of a request, whatever the node: some devices of a class. */
export interface WishPlan {
  readonly request: string;
  readonly fullRequest: string;
  /** How messages name it. */
  readonly at: string;
  readonly class: Class;
  /** undefined for all devices that match. */
  readonly count: number | undefined;
  readonly hasAdminAccess: boolean;
  readonly tolerations: readonly DeviceToleration[];
  readonly capacity: Readonly<Record<string, string>> | undefined;
  /** Whether a device is of the right kind; throws AllocationError when a selector cannot say. */
  matches(device: Device, driver: string): boolean;
}

/** The same on one node. */
export interface Wish {
  readonly plan: WishPlan;
  readonly count: number;
  /** Set when all devices that match are wanted. */
  readonly all: readonly Candidate[] | undefined;
}

/** Where wishes are to be met. */
export interface WishPlace {
  readonly node: SelectableNode;
  readonly pools: readonly Pool[];
}

/** Every request of a claim as its alternatives, the best first; throws AllocationError. */
export function planWishes(claim: Claim, classOf: (name: string) => Class | undefined): readonly (readonly WishPlan[])[] {
  return (claim.spec?.devices?.requests ?? []).map((request) => {
    if (request.exactly) return [planOf({ claim, name: request.name, fullName: request.name, exact: request.exactly }, classOf)];
    return (request.firstAvailable ?? []).map((alternative) => planOf({ claim, name: request.name, fullName: `${request.name}/${alternative.name}`, exact: alternative }, classOf));
  });
}

/** What the plans of a claim come to on a node; throws AllocationError when that can never be. */
export function wishesOn(plans: readonly (readonly WishPlan[])[], { name, place }: { name: string; place: WishPlace }): readonly (readonly Wish[])[] {
  const wishes = plans.map((alternatives) => alternatives.map((plan): Wish => {
    const all = plan.count === undefined ? allOf(plan, place) : undefined;
    return { plan, all, count: all?.length ?? plan.count ?? 0 };
  }));
  const least = wishes.reduce((sum, alternatives) => sum + Math.min(...alternatives.map((wish) => wish.count)), 0);
  if (least > MAX_RESULTS) throw new AllocationError(`claim ${name}: number of requested devices ${least} exceeds the claim limit of ${MAX_RESULTS}`);
  return wishes;
}

/** Whether a device is of the right kind and at the node. */
export function isWanted({ matches }: WishPlan, { device, slice, pool }: Candidate, node: SelectableNode): boolean {
  return matches(device, pool.driver) && (slice.spec?.perDeviceNodeSelection !== true || isAt(node, device));
}

export const keyOf = ({ metadata }: Claim): string => `${metadata.namespace}/${metadata.name}`;

interface Asked {
  readonly claim: Claim;
  readonly name: string;
  readonly fullName: string;
  readonly exact: Exact;
}

function planOf({ claim, name, fullName, exact }: Asked, classOf: (name: string) => Class | undefined): WishPlan {
  const at = `claim ${keyOf(claim)}, request ${fullName.slice(fullName.indexOf("/") + 1)}`;
  const deviceClass = classOf(exact.deviceClassName);
  if (!deviceClass) throw new AllocationError(`${at}: could not retrieve device class ${exact.deviceClassName}: deviceclass.resource.k8s.io ${JSON.stringify(exact.deviceClassName)} not found`);
  const { allocationMode = "", count = 1 } = exact;
  if (allocationMode !== "All" && allocationMode !== "ExactCount") throw new AllocationError(`${at}: unsupported count mode ${allocationMode}`);
  return {
    request: name, fullRequest: fullName, at, class: deviceClass, count: allocationMode === "All" ? undefined : count,
    hasAdminAccess: exact.adminAccess ?? false, tolerations: exact.tolerations ?? [], capacity: exact.capacity?.requests,
    matches: matcherOf([...selectorsOf(`class ${deviceClass.metadata.name}`, deviceClass.spec?.selectors), ...selectorsOf(`claim ${keyOf(claim)}`, exact.selectors)]),
  };
}

interface NamedSelector {
  readonly at: string;
  readonly expression: string;
}

function selectorsOf(owner: string, selectors: Exact["selectors"]): NamedSelector[] {
  return (selectors ?? []).map(({ cel }, index) => {
    const at = `${owner}: selector #${index}`;
    if (!cel) throw new AllocationError(`${at}: CEL expression empty (unsupported selector type?)`);
    return { at, expression: cel.expression };
  });
}

/** Whether a device is of a class; throws AllocationError when a selector cannot be asked. */
export function classMatcher({ metadata, spec }: Class): WishPlan["matches"] {
  return matcherOf(selectorsOf(`class ${metadata.name}`, spec?.selectors));
}

/** Class first, then request. */
function matcherOf(named: readonly NamedSelector[]): WishPlan["matches"] {
  const selectors = named.map(({ at, expression }) => ({ at, selector: told(at, "compile", () => deviceSelector(expression)) }));
  return (device, driver) => selectors.every(({ at, selector }) => told(at, "runtime", () => selector.matches(device, driver)));
}

function told<T>(at: string, kind: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new AllocationError(`${at}: CEL ${kind} error: ${(error as Error).message}`, { cause: error });
  }
}

function allOf(plan: WishPlan, { node, pools }: WishPlace): Candidate[] {
  const found: Candidate[] = [];
  for (const pool of pools) {
    const state = pool.isIncomplete ? "being updated" : pool.invalid === undefined ? undefined : "invalid";
    if (state) throw new AllocationError(`${plan.at}: asks for all devices, but resource pool ${pool.driver}/${pool.name} is currently ${state}`);
    for (const slice of pool.slices) {
      for (const device of slice.spec?.devices ?? []) {
        const candidate = { device, slice, pool };
        if (isWanted(plan, candidate, node) && consumption(device.capacity, plan.capacity)) found.push(candidate);
      }
    }
  }
  return found;
}
