// What claims ask for, made ready for the search: every request with its alternatives, class, selectors and number of devices.
// Finds requests that can never be met; choosing devices is the search's business.
import type { DeviceToleration } from "../../../api/devicetaints.ts";
import { CompileError } from "../../../api/cel/compile.ts";
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

/** One request, or one alternative of a request: some devices of a class. */
export interface Wish {
  readonly request: string;
  readonly fullRequest: string;
  readonly class: Class;
  readonly count: number;
  /** Set when all devices that match are wanted. */
  readonly all: readonly Candidate[] | undefined;
  readonly hasAdminAccess: boolean;
  readonly tolerations: readonly DeviceToleration[];
  readonly capacity: Readonly<Record<string, string>> | undefined;
  /** Whether a device is of the right kind and at the node; throws AllocationError when a selector cannot say. */
  selects(candidate: Candidate): boolean;
}

/** What wishes are read with. */
export interface WishContext {
  readonly node: SelectableNode;
  readonly pools: readonly Pool[];
  classOf(name: string): Class | undefined;
}

/** Every request of a claim as its alternatives, the best first; throws AllocationError. */
export function wishesOf(claim: Claim, context: WishContext): readonly (readonly Wish[])[] {
  const requests = (claim.spec?.devices?.requests ?? []).map((request) => {
    if (request.exactly) return [wishOf({ claim, name: request.name, fullName: request.name, exact: request.exactly }, context)];
    return (request.firstAvailable ?? []).map((alternative) => wishOf({ claim, name: request.name, fullName: `${request.name}/${alternative.name}`, exact: alternative }, context));
  });
  const least = requests.reduce((sum, wishes) => sum + Math.min(...wishes.map((wish) => wish.count)), 0);
  if (least > MAX_RESULTS) throw new AllocationError(`claim ${keyOf(claim)}: number of requested devices ${least} exceeds the claim limit of ${MAX_RESULTS}`);
  return requests;
}

export const keyOf = ({ metadata }: Claim): string => `${metadata.namespace}/${metadata.name}`;

interface Asked {
  readonly claim: Claim;
  readonly name: string;
  readonly fullName: string;
  readonly exact: Exact;
}

function wishOf({ claim, name, fullName, exact }: Asked, context: WishContext): Wish {
  const at = `claim ${keyOf(claim)}, request ${fullName.slice(fullName.indexOf("/") + 1)}`;
  const deviceClass = context.classOf(exact.deviceClassName);
  if (!deviceClass) throw new AllocationError(`${at}: could not retrieve device class ${exact.deviceClassName}: deviceclass.resource.k8s.io ${JSON.stringify(exact.deviceClassName)} not found`);
  const selects = selectorOf({ deviceClass, claim, exact, node: context.node });
  const capacity = exact.capacity?.requests;
  const all = exact.allocationMode === "All" ? allOf({ at, capacity, selects, pools: context.pools }) : undefined;
  if (!all && exact.allocationMode !== "ExactCount") throw new AllocationError(`${at}: unsupported count mode ${exact.allocationMode ?? ""}`);
  return {
    request: name, fullRequest: fullName, class: deviceClass, selects, capacity, all,
    count: all?.length ?? exact.count ?? 1, hasAdminAccess: exact.adminAccess ?? false, tolerations: exact.tolerations ?? [],
  };
}

/** Class first, then request, then place. */
function selectorOf({ deviceClass, claim, exact, node }: { deviceClass: Class; claim: Claim; exact: Exact; node: SelectableNode }): Wish["selects"] {
  const owners = [
    { name: `class ${deviceClass.metadata.name}`, selectors: deviceClass.spec?.selectors ?? [] },
    { name: `claim ${keyOf(claim)}`, selectors: exact.selectors ?? [] },
  ];
  return ({ device, slice }) => {
    for (const { name, selectors } of owners) {
      for (const [index, { cel }] of selectors.entries()) {
        if (!cel) throw new AllocationError(`${name}: selector #${index}: CEL expression empty (unsupported selector type?)`);
        if (!matches(cel.expression, { device, driver: slice.spec?.driver ?? "", at: `${name}: selector #${index}` })) return false;
      }
    }
    return slice.spec?.perDeviceNodeSelection ? isAt(node, device) : true;
  };
}

function matches(expression: string, { device, driver, at }: { device: Device; driver: string; at: string }): boolean {
  try {
    return deviceSelector(expression).matches(device, driver);
  } catch (error) {
    const kind = error instanceof CompileError ? "compile" : "runtime";
    throw new AllocationError(`${at}: CEL ${kind} error: ${(error as Error).message}`, { cause: error });
  }
}

function allOf({ at, pools, selects, capacity }: { at: string; pools: readonly Pool[]; selects: Wish["selects"]; capacity: Wish["capacity"] }): Candidate[] {
  const found: Candidate[] = [];
  for (const pool of pools) {
    const state = pool.isIncomplete ? "being updated" : pool.invalid === undefined ? undefined : "invalid";
    if (state) throw new AllocationError(`${at}: asks for all devices, but resource pool ${pool.driver}/${pool.name} is currently ${state}`);
    for (const slice of pool.slices) {
      for (const device of slice.spec?.devices ?? []) {
        if (selects({ device, slice, pool }) && consumption(device.capacity, capacity)) found.push({ device, slice, pool });
      }
    }
  }
  return found;
}

