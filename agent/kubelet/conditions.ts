// The conditions of a pod that the kubelet owns, in upstream's order and words. Pure.
// Conditions of other owners (readiness gates, DisruptionTarget) are left where they are.
import { timestamp } from "../../lib/clock.ts";
import type { ContainerStatus, Pod, PodCondition, PodStatus } from "../../api/types.ts";
import { isSidecar } from "./observed.ts";
import type { PodPhase } from "./phase.ts";

/** The condition types this kubelet writes; all others belong to somebody else. */
export const OWNED_CONDITIONS: readonly string[] = ["PodResizePending", "PodResizeInProgress", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", "AllContainersRestarting"];

/** Others write it too; this kubelet only when it ends the pod itself. */
export const DISRUPTION = "DisruptionTarget";

/** How far a resize of the pod has come; absent parts are conditions the pod does not have. */
export interface ResizeState {
  readonly pending?: { readonly reason: string; readonly message: string } | undefined;
  /** Granted and being carried out; with the error that keeps it from being done. */
  readonly inProgress?: { readonly error?: string | undefined } | undefined;
}

export interface ConditionInput {
  readonly pod: Pod;
  readonly old: PodStatus;
  /** Init and regular containers. */
  readonly statuses: readonly ContainerStatus[];
  readonly phase: PodPhase;
  /** Sandbox with network, and volumes mounted. */
  readonly canStartContainers: boolean;
  readonly resize: ResizeState;
  /** Whether the pod restarts as a whole; undefined for pods that never do. */
  readonly allRestarting?: boolean | undefined;
  /** Why this kubelet ends the pod. */
  readonly disruption?: { readonly reason: string; readonly message: string } | undefined;
  readonly now: number;
}

type Verdict = Pick<PodCondition, "status" | "reason" | "message">;

/** All conditions of the pod: foreign ones as they were, then our own. */
export function conditionsOf(input: ConditionInput): PodCondition[] {
  const foreign = (input.pod.status?.conditions ?? []).filter((condition) => !OWNED_CONDITIONS.includes(condition.type) && !(input.disruption && condition.type === DISRUPTION));
  const containersReady = judgeContainersReady(input);
  const { pending, inProgress } = input.resize;
  const own: [string, Verdict][] = [
    ...(input.disruption ? [[DISRUPTION, { status: "True", ...input.disruption }] as [string, Verdict]] : []),
    ...(pending ? [["PodResizePending", { status: "True", ...pending }] as [string, Verdict]] : []),
    ...(inProgress ? [["PodResizeInProgress", { status: "True", ...(inProgress.error !== undefined && { reason: "Error", message: inProgress.error }) }] as [string, Verdict]] : []),
    ["PodReadyToStartContainers", { status: input.canStartContainers ? "True" : "False" }],
    ["Initialized", judgeInitialized(input)],
    ["Ready", judgeReady(input, containersReady, foreign)],
    ["ContainersReady", containersReady],
    ["PodScheduled", { status: "True" }],
    ...(input.allRestarting === undefined ? [] : [["AllContainersRestarting", judgeRestarting(input)] as [string, Verdict]]),
  ];
  return [...foreign, ...own.map(([type, verdict]) => stamped(input, type, verdict))];
}

function stamped(input: ConditionInput, type: string, verdict: Verdict): PodCondition {
  const old = input.old.conditions?.find((condition) => condition.type === type) ?? input.pod.status?.conditions?.find((condition) => condition.type === type);
  const since = old && old.status === verdict.status ? old.lastTransitionTime : undefined;
  return {
    type,
    status: verdict.status,
    lastTransitionTime: since ?? timestamp(input.now),
    ...(verdict.reason && { reason: verdict.reason }),
    ...(verdict.message && { message: verdict.message }),
    ...(input.pod.metadata.generation !== undefined && { observedGeneration: input.pod.metadata.generation }),
  };
}

function judgeRestarting({ phase, allRestarting }: ConditionInput): Verdict {
  if (phase === "Succeeded") return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  return allRestarting ? { status: "True", reason: "RestartAllContainersStarted", message: "container exited with restart policy rule" } : { status: "False" };
}

function judgeContainersReady({ pod, statuses, phase }: ConditionInput): Verdict {
  const required = [...(pod.spec?.initContainers ?? []).filter(isSidecar), ...(pod.spec?.containers ?? [])];
  const unknown = required.filter((c) => !statuses.some((s) => s.name === c.name)).map((c) => c.name);
  const unready = required.filter((c) => statuses.some((s) => s.name === c.name && !s.ready)).map((c) => c.name);
  if (phase === "Succeeded" && unknown.length === 0) return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  const message = [listed("containers with unknown status", unknown), listed("containers with unready status", unready)].filter(Boolean).join(", ");
  return message === "" ? { status: "True" } : { status: "False", reason: "ContainersNotReady", message };
}

function judgeReady(input: ConditionInput, containersReady: Verdict, foreign: readonly PodCondition[]): Verdict {
  if (containersReady.status !== "True") return containersReady;
  const complaints = (input.pod.spec?.readinessGates ?? []).flatMap(({ conditionType }) => {
    const condition = foreign.find((candidate) => candidate.type === conditionType);
    if (!condition) return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    return condition.status === "True" ? [] : [`the status of pod readiness gate "${conditionType}" is not "True", but ${condition.status}`];
  });
  return complaints.length === 0 ? { status: "True" } : { status: "False", reason: "ReadinessGatesNotReady", message: complaints.join(", ") };
}

function judgeInitialized({ pod, statuses, phase }: ConditionInput): Verdict {
  const init = pod.spec?.initContainers ?? [];
  const unknown = init.filter((c) => !statuses.some((s) => s.name === c.name)).map((c) => c.name);
  const incomplete = init.filter((c) => statuses.some((s) => s.name === c.name && !(isSidecar(c) ? s.started : s.ready))).map((c) => c.name);
  if (phase === "Succeeded" && unknown.length === 0) return { status: "True", reason: "PodCompleted" };
  // Once a regular container has run the pod was initialised, whatever its sidecars do now.
  if (pod.spec?.containers.some((c) => hasStarted(statuses.find((s) => s.name === c.name)))) return { status: "True" };
  const message = [listed("containers with unknown status", unknown), listed("containers with incomplete status", incomplete)].filter(Boolean).join(", ");
  return message === "" ? { status: "True" } : { status: "False", reason: "ContainersNotInitialized", message };
}

/** Whether this regular container runs or ever ran. */
export function hasStarted(status: ContainerStatus | undefined): boolean {
  return Boolean(status?.state?.running || status?.state?.terminated || status?.lastState?.terminated || status?.started);
}

function listed(what: string, names: readonly string[]): string {
  return names.length === 0 ? "" : `${what}: [${names.join(" ")}]`;
}
