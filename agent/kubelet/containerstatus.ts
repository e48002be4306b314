// The status of each container of a pod, from the runtime's records, the last status and the reasons for waiting. Pure.
// Readiness comes from the probes; upstream: pkg/kubelet/kubelet_pods.go.
import { timestamp } from "../../lib/clock.ts";
import type { Container, ContainerState, ContainerStatus, Pod, ResourceRequirements } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { restartCountOf } from "./labels.ts";
import { isSidecar, latest, shouldBeStarted, type ObservedPod } from "./observed.ts";
import type { ContainerRole } from "./actions.ts";

/** Why a container is not running yet, in the words of its waiting state. */
export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

/** What the probes know of one running container. */
export interface Health {
  readonly ready: boolean;
  readonly started: boolean;
}

export interface ContainerStatusInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  /** The statuses last reported, of the same role. */
  readonly old: readonly ContainerStatus[];
  readonly role: ContainerRole;
  readonly reasons: ReadonlyMap<string, WaitingReason>;
  readonly health: (containerId: string) => Health;
  /** What a running container really has, where that was noted. */
  readonly actuated: (containerId: string) => ResourceRequirements | undefined;
  readonly runtimeName: string;
  readonly supportsRecursiveReadOnly: boolean;
  /** The pod is stopped for good: what has not started never will. */
  readonly isTerminal: boolean;
  /** All containers have just been removed to begin again. */
  readonly isRestartingAll?: boolean;
}

/** One status per container of the role, in the order of the spec. */
export function containerStatuses(input: ContainerStatusInput): ContainerStatus[] {
  return containersOf(input.pod, input.role).map((container) => statusOf(input, container));
}

/** The containers of one role; ephemeral ones as plain containers. */
export function containersOf(pod: Pod, role: ContainerRole): Container[] {
  if (role === "init") return pod.spec?.initContainers ?? [];
  return role === "regular" ? (pod.spec?.containers ?? []) : ((pod.spec?.ephemeralContainers ?? []) as Container[]);
}

function statusOf(input: ContainerStatusInput, container: Container): ContainerStatus {
  const old = input.old.find((status) => status.name === container.name);
  const instances = input.observed.containers.filter((record) => record.name === container.name);
  const [record, previous] = instances;
  const status = record ? fromRecord(input, { container, record, previous, old }) : withoutRecord(input, container, old);
  return withHealth(input, container, withWaitingReason(input, container, status));
}

interface Instance {
  readonly container: Container;
  readonly record: ContainerRecord;
  readonly previous: ContainerRecord | undefined;
  readonly old: ContainerStatus | undefined;
}

function fromRecord(input: ContainerStatusInput, { container, record, previous, old }: Instance): ContainerStatus {
  const containerID = `${input.runtimeName}://${record.id}`;
  const lastState = previous ? stateOf(input, previous, old) : old?.containerID === containerID ? (old.lastState ?? {}) : old?.state?.terminated ? { terminated: old.state.terminated } : (old?.lastState ?? {});
  const state = stateOf(input, record, old);
  return {
    name: container.name,
    state,
    lastState,
    ready: false,
    restartCount: Math.max(restartCountOf(record), record.state === "unknown" ? (old?.restartCount ?? 0) + 1 : old?.containerID === undefined ? (old?.restartCount ?? 0) : 0),
    // Containers are made by digest, so that a tag that moves changes nothing; users know their image by name.
    image: record.image.startsWith("sha256:") ? (container.image ?? record.image) : record.image,
    imageID: record.imageId,
    containerID,
    started: false,
    ...resourcesOf(container, record.state === "running" ? input.actuated(record.id) : undefined),
    volumeMounts: volumeMounts(container, input.supportsRecursiveReadOnly),
    ...(record.user && { user: { linux: { uid: record.user.uid, gid: record.user.gid, supplementalGroups: [...record.user.supplementalGroups] } } }),
  };
}

function stateOf(input: ContainerStatusInput, record: ContainerRecord, old: ContainerStatus | undefined): ContainerState {
  switch (record.state) {
    case "running":
      return { running: { startedAt: timestamp(record.startedAt ?? record.createdAt) } };
    case "exited":
      return {
        terminated: {
          exitCode: record.exitCode ?? 0,
          reason: record.reason ?? (record.exitCode === 0 ? "Completed" : "Error"),
          ...(record.message && { message: record.message }),
          startedAt: timestamp(record.startedAt ?? record.createdAt),
          finishedAt: timestamp(record.finishedAt ?? record.createdAt),
          containerID: `${input.runtimeName}://${record.id}`,
        },
      };
    case "unknown":
      if (old?.state?.running) return { terminated: { exitCode: 137, reason: "ContainerStatusUnknown", message: "The container could not be located when the pod was terminated" } };
      return { waiting: {} };
    default:
      return { waiting: {} };
  }
}

