// The whole status of a pod from everything known about it, and the patch that brings the API up to date. Pure.
// `statuswriter.ts` sends it.
import { timestamp } from "../../lib/clock.ts";
import type { Pod, PodStatus, ResourceRequirements } from "../../api/types.ts";
import { conditionsOf, hasStarted, DISRUPTION, OWNED_CONDITIONS, type ResizeState } from "./conditions.ts";
import { containerStatuses, type ContainerStatusInput } from "./containerstatus.ts";
import { judgeSandbox, mayRestartAll, restartsAll } from "./observed.ts";
import { phaseOf, type PodPhase } from "./phase.ts";
import { qosClass } from "./qos.ts";
import { resourceStatus } from "./resourcestatus.ts";

export interface StatusInput extends Omit<ContainerStatusInput, "old" | "role"> {
  /** The status last generated or, after a start, the API's. */
  readonly old: PodStatus;
  readonly volumesReady: boolean;
  readonly resize: ResizeState;
  /** What the pod as a whole really has, where it says anything of it. */
  readonly actuatedPod?: ResourceRequirements | undefined;
  /** A decision that overrides what the containers say: eviction, deadline, refusal. */
  readonly verdict?: { readonly phase: "Failed"; readonly reason: string; readonly message: string; readonly isRefusal?: boolean; readonly disruption?: { readonly reason: string; readonly message: string } } | undefined;
  readonly nodeIp: string;
  readonly now: number;
}

/** The pod's status now. A terminal phase, once reported, never changes again. */
export function podStatus(input: StatusInput): PodStatus {
  const { pod, old, observed } = input;
  if (input.verdict?.isRefusal) return refusedStatus(input, input.verdict);
  const regular = containerStatuses({ ...input, old: old.containerStatuses ?? [], role: "regular" });
  const init = containerStatuses({ ...input, old: old.initContainerStatuses ?? [], role: "init" });
  const ephemeral = containerStatuses({ ...input, old: old.ephemeralContainerStatuses ?? [], role: "ephemeral" });
  const statuses = [...init, ...regular];
  const phase = input.verdict?.phase ?? settledPhase(input, phaseOf(pod, statuses, { isTerminal: input.isTerminal, hasStartedRegular: regular.some(hasStarted) }));
  const ips = podIps(input);
  const samePhase = phase === old.phase;
  const reason = input.verdict?.reason ?? (samePhase ? (old.reason ?? pod.status?.reason) : undefined);
  const message = input.verdict?.message ?? (samePhase ? (old.message ?? pod.status?.message) : undefined);
  const sandbox = judgeSandbox(pod, observed);
  return {
    ...(pod.metadata.generation !== undefined && { observedGeneration: pod.metadata.generation }),
    phase,
    conditions: conditionsOf({ pod, old, statuses, phase, now: input.now, resize: input.isTerminal ? {} : input.resize, disruption: input.verdict?.disruption, allRestarting: mayRestartAll(pod) ? observed.containers.some((record) => restartsAll(pod, record)) : undefined, canStartContainers: !sandbox.needsNew && input.volumesReady }),
    ...(message && { message }),
    ...(reason && { reason }),
    hostIP: input.nodeIp,
    hostIPs: [{ ip: input.nodeIp }],
    ...(ips.length > 0 && { podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) }),
    startTime: old.startTime ?? pod.status?.startTime ?? timestamp(input.now),
    ...(init.length > 0 && { initContainerStatuses: init }),
    containerStatuses: regular,
    ...(ephemeral.length > 0 && { ephemeralContainerStatuses: ephemeral }),
    qosClass: pod.status?.qosClass ?? qosClass(pod),
    ...resourceStatus({ pod, observed, phase, actuated: input.actuated, actuatedPod: input.actuatedPod }),
  };
}

