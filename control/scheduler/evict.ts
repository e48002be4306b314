// Makes the room a preemption plan asks for: marks the victims, deletes them, and takes back lesser nominations.
// Safe to repeat: a victim that is gone already is what was wanted.
import type { Client } from "../../api/client/client.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { isNotFound } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import { timestamp, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { PodInfo } from "./podinfo.ts";

const POD = builtinKind("", "v1", "Pod");
const log = logger("scheduler");

export interface Eviction {
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly preemptor: PodInfo;
  readonly nodeName: string;
  readonly victims: readonly PodInfo[];
  /** Pods that were promised this node and matter less. */
  readonly displaced: readonly PodInfo[];
}

/** Resolves when every victim is deleted or going, with whether all are; what fails is logged, the preemptor will try again. */
export async function makeRoom(eviction: Eviction): Promise<"success" | "error"> {
  const { displaced, victims } = eviction;
  const [gone] = await Promise.all([Promise.all(victims.map((victim) => evict(eviction, victim))), Promise.all(displaced.map((pod) => clearNomination(eviction, pod)))]);
  return gone.every(Boolean) ? "success" : "error";
}

async function evict({ client, recorder, clock, preemptor, nodeName }: Eviction, victim: PodInfo): Promise<boolean> {
  if (victim.pod.metadata.deletionTimestamp !== undefined) return true;
  const { name, namespace, uid } = victim.pod.metadata;
  const scheduler = preemptor.pod.spec?.schedulerName ?? "default-scheduler";
  const condition = {
    type: "DisruptionTarget", status: "True", reason: "PreemptionByScheduler", lastTransitionTime: timestamp(clock.now()),
    message: `${scheduler}: preempting to accommodate a higher priority pod`,
    ...(victim.pod.metadata.generation !== undefined && { observedGeneration: victim.pod.metadata.generation }),
  };
  try {
    await client.patch(POD, { name, namespace }, { metadata: { uid }, status: { conditions: [condition] } }, { type: "strategic", subresource: "status" });
    await client.delete(POD, { name, namespace }, { preconditions: { uid } });
    recorder.event(victim.pod, "Normal", "Preempted", `Preempted by pod ${preemptor.uid} on node ${nodeName}`);
    return true;
  } catch (err) {
    if (isNotFound(err)) return true;
    log.warn({ err, victim: victim.key, preemptor: preemptor.key }, "a pod was not preempted");
    return false;
  }
}

async function clearNomination({ client }: Eviction, { pod, key }: PodInfo): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  try {
    await client.patch(POD, { name, namespace }, { metadata: { uid }, status: { nominatedNodeName: null } }, { type: "strategic", subresource: "status" });
  } catch (err) {
    if (!isNotFound(err)) log.warn({ err, pod: key }, "a nomination was not taken back");
  }
}
