// Finds devices for the claims of a pod on one node: the first way to meet all requests at once, trying every one if it must.
// Pure; how its result is written into claims is said elsewhere. Rules: k8s.io/dynamic-resource-allocation/structured.
import { toleratesDeviceTaint, type DeviceTaint, type DeviceToleration } from "../../../api/devicetaints.ts";
import type { Quantity } from "../../../api/quantity.ts";
import type { AllocatedDevices } from "./allocated.ts";
import { consumption, fits, type Consumed } from "./capacity.ts";
import type { ClaimConstraint, Taking } from "./constraints.ts";
import { CounterUse } from "./counters.ts";
import { AllocationError, deviceId, MAX_RESULTS, type DeviceId } from "./types.ts";
import { isWanted, type Candidate, type Wish } from "./wishes.ts";
import type { Pool } from "./pools.ts";
import type { SelectableNode } from "../nodeaffinity.ts";

/** A device chosen for a request. */
export interface Pick extends Candidate {
  readonly wish: Wish;
  /** What it takes of a device that others may use too; undefined when the device is taken whole. */
  readonly consumed: ReadonlyMap<string, Quantity> | undefined;
}

/** One claim as the search sees it. */
export interface ClaimWishes {
  /** For each request its alternatives, the best first. */
  readonly requests: readonly (readonly Wish[])[];
  readonly constraints: readonly ClaimConstraint[];
}

export interface SearchOptions {
  readonly node: SelectableNode;
  readonly claims: readonly ClaimWishes[];
  readonly pools: readonly Pool[];
  readonly allocated: AllocatedDevices;
  /** Called now and then; throws to give up. */
  checkTime(): void;
}

/** `tooMany`: the claim would get more devices than a claim can; fewer for some request might still do. */
type Outcome = "done" | "failed" | "tooMany";

/** Where in a claim the search is. */
interface Spot {
  readonly claim: number;
  readonly request: number;
  readonly alternative: number;
  /** How many devices of the request there are already. */
  readonly taken: number;
}

/** Where the next device of a request is looked for: never before the last one, so that no set is tried twice. */
interface Start {
  readonly pool: number;
  readonly slice: number;
  readonly device: number;
}

const BEGINNING: Start = { pool: 0, slice: 0, device: 0 };
const STEPS_PER_CHECK = 64;

/** The devices for each claim, in the order of its requests; undefined when there is no way. Throws AllocationError. */
export function search(options: SearchOptions): readonly (readonly Pick[])[] | undefined {
  return new Search(options).run();
}

class Search {
  readonly #picks: Pick[][];
  /** Which claims of this search take a device. */
  readonly #taking = new Map<DeviceId, Set<number>>();
  readonly #consumed = new Map<DeviceId, Map<string, bigint>>();
  readonly #counters: CounterUse;
  #steps = 0;

  constructor(private readonly options: SearchOptions) {
    this.#picks = options.claims.map(() => []);
    this.#counters = new CounterUse(options.allocated);
  }

  run(): readonly (readonly Pick[])[] | undefined {
    return this.#claim(0) === "done" ? this.#picks : undefined;
  }

