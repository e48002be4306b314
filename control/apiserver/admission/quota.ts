// ResourceQuota: what a write will use is booked in the quotas of its namespace before it is stored.
// Writes to one namespace are checked one after the other, so that two cannot take the same last place.
import type { Client } from "../../../api/client/client.ts";
import { isConflict, isNotFound } from "../../../api/errors.ts";
import { parseQuantity, formatQuantity, subtractQuantities } from "../../../api/quantity.ts";
import type { ResourceList } from "../../../api/podresources.ts";
import { isUncounted } from "../../../api/quota/usage.ts";
import { builtinKind } from "../../../api/registry.ts";
import type { ResourceQuota, Stored } from "../../../api/types.ts";
import { logger } from "../../../lib/log.ts";
import { systemClock, type Clock } from "../../../lib/clock.ts";
import { refuse } from "./attributes.ts";
import type { AdmissionPlugin, Attributes } from "./plugin.ts";
import { checkQuotas, countsForQuota } from "./quotacheck.ts";

type Quota = Stored<ResourceQuota>;
const QUOTA = builtinKind("", "v1", "ResourceQuota");
const ATTEMPTS = 5;
const log = logger("quota");

/** What one write booked, quota by quota: how much each resource grew. */
type Booking = ReadonlyMap<string, ResourceList>;

/** Guards quotas. */
export function resourceQuota(clock: Clock = systemClock): AdmissionPlugin {
  const queues = new Map<string, Promise<void>>();
  const bookings = new WeakMap<Attributes, { readonly client: Client; readonly booking: Booking }>();

  /** Runs after everything asked before for the same namespace. */
  async function inTurn<T>(namespace: string, work: () => Promise<T>): Promise<T> {
    const before = queues.get(namespace);
    const turn = Promise.withResolvers<void>();
    queues.set(namespace, turn.promise);
    try {
      await before;
      return await work();
    } finally {
      if (queues.get(namespace) === turn.promise) queues.delete(namespace);
      turn.resolve();
    }
  }

  return {
    name: "ResourceQuota",
    concerns: ({ kind }) => kind.namespaced && !isUncounted(kind),
    handles: countsForQuota,
    async validate(attributes, client) {
      const { namespace } = attributes;
      if ((await quotasOf(client, namespace)).length === 0) return;
      const booking = await inTurn(namespace, () => book(attributes, client, clock.now()));
      if (booking.size > 0) bookings.set(attributes, { client, booking });
    },
    settle(attributes, stored) {
      const held = bookings.get(attributes);
      bookings.delete(attributes);
      if (stored || !held) return;
      const { namespace } = attributes;
      inTurn(namespace, () => giveBack(held.client, namespace, held.booking)).catch((error: unknown) => log.warn({ err: error, namespace }, "a booking was not given back; the next recount will"));
    },
  };
}

async function quotasOf(client: Client, namespace: string): Promise<Quota[]> {
  return (await client.list<ResourceQuota>(QUOTA, { namespace })).items;
}

async function book(attributes: Attributes, client: Client, nowMs: number): Promise<Booking> {
  const booking = new Map<string, ResourceList>();
  for (let attempt = 1; ; attempt++) {
    const quotas = (await quotasOf(client, attributes.namespace)).filter(({ metadata }) => !booking.has(metadata.name));
    const verdict = checkQuotas(quotas, attributes, nowMs);
    if ("refusal" in verdict) {
      await giveBack(client, attributes.namespace, booking);
      throw refuse(attributes, verdict.refusal);
    }
    if (attributes.dryRun) return booking;
    const isBooked = await writeAll(client, { quotas, used: verdict.used }, booking);
    if (isBooked) return booking;
    if (attempt === ATTEMPTS) throw refuse(attributes, "the quota of this namespace changes too fast to be checked; please try again");
  }
}

/** Writes what quotas have used; false when somebody else changed one meanwhile. */
async function writeAll(client: Client, { quotas, used }: { quotas: readonly Quota[]; used: ReadonlyMap<string, ResourceList> }, booking: Map<string, ResourceList>): Promise<boolean> {
  for (const quota of quotas) {
    const next = used.get(quota.metadata.name);
    if (!next) continue;
    try {
      await client.update<ResourceQuota>(QUOTA, { ...quota, status: { ...quota.status, used: next } }, { subresource: "status" });
      booking.set(quota.metadata.name, minus(next, quota.status?.used ?? {}));
    } catch (error) {
      if (isConflict(error)) return false;
      if (!isNotFound(error)) throw error;
    }
  }
  return true;
}

async function giveBack(client: Client, namespace: string, booking: Booking): Promise<void> {
  for (const [name, amounts] of booking) {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      try {
        const quota = await client.get<ResourceQuota>(QUOTA, { name, namespace });
        await client.update<ResourceQuota>(QUOTA, { ...quota, status: { ...quota.status, used: { ...quota.status?.used, ...minus(quota.status?.used ?? {}, amounts) } } }, { subresource: "status" });
        break;
      } catch (error) {
        if (isNotFound(error)) break;
        if (!isConflict(error) || attempt === ATTEMPTS) throw error;
      }
    }
  }
}

/** a - b, for the names in both. */
function minus(a: Readonly<ResourceList>, b: Readonly<ResourceList>): ResourceList {
  const names = Object.keys(a).filter((name) => b[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, formatQuantity(subtractQuantities(parseQuantity(a[name] as string), parseQuantity(b[name] as string)))]));
}
