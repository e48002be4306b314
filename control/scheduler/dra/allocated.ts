// Which devices are taken, by claims in the API and by decisions on their way there.
// Kept in step claim by claim, so that a decision need not look at all claims.
import { parseQuantity } from "../../../api/quantity.ts";
import type { Consumed } from "./capacity.ts";
import { deviceId, type Allocation, type DeviceId } from "./types.ts";

interface Held {
  readonly allocation: Allocation;
  readonly exclusive: readonly DeviceId[];
  readonly shared: readonly { readonly id: DeviceId; readonly consumed: Consumed }[];
}

interface SharedUse {
  users: number;
  readonly consumed: Map<string, bigint>;
}

/** The devices taken, seen from what is taken by whom. */
export class AllocatedDevices {
  readonly #held = new Map<string, Held>();
  readonly #exclusive = new Map<DeviceId, number>();
  readonly #shared = new Map<DeviceId, SharedUse>();

  /** What the claim holds now; undefined for nothing. */
  set(uid: string, allocation: Allocation | undefined): void {
    const before = this.#held.get(uid);
    if (before?.allocation === allocation) return;
    if (before) this.#count(before, -1);
    this.#held.delete(uid);
    if (!allocation) return;
    const held = heldBy(allocation);
    this.#held.set(uid, held);
    this.#count(held, 1);
  }

  /** Taken by one claim for itself. */
  isExclusive(id: DeviceId): boolean {
    return this.#exclusive.has(id);
  }

  /** Taken by anyone, wholly or in part. */
  isTaken(id: DeviceId): boolean {
    return this.#exclusive.has(id) || this.#shared.has(id);
  }

  /** What is taken of a device that several may share. */
  consumed(id: DeviceId): Consumed | undefined {
    return this.#shared.get(id)?.consumed;
  }

  #count({ exclusive, shared }: Held, by: 1 | -1): void {
    for (const id of exclusive) {
      const users = (this.#exclusive.get(id) ?? 0) + by;
      if (users > 0) this.#exclusive.set(id, users);
      else this.#exclusive.delete(id);
    }
    for (const { id, consumed } of shared) {
      const use = this.#shared.get(id) ?? { users: 0, consumed: new Map<string, bigint>() };
      use.users += by;
      for (const [name, amount] of consumed) use.consumed.set(name, (use.consumed.get(name) ?? 0n) + BigInt(by) * amount);
      if (use.users > 0) this.#shared.set(id, use);
      else this.#shared.delete(id);
    }
  }
}

/** Admins look at devices without taking them. */
function heldBy(allocation: Allocation): Held {
  const exclusive: DeviceId[] = [];
  const shared: { id: DeviceId; consumed: Consumed }[] = [];
  for (const result of allocation.devices?.results ?? []) {
    if (result.adminAccess) continue;
    const id = deviceId(result);
    if (result.shareID === undefined) exclusive.push(id);
    else shared.push({ id, consumed: new Map(Object.entries(result.consumedCapacity ?? {}).map(([name, amount]) => [name, parseQuantity(amount).nano])) });
  }
  return { allocation, exclusive, shared };
}