  #claim(claim: number): Outcome {
    return claim >= this.options.claims.length ? "done" : this.#request(claim, 0);
  }

  #request(claim: number, request: number): Outcome {
    const alternatives = this.options.claims[claim]?.requests[request];
    if (!alternatives) {
      const outcome = this.#claim(claim + 1);
      // Other choices in this claim may leave the next one an alternative with fewer devices.
      return outcome === "tooMany" ? "failed" : outcome;
    }
    let worst: Outcome = "tooMany";
    for (const alternative of alternatives.keys()) {
      const outcome = this.#devices({ claim, request, alternative, taken: 0 }, BEGINNING);
      if (outcome === "done") return outcome;
      if (outcome === "failed") worst = outcome;
    }
    return worst;
  }

  #devices(spot: Spot, start: Start): Outcome {
    if (++this.#steps % STEPS_PER_CHECK === 0) this.options.checkTime();
    const wish = this.options.claims[spot.claim]?.requests[spot.request]?.[spot.alternative] as Wish;
    if (wish.all?.length === 0) return "failed";
    if (spot.taken >= wish.count) return this.#request(spot.claim, spot.request + 1);
    if ((this.#picks[spot.claim] as Pick[]).length + wish.count - spot.taken > MAX_RESULTS) return "tooMany";
    const next = { ...spot, taken: spot.taken + 1 };
    if (!wish.all) return this.#anyDevice({ spot, next, wish }, start);
    const undo = this.#take(spot, wish, wish.all[spot.taken] as Candidate);
    if (!undo) return "failed";
    const outcome = this.#devices(next, BEGINNING);
    if (outcome !== "done") undo();
    return outcome;
  }

  #anyDevice({ spot, next, wish }: { spot: Spot; next: Spot; wish: Wish }, start: Start): Outcome {
    const { pools } = this.options;
    for (let p = start.pool; p < pools.length; p++) {
      const pool = pools[p] as Pool;
      for (let s = p === start.pool ? start.slice : 0; s < pool.slices.length; s++) {
        const slice = pool.slices[s] as Candidate["slice"];
        const devices = slice.spec?.devices ?? [];
        for (let d = p === start.pool && s === start.slice ? start.device : 0; d < devices.length; d++) {
          const candidate = { device: devices[d] as Candidate["device"], slice, pool };
          if (!this.#isFree(spot.claim, wish, candidate) || !isWanted(wish.plan, candidate, this.options.node)) continue;
          const undo = this.#take(spot, wish, candidate);
          if (!undo) continue;
          const outcome = this.#devices(next, { pool: p, slice: s, device: d + 1 });
          if (outcome === "done") return outcome;
          undo();
          if (outcome === "tooMany") return outcome;
        }
      }
    }
    return "failed";
  }

  /** Admins get any device, once a claim; everybody else gets what nobody has. */
  #isFree(claim: number, { plan: { hasAdminAccess } }: Wish, candidate: Candidate): boolean {
    const id = idOf(candidate);
    const taking = this.#taking.get(id);
    if (hasAdminAccess) return !taking?.has(claim);
    return !this.options.allocated.isExclusive(id) && !taking?.size;
  }

  /** Takes the device for the request, if that is possible; returns how to give it back. */
  #take(spot: Spot, wish: Wish, candidate: Candidate): (() => void) | undefined {
    if (!this.#isFree(spot.claim, wish, candidate) || isTainted(candidate.device.taints, wish.plan.tolerations)) return undefined;
    const { device, pool } = candidate;
    const id = idOf(candidate);
    const amounts = consumption(device.capacity, wish.plan.capacity);
    if (!amounts || !fits(device.capacity, amounts, [this.options.allocated.consumed(id), this.#consumed.get(id)])) return undefined;
    const isShared = device.allowMultipleAllocations === true;
    const isCounted = !(isShared && (this.options.allocated.consumed(id) !== undefined || this.#consumed.has(id)));
    if (isCounted && !this.#counters.take(device, pool)) return undefined;
    const giveBackCounters = (): void => void (isCounted && this.#counters.giveBack(device, pool));
    const taking: Taking = { device, driver: pool.driver, request: wish.plan.request, fullRequest: wish.plan.fullRequest };
    const { constraints } = this.options.claims[spot.claim] as ClaimWishes;
    if (!addToAll(constraints, taking)) {
      giveBackCounters();
      if (wish.all) throw new AllocationError(`${wish.plan.at}: cannot add device ${id} because a claim constraint would not be satisfied`);
      return undefined;
    }
    const release = isShared ? this.#share(id, amounts) : this.#own(id, spot.claim);
    const picks = this.#picks[spot.claim] as Pick[];
    picks.push({ ...candidate, wish, consumed: isShared ? amounts : undefined });
    return () => {
      picks.pop();
      release();
      for (const constraint of constraints) constraint.remove(taking);
      giveBackCounters();
    };
  }

  #own(id: DeviceId, claim: number): () => void {
    const claims = this.#taking.get(id) ?? new Set();
    this.#taking.set(id, claims.add(claim));
    return () => void claims.delete(claim);
  }

  #share(id: DeviceId, amounts: ReadonlyMap<string, Quantity>): () => void {
    const before: Consumed | undefined = this.#consumed.get(id);
    const after = new Map(before);
    for (const [name, { nano }] of amounts) after.set(name, (after.get(name) ?? 0n) + nano);
    this.#consumed.set(id, after);
    return () => void (before ? this.#consumed.set(id, before as Map<string, bigint>) : this.#consumed.delete(id));
  }
}

function idOf({ device, pool }: Candidate): DeviceId {
  return deviceId({ driver: pool.driver, pool: pool.name, device: device.name });
}

function addToAll(constraints: readonly ClaimConstraint[], taking: Taking): boolean {
  for (const [index, constraint] of constraints.entries()) {
    if (constraint.add(taking)) continue;
    for (const earlier of constraints.slice(0, index)) earlier.remove(taking);
    return false;
  }
  return true;
}

/** Only effects that are known keep pods away. */
function isTainted(taints: readonly DeviceTaint[] | undefined, tolerations: readonly DeviceToleration[]): boolean {
  return (taints ?? []).some((taint) => (taint.effect === "NoSchedule" || taint.effect === "NoExecute") && !tolerations.some((toleration) => toleratesDeviceTaint(toleration, taint)));
}
