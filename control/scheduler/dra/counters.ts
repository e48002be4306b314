// Counters that the devices of a pool share: a device that is taken uses some up, and with them other devices' chances.
// Counts what claims hold and what a search has taken so far.
import { parseQuantity } from "../../../api/quantity.ts";
import type { AllocatedDevices } from "./allocated.ts";
import type { Pool } from "./pools.ts";
import { deviceId, type Device } from "./types.ts";

/** What is left of the counters, of each pool that was asked about. */
export class CounterUse {
  readonly #left = new Map<Pool, Map<string, bigint>>();

  constructor(private readonly allocated: AllocatedDevices) {}

  /** Uses up what the device needs; false, and nothing used, when there is too little. */
  take(device: Device, pool: Pool): boolean {
    if (!device.consumesCounters?.length) return true;
    const left = this.#leftIn(pool);
    const hasEnough = needs(device).every(([counter, amount]) => (left.get(counter) ?? 0n) >= amount);
    if (hasEnough) use(left, device, 1n);
    return hasEnough;
  }

  giveBack(device: Device, pool: Pool): void {
    if (device.consumesCounters?.length) use(this.#leftIn(pool), device, -1n);
  }

  #leftIn(pool: Pool): Map<string, bigint> {
    let left = this.#left.get(pool);
    if (!left) this.#left.set(pool, (left = this.#unallocated(pool)));
    return left;
  }

  /** Devices of other nodes count too. */
  #unallocated(pool: Pool): Map<string, bigint> {
    const left = new Map<string, bigint>();
    for (const [set, counters] of pool.counters) for (const [name, value] of Object.entries(counters)) left.set(`${set}/${name}`, parseQuantity(value).nano);
    for (const { spec } of [...pool.slices, ...pool.elsewhere]) {
      for (const device of spec?.devices ?? []) {
        if (device.consumesCounters?.length && this.allocated.isTaken(deviceId({ driver: pool.driver, pool: pool.name, device: device.name }))) use(left, device, 1n);
      }
    }
    return left;
  }
}

function needs({ consumesCounters = [] }: Device): [string, bigint][] {
  return consumesCounters.flatMap(({ counterSet, counters }) => Object.entries(counters).map(([name, { value }]): [string, bigint] => [`${counterSet}/${name}`, parseQuantity(value).nano]));
}

function use(left: Map<string, bigint>, device: Device, times: bigint): void {
  for (const [counter, amount] of needs(device)) left.set(counter, (left.get(counter) ?? 0n) - times * amount);
}