function withoutRecord(input: ContainerStatusInput, container: Container, old: ContainerStatus | undefined): ContainerStatus {
  if (input.isRestartingAll && old && !old.state?.waiting) return restartingWith(old);
  // What ended stays ended, even once the runtime has forgotten it.
  if (old?.state?.terminated) return old;
  const hasInit = (input.pod.spec?.initContainers?.length ?? 0) > 0;
  const base: ContainerStatus = {
    name: container.name,
    state: { waiting: { reason: hasInit ? "PodInitializing" : "ContainerCreating" } },
    lastState: old?.lastState ?? {},
    ready: false,
    restartCount: old?.restartCount ?? 0,
    image: container.image ?? "",
    imageID: "",
    started: false,
    ...resourcesOf(container),
    volumeMounts: volumeMounts(container, input.supportsRecursiveReadOnly),
  };
  if (input.role === "init" && !isSidecar(container) && hasCreatedRegular(input)) {
    return { ...base, state: { terminated: { exitCode: 0, reason: "Completed", message: "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally" } } };
  }
  // Of a pod that has ended, nobody can say that this one succeeded.
  if (input.isTerminal && input.role === "regular" && isInitialized(input)) return { ...base, state: { terminated: { exitCode: 137, reason: "ContainerStatusUnknown", message: "The container could not be located when the pod was terminated" } } };
  if (!old?.state?.running || old.lastState?.terminated) return base;
  const lost = { reason: "ContainerStatusUnknown", message: "The container could not be located when the pod was deleted.  The container used to be Running", exitCode: 137 };
  return { ...base, lastState: { terminated: lost }, restartCount: base.restartCount + (input.pod.metadata.deletionTimestamp ? 0 : 1) };
}

/** Whether the regular containers could have started. */
function isInitialized(input: ContainerStatusInput): boolean {
  const init = input.pod.spec?.initContainers ?? [];
  if (init.length === 0 || hasCreatedRegular(input)) return true;
  const last = input.observed.containers.find(({ name }) => name === init.at(-1)?.name);
  return last?.state === "exited" && last.exitCode === 0;
}

/** Removed so that all begin again: it counts as a restart, and what it did last is kept. */
function restartingWith(status: ContainerStatus): ContainerStatus {
  const { containerID: _, ...old } = status;
  const [reason, message] = ["RestartingAllContainers", "The container is removed because RestartAllContainers in place"];
  return { ...old, state: { waiting: { reason, message } }, lastState: { terminated: old.state?.terminated ?? { reason, message, exitCode: 137 } }, ready: false, started: false, restartCount: old.restartCount + 1 };
}

function hasCreatedRegular(input: ContainerStatusInput): boolean {
  return (input.pod.spec?.containers ?? []).some((container) => latest(input.observed, container.name));
}

/** A container that is to be started next, and could not be, is waiting; what it did before becomes its last state. */
function withWaitingReason(input: ContainerStatusInput, container: Container, status: ContainerStatus): ContainerStatus {
  if (input.role === "init" && status.state?.terminated?.exitCode === 0 && !isSidecar(container)) return status;
  const waiting = input.reasons.get(container.name);
  if (!waiting || input.isTerminal || !shouldBeStarted(input.pod, container, input.observed)) return status;
  return {
    ...status,
    lastState: status.state?.terminated ? { terminated: status.state.terminated } : status.lastState,
    state: { waiting: { reason: waiting.reason, ...(waiting.message && { message: waiting.message }) } },
  };
}

function withHealth(input: ContainerStatusInput, container: Container, status: ContainerStatus): ContainerStatus {
  if (input.role === "ephemeral") return { ...status, ready: false };
  if (input.role === "init" && !isSidecar(container)) {
    return { ...status, ready: status.state?.terminated?.exitCode === 0, started: status.state?.running !== undefined };
  }
  if (!status.state?.running || !status.containerID) return { ...status, ready: false, started: false };
  const health = input.health(status.containerID.slice(status.containerID.indexOf("://") + 3));
  return { ...status, started: health.started, ready: health.started && health.ready };
}

function resourcesOf(container: Container, actuated?: ResourceRequirements): Pick<ContainerStatus, "resources" | "allocatedResources"> {
  const requests = actuated?.requests ?? container.resources?.requests;
  const allocated = container.resources?.requests;
  // What holds only because the pod as a whole is limited is not the container's own.
  const limits = container.resources?.limits && (actuated?.limits ?? container.resources.limits);
  return {
    ...(allocated && { allocatedResources: allocated }),
    ...((actuated ?? container.resources) && { resources: { ...(limits && { limits }), ...(requests && { requests }) } }),
  };
}

function volumeMounts(container: Container, supportsRecursive: boolean): NonNullable<ContainerStatus["volumeMounts"]> {
  return (container.volumeMounts ?? []).map((mount) => ({
    name: mount.name,
    mountPath: mount.mountPath,
    ...(mount.readOnly && { readOnly: true, recursiveReadOnly: isRecursive(mount.recursiveReadOnly, supportsRecursive) ? "Enabled" : "Disabled" }),
  }));
}

function isRecursive(wanted: string | undefined, supported: boolean): boolean {
  return wanted === "Enabled" || (wanted === "IfPossible" && supported);
}