/** A pod that never began has no containers to tell of; with them, clients would show it as starting. */
function refusedStatus({ pod, now }: StatusInput, { phase, reason, message }: { phase: "Failed"; reason: string; message: string }): PodStatus {
  const { conditions, startTime = timestamp(now), qosClass: qos = qosClass(pod) } = pod.status ?? {};
  return { ...(pod.metadata.generation !== undefined && { observedGeneration: pod.metadata.generation }), phase, message, reason, startTime, qosClass: qos, ...(conditions && { conditions }) };
}

function settledPhase({ pod, old }: StatusInput, phase: PodPhase): PodPhase {
  if (isFinal(pod.status?.phase)) return pod.status.phase;
  return !isFinal(phase) && isFinal(old.phase) ? old.phase : phase;
}

const isFinal = (phase: string | undefined): phase is "Failed" | "Succeeded" => phase === "Failed" || phase === "Succeeded";

function podIps({ pod, old, observed, nodeIp }: StatusInput): string[] {
  if (pod.spec?.hostNetwork) return old.podIPs?.flatMap(({ ip }) => ip ?? []) ?? [nodeIp];
  const ready = observed.sandboxes[0];
  if (ready && ready.ips.length > 0) return [...ready.ips];
  // A finished pod keeps the address it had, for whoever reads its last status.
  return old.podIPs?.flatMap(({ ip }) => ip ?? []) ?? [];
}

/** The strategic merge patch that turns `from` into `to`; undefined when there is nothing to say. */
export function statusPatch(pod: Pod, from: PodStatus, to: PodStatus): Record<string, unknown> | undefined {
  const status: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(from), ...Object.keys(to)]) as Set<keyof PodStatus>) {
    if (isForeign(key) || Bun.deepEquals(from[key], to[key])) continue;
    if (key === "resources" || key === "allocatedResources") status[key] = withNulls(from[key], to[key]);
    else status[key] = key === "podIPs" || key === "hostIPs" ? replacedIps(from[key] ?? [], to[key] ?? []) : (to[key] ?? null);
  }
  const conditions = (to.conditions ?? []).flatMap((condition) => {
    const before = from.conditions?.find(({ type }) => type === condition.type);
    if (!(OWNED_CONDITIONS.includes(condition.type) || condition.type === DISRUPTION) || Bun.deepEquals(before, condition)) return [];
    // Merged by key, so a field that is gone must be said to be gone.
    const gone = Object.keys(before ?? {}).filter((key) => !(key in condition));
    return [{ ...condition, ...Object.fromEntries(gone.map((key) => [key, null])) }];
  });
  const removed = (from.conditions ?? []).filter((c) => OWNED_CONDITIONS.includes(c.type) && !to.conditions?.some((t) => t.type === c.type)).map(({ type }) => ({ type, $patch: "delete" }));
  if (conditions.length + removed.length > 0) status["conditions"] = [...conditions, ...removed];
  if (Object.keys(status).length === 0) return undefined;
  return { metadata: { uid: pod.metadata.uid }, status };
}

/** Maps are merged, so a key that is gone must be said to be gone. */
function withNulls(from: unknown, to: unknown): unknown {
  if (typeof from !== "object" || typeof to !== "object" || from === null || to === null) return to ?? null;
  const gone = Object.keys(from).filter((key) => !(key in to)).map((key) => [key, null]);
  return { ...Object.fromEntries(gone), ...Object.fromEntries(Object.entries(to).map(([key, value]) => [key, withNulls((from as Record<string, unknown>)[key], value)])) };
}

/** Fields of the status that others write, or that are merged by key. */
function isForeign(key: keyof PodStatus): boolean {
  return key === "conditions" || key === "nominatedNodeName" || key === "resize" || key === "resourceClaimStatuses" || key === "extendedResourceClaimStatus";
}

function replacedIps(from: readonly { ip?: string | undefined }[], to: readonly { ip?: string | undefined }[]): unknown[] {
  const removed = from.filter(({ ip }) => !to.some((kept) => kept.ip === ip)).map(({ ip }) => ({ ip, $patch: "delete" }));
  return [...to, ...removed];
}
