// Writes what was decided for a pod into its claims: allocation, reservation, and their undoing.
// Conflicts with others' harmless writes are retried; whatever else the server says is thrown.
import type { Client } from "../../../api/client/client.ts";
import { isConflict, isNotFound } from "../../../api/errors.ts";
import type { Pod, ResourceClaim, Stored } from "../../../api/types.ts";
import { timestamp, type Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { CLAIM, type DeviceObjects } from "./objects.ts";
import { FINALIZER, type Allocation, type Claim } from "./types.ts";
import { keyOf } from "./wishes.ts";

export interface BindDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly objects: DeviceObjects;
}

const MAX_TRIES = 5;
const log = logger("scheduler");

/** Allocates (where there is an allocation to write) and reserves a claim for the pod; returns it as written. */
export async function bindClaim(claim: Claim, { pod, allocation }: { pod: Stored<Pod>; allocation: Allocation | undefined }, { client, clock, objects }: BindDeps): Promise<Claim> {
  const written = await withRetries(claim, client, async (latest) => {
    if (latest.metadata.deletionTimestamp !== undefined) throw new Error(`claim ${keyOf(latest)} got deleted in the meantime`);
    if (allocation && latest.status?.allocation) throw new Error(`claim ${keyOf(latest)} got allocated elsewhere in the meantime`);
    if (!allocation && !latest.status?.allocation) throw new Error(`claim ${keyOf(latest)} got deallocated elsewhere in the meantime`);
    const guarded = allocation ? await withFinalizer(latest, client) : latest;
    const base = allocation ?? (guarded.status?.allocation as Allocation);
    const consumer = { resource: "pods", name: pod.metadata.name, uid: pod.metadata.uid };
    const status = {
      ...guarded.status,
      allocation: { allocationTimestamp: timestamp(clock.now()), ...base },
      reservedFor: [...(guarded.status?.reservedFor ?? []), consumer],
    };
    return client.update<ResourceClaim>(CLAIM, { ...guarded, status }, { subresource: "status" });
  });
  objects.wrote(written);
  return written;
}

/** Takes the pod's reservation back; failing to is only logged, the claims' controller does it too. */
export async function unreserve(claim: Claim, uid: string, { client, objects }: BindDeps): Promise<void> {
  await tolerant(claim, async () => {
    objects.wrote(await withRetries(claim, client, (latest) => {
      const reservedFor = (latest.status?.reservedFor ?? []).filter((consumer) => consumer.uid !== uid);
      return client.update<ResourceClaim>(CLAIM, { ...latest, status: { ...latest.status, reservedFor } }, { subresource: "status" });
    }));
  });
}

/** Gives a claim's devices back, so that others can be tried; failing to is only logged. */
export async function deallocate(claim: Claim, { client, objects }: BindDeps): Promise<void> {
  await tolerant(claim, async () => {
    const { allocation: _allocation, reservedFor: _reservedFor, devices: _devices, ...status } = claim.status ?? {};
    objects.wrote(await client.update<ResourceClaim>(CLAIM, { ...claim, status }, { subresource: "status" }));
  });
}

/** Removes a claim that the scheduler made itself; failing to is only logged. */
export async function deleteClaim(claim: Claim, { client }: BindDeps): Promise<void> {
  const { namespace, name, uid } = claim.metadata;
  await tolerant(claim, async () => {
    await withRetries(claim, client, async (latest) => {
      const finalizers = (latest.metadata.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
      return client.update<ResourceClaim>(CLAIM, { ...latest, metadata: { ...latest.metadata, finalizers } });
    });
    await client.delete(CLAIM, { namespace, name }, { preconditions: { uid } });
  });
}

async function withFinalizer(claim: Claim, client: Client): Promise<Claim> {
  const finalizers = claim.metadata.finalizers ?? [];
  if (finalizers.includes(FINALIZER)) return claim;
  return client.update<ResourceClaim>(CLAIM, { ...claim, metadata: { ...claim.metadata, finalizers: [...finalizers, FINALIZER] } });
}

/** The first try writes what the cache knows; later ones read again. */
async function withRetries(claim: Claim, client: Client, write: (latest: Claim) => Promise<Claim>): Promise<Claim> {
  const { namespace, name } = claim.metadata;
  let latest = claim;
  for (let left = MAX_TRIES; ; left--) {
    try {
      return await write(latest);
    } catch (error) {
      if (!isConflict(error) || left <= 1) throw error;
      latest = await client.get<ResourceClaim>(CLAIM, { namespace, name });
    }
  }
}

async function tolerant(claim: Claim, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (err) {
    if (!isNotFound(err)) log.warn({ err, claim: keyOf(claim) }, "a resource claim was not given back");
  }
}
