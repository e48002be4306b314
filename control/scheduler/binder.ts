// The writes of the scheduler: binding a pod to its node, and saying why a pod has none.
// Many are under way at once; each failure is told to the caller, never thrown into nowhere.
import type { Client } from "../../api/client/client.ts";
import { isNotFound } from "../../api/errors.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, PodCondition } from "../../api/types.ts";
import { timestamp, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { PodInfo } from "./podinfo.ts";

const POD = builtinKind("", "v1", "Pod");
const log = logger("scheduler");

/** Why a pod is not scheduled, as its condition says it. */
export interface Failure {
  readonly reason: "Unschedulable" | "SchedulerError" | "SchedulingGated";
  readonly message: string;
  /** undefined leaves `status.nominatedNodeName` as it is; empty clears it. */
  readonly nominatedNodeName?: string | undefined;
}

/** POSTs the binding; throws what the server answers. */
export async function bind(client: Client, { pod }: PodInfo, nodeName: string): Promise<void> {
  const { name, namespace, uid } = pod.metadata;
  const binding = { apiVersion: "v1", kind: "Binding", metadata: { name, namespace, uid }, target: { apiVersion: "v1", kind: "Node", name: nodeName } };
  await client.post(POD, { name, namespace }, "binding", binding);
}

/** Says which node the pod is going to, before it is bound; failing to is only logged. */
export async function nominate(client: Client, { pod, key }: PodInfo, nodeName: string): Promise<void> {
  if (pod.status?.nominatedNodeName === nodeName) return;
  const { name, namespace, uid } = pod.metadata;
  try {
    await client.patch(POD, { name, namespace }, { metadata: { uid }, status: { nominatedNodeName: nodeName } }, { type: "strategic", subresource: "status" });
  } catch (err) {
    if (!isNotFound(err)) log.warn({ err, pod: key }, "a pod's nomination was not written");
  }
}

/** Writes PodScheduled=False, unless the pod already says exactly that; failing to is only logged, the next attempt says it again. */
export async function reportFailure(o: { client: Client; clock: Clock; info: PodInfo; failure: Failure }): Promise<void> {
  const { pod } = o.info;
  const status = statusPatch(pod, o.failure, timestamp(o.clock.now()));
  if (!status) return;
  const { name, namespace } = pod.metadata;
  try {
    await o.client.patch(POD, { name, namespace }, { metadata: { uid: pod.metadata.uid }, status }, { type: "strategic", subresource: "status" });
  } catch (err) {
    if (!isNotFound(err)) log.warn({ err, pod: o.info.key }, "pod status was not updated");
  }
}

function statusPatch(pod: Pod, failure: Failure, now: string): object | undefined {
  const before = pod.status?.conditions?.find((c) => c.type === "PodScheduled");
  const isSaid = before?.status === "False" && before.reason === failure.reason && before.message === failure.message;
  const { nominatedNodeName } = failure;
  const isNominated = nominatedNodeName === undefined || nominatedNodeName === (pod.status?.nominatedNodeName ?? "");
  if (isSaid && isNominated) return undefined;
  const condition: PodCondition = {
    type: "PodScheduled", status: "False", reason: failure.reason, message: failure.message,
    lastTransitionTime: before?.status === "False" ? (before.lastTransitionTime ?? now) : now,
    ...(pod.metadata.generation !== undefined && { observedGeneration: pod.metadata.generation }),
  };
  return { ...(!isSaid && { conditions: [condition] }), ...(!isNominated && { nominatedNodeName: nominatedNodeName || null }) };
}
