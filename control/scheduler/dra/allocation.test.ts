// The search against trying everything: on small random clusters both must agree on whether devices can be had, and the result must hold.
import { describe, expect, test } from "bun:test";
import { AllocatedDevices } from "./allocated.ts";
import { allocate } from "./allocation.ts";
import { poolsOf } from "./pools.ts";
import { deviceId, type Allocation, type Claim, type Class, type Device, type Slice } from "./types.ts";
import { planWishes } from "./wishes.ts";

const DRIVER = "d.example.com";
const node = { name: "n", labels: {} };
const anyDevice = { metadata: { name: "any" }, spec: {} } as Class;

/** Numbers that repeat with the seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

interface World {
  readonly devices: readonly Device[];
  readonly taken: readonly string[];
  readonly claims: readonly Claim[];
}

function aWorld(random: (below: number) => number): World {
  const devices = Array.from({ length: 2 + random(4) }, (_, index): Device => ({
    name: `g${index}`, attributes: { kind: { string: random(2) ? "a" : "b" }, numa: { int: random(3) } },
    ...(random(2) && { consumesCounters: [{ counterSet: "card", counters: { units: { value: String(1 + random(3)) } } }] }),
  }));
  const taken = devices.filter(() => random(4) === 0).map(({ name }) => name);
  const claims = Array.from({ length: 1 + random(2) }, (_, c): Claim => {
    const requests = Array.from({ length: 1 + random(2) }, (_unused, r) => ({
      name: `r${r}`, exactly: { deviceClassName: "any", allocationMode: "ExactCount", count: 1 + random(2), ...(random(2) && { selectors: [{ cel: { expression: `device.attributes["${DRIVER}"].kind == "${random(2) ? "a" : "b"}"` } }] }) },
    }));
    const rule = random(3);
    const constraints = rule === 0 ? [] : [{ [rule === 1 ? "matchAttribute" : "distinctAttribute"]: `${DRIVER}/numa` }];
    return { metadata: { name: `c${c}`, namespace: "default" }, spec: { devices: { requests, constraints } } } as unknown as Claim;
  });
  return { devices, taken, claims };
}

const slicesOf = ({ devices }: World): Slice[] => {
  const pool = { name: "p", generation: 1, resourceSliceCount: 2 };
  return [
    { metadata: { name: "counters" }, spec: { driver: DRIVER, nodeName: "n", pool, sharedCounters: [{ name: "card", counters: { units: { value: "4" } } }] } },
    { metadata: { name: "devices" }, spec: { driver: DRIVER, nodeName: "n", pool, devices } },
  ] as unknown as Slice[];
};

function found(world: World): readonly Allocation[] | string {
  const slices = slicesOf(world);
  const pools = poolsOf(node, { onNode: () => slices, shared: [], ofPool: () => slices });
  const allocated = new AllocatedDevices();
  allocated.set("other", { devices: { results: world.taken.map((device) => ({ request: "r", driver: DRIVER, pool: "p", device })) } });
  return allocate({ node, pools, allocated, claims: world.claims.map((claim) => ({ claim, requests: planWishes(claim, () => anyDevice) })), checkTime: () => {} });
}

/** One place for a device: which claim and request it is for. */
interface Seat {
  readonly claim: number;
  readonly kind: string | undefined;
}

function seatsOf({ claims }: World): Seat[] {
  return claims.flatMap((claim, index) => (claim.spec?.devices?.requests ?? []).flatMap(({ exactly }) => {
    const kind = /== "(.)"/.exec(exactly?.selectors?.[0]?.cel?.expression ?? "")?.[1];
    return Array.from({ length: exactly?.count ?? 0 }, (): Seat => ({ claim: index, kind }));
  }));
}

const unitsOf = ({ consumesCounters }: Device): number => Number(consumesCounters?.[0]?.counters["units"]?.value ?? 0);

function holds(world: World, seated: readonly (readonly [Seat, Device])[]): boolean {
  const names = seated.map(([, { name }]) => name);
  if (new Set(names).size < names.length || names.some((name) => world.taken.includes(name))) return false;
  if (seated.some(([{ kind }, { attributes }]) => kind !== undefined && attributes?.["kind"]?.string !== kind)) return false;
  const used = [...world.devices.filter(({ name }) => world.taken.includes(name)), ...seated.map(([, device]) => device)];
  // What is taken already may exceed the counters; then only devices without any can follow.
  const units = used.reduce((sum, device) => sum + unitsOf(device), 0);
  if (units > 4 && seated.some(([, device]) => unitsOf(device) > 0)) return false;
  return world.claims.every((claim, index) => {
    const [constraint] = claim.spec?.devices?.constraints ?? [];
    const values = seated.filter(([seat]) => seat.claim === index).map(([, { attributes }]) => attributes?.["numa"]?.int);
    const distinct = new Set(values).size;
    return !constraint || (constraint.matchAttribute ? distinct <= 1 : distinct === values.length);
  });
}

function isPossible(world: World): boolean {
  const seats = seatsOf(world);
  const tryFrom = (seated: readonly (readonly [Seat, Device])[]): boolean => {
    const seat = seats[seated.length];
    return seat ? world.devices.some((device) => tryFrom([...seated, [seat, device]])) : holds(world, seated);
  };
  return tryFrom([]);
}

describe("devices for claims", () => {
  for (let block = 0; block < 8; block++) {
    test(`are found exactly when there are some (seeds ${block * 50} to ${block * 50 + 49})`, () => {
      for (let seed = block * 50; seed < block * 50 + 50; seed++) compare(seed);
    });
  }
});

function compare(seed: number): void {
  const world = aWorld(randomOf(seed));
  const seats = seatsOf(world);
  if (seats.length > 5) return;
  const result = found(world);
  expect([seed, typeof result !== "string"]).toEqual([seed, isPossible(world)]);
  if (typeof result === "string") return;
  const devices = result.flatMap(({ devices: given }) => (given?.results ?? []).map(({ device }) => world.devices.find(({ name }) => name === device) as Device));
  expect([seed, holds(world, seats.map((seat, index) => [seat, devices[index] as Device]))]).toEqual([seed, true]);
}

test("what is given back is as if it had never been taken", () => {
  const allocated = new AllocatedDevices();
  const id = deviceId({ driver: "d", pool: "p", device: "g" });
  const shared = { devices: { results: [{ request: "r", driver: "d", pool: "p", device: "g", shareID: "s", consumedCapacity: { memory: "1Gi" } }] } };
  allocated.set("one", shared);
  allocated.set("two", { ...shared });
  allocated.set("one", undefined);
  expect([allocated.isTaken(id), allocated.isExclusive(id), allocated.consumed(id)?.get("memory")]).toEqual([true, false, 1_073_741_824_000_000_000n]);
  allocated.set("two", undefined);
  expect([allocated.isTaken(id), allocated.consumed(id)]).toEqual([false, undefined]);
});
