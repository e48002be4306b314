// What a plan is made of: what it is decided from, the actions it may hold, and what holds them back.
// Deciding is `plan.ts` and `planinit.ts`.
import type { Container, Pod, ResourceRequirements } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import type { BackOff } from "./backoff.ts";
import type { ObservedPod } from "./observed.ts";

/** What the probes say of one running container; absent means not probed or not known yet. */
export interface ProbeVerdict {
  readonly liveness?: "success" | "failure";
  readonly startup?: "success" | "failure";
}

export interface PlanInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  /** By container id. */
  readonly probes: ReadonlyMap<string, ProbeVerdict>;
  /** By container name. */
  readonly backOffs: ReadonlyMap<string, BackOff>;
  /** By container name: when a start that failed is worth another try. */
  readonly notBefore: ReadonlyMap<string, number>;
  /** What running containers really have, by container id; absent means as the spec says. */
  readonly actuated: ReadonlyMap<string, ResourceRequirements>;
  /** What the pod as a whole really has. */
  readonly actuatedPod?: ResourceRequirements | undefined;
  readonly now: number;
}

export type ContainerRole = "ephemeral" | "init" | "regular";

/** Why a container is killed; decides its grace period. */
export type KillReason = "LivenessProbe" | "StartupProbe" | "DefinitionChanged" | "Resize" | "RestartAllContainers" | "Unknown";

export type Action =
  | { readonly type: "killPod" }
  | { readonly type: "killContainer"; readonly id: string; readonly container: string; readonly reason: KillReason; readonly message: string }
  | { readonly type: "removeContainer"; readonly id: string }
  /** Kills it where it still runs, and removes it; its log stays. */
  | { readonly type: "resetContainer"; readonly id: string; readonly container: string }
  | { readonly type: "createSandbox"; readonly attempt: number; readonly replaces: string | undefined }
  | { readonly type: "resize"; readonly id: string; readonly container: string }
  /** The pod's own limits, whatever its containers' are. */
  | { readonly type: "resizePod" }
  | { readonly type: "startContainer"; readonly role: ContainerRole; readonly container: string };

/** A container that must wait before it may start again. */
export interface Waiting {
  readonly container: string;
  /** Why, in CrashLoopBackOff's words; undefined when the reason already shown still holds. */
  readonly message: string | undefined;
  readonly until: number;
}

/** Actions in the order they must happen; each depends on the success of those before. */
export interface Plan {
  readonly actions: readonly Action[];
  readonly waiting: readonly Waiting[];
}

/** Whether the plan carries out a resize, in place or by a restart. */
export function isResizing({ actions }: Plan): boolean {
  return actions.some((action) => action.type === "resize" || action.type === "resizePod" || (action.type === "killContainer" && action.reason === "Resize"));
}

/** A start among the actions. */
export type Start = Extract<Action, { type: "startContainer" }>;

/** Actions on single containers as they are found out. */
export interface Draft {
  readonly kill: Extract<Action, { type: "killContainer" }>[];
  readonly resize: Extract<Action, { type: "resize" }>[];
  readonly start: Start[];
}

/** Nothing found out yet. */
export const emptyDraft = (): Draft => ({ kill: [], resize: [], start: [] });
/** The action that starts a container. */
export const start = (role: ContainerRole, container: Container): Start => ({ type: "startContainer", role, container: container.name });

/** The action that kills a container. */
export function killOf(record: ContainerRecord, reason: KillReason, message: string): Extract<Action, { type: "killContainer" }> {
  return { type: "killContainer", id: record.id, container: record.name, reason, message };
}

/** `name_namespace(uid)`, as upstream's messages name a pod. */
export function podLabel(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
}
