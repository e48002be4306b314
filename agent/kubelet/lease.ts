// The node's heartbeat: its Lease in kube-node-lease, renewed every ten seconds.
import { isAlreadyExists, isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Lease, Stored } from "../../api/types.ts";
import { microTimestamp, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";

const log = logger("node-lease");
const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const NAMESPACE = "kube-node-lease";
/** How often a healthy node renews. */
export const RENEW_MS = 10_000;
const RETRY_MS = 1_000;
const TELL_EVERY = 60;
const DURATION_SECONDS = 40;

export interface LeaseInput {
  readonly client: Client;
  readonly clock: Clock;
  readonly nodeName: string;
  /** Empty until the node is registered. */
  readonly nodeUid: () => string;
  readonly durationSeconds?: number;
}

/** Renews until the signal aborts; a failure is tried again within a second. */
export async function keepLease(input: LeaseInput, signal: AbortSignal): Promise<void> {
  let held: Stored<Lease> | undefined;
  let failures = 0;
  // A quarter of its life, so that one lost renewal costs nothing.
  const renewMs = input.durationSeconds === undefined ? RENEW_MS : input.durationSeconds * 250;
  while (!signal.aborted) {
    let pause = renewMs;
    try {
      held = await renew(input, held);
      if (failures > 0) log.info({ failures }, "the node's lease is renewed again");
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      // An hour without an API server has 3600 of them.
      if (failures++ % TELL_EVERY === 0) log.warn({ err: error, failures }, "renewing the node's lease failed");
      held = undefined;
      pause = RETRY_MS;
    }
    await input.clock.sleep(pause, signal);
  }
}

async function renew(input: LeaseInput, held: Stored<Lease> | undefined): Promise<Stored<Lease>> {
  const { client, nodeName } = input;
  const current = held ?? (await existing(input));
  const lease = wanted(input, current);
  if (current) return client.update(LEASE, lease);
  try {
    return await client.create(LEASE, lease);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    return client.update(LEASE, wanted(input, await client.get<Lease>(LEASE, { namespace: NAMESPACE, name: nodeName })));
  }
}

async function existing({ client, nodeName }: LeaseInput): Promise<Stored<Lease> | undefined> {
  try {
    return await client.get<Lease>(LEASE, { namespace: NAMESPACE, name: nodeName });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

function wanted({ clock, nodeName, nodeUid, durationSeconds = DURATION_SECONDS }: LeaseInput, current: Stored<Lease> | undefined): Lease {
  const uid = nodeUid();
  return {
    apiVersion: "coordination.k8s.io/v1", kind: "Lease",
    metadata: current?.metadata ?? { name: nodeName, namespace: NAMESPACE, ...(uid && { ownerReferences: [{ apiVersion: "v1", kind: "Node", name: nodeName, uid }] }) },
    spec: { ...current?.spec, holderIdentity: nodeName, leaseDurationSeconds: durationSeconds, renewTime: microTimestamp(clock.now()) },
  };
}
