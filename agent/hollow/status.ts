// The status a hollow pod shows, in the words and with the rules of the real kubelet. Pure.
import type { Container, ContainerState, ContainerStatus, Pod, PodStatus } from "../../api/types.ts";
import { timestamp } from "../../lib/clock.ts";
import { goDuration, INITIAL_MS } from "../kubelet/backoff.ts";
import { conditionsOf, hasStarted } from "../kubelet/conditions.ts";
import { isSidecar } from "../kubelet/observed.ts";
import { phaseOf } from "../kubelet/phase.ts";
import { qosClass } from "../kubelet/qos.ts";
import { hasEnded, mayRestart, type ContainerLife, type PodLife } from "./life.ts";

export interface HollowStatusInput {
  readonly pod: Pod;
  readonly life: PodLife;
  readonly hostIp: string;
  /** Stopped for good. */
  readonly isTerminal: boolean;
  readonly now: number;
}

/** The whole status of the pod now. */
export function hollowStatus(input: HollowStatusInput): PodStatus {
  const { pod, life, hostIp, isTerminal, now } = input;
  const old = pod.status ?? {};
  const init = (pod.spec?.initContainers ?? []).map((container) => containerStatus(input, container));
  const regular = (pod.spec?.containers ?? []).map((container) => containerStatus(input, container));
  const statuses = [...init, ...regular];
  const phase = phaseOf(pod, statuses, { isTerminal, hasStartedRegular: regular.some(hasStarted) });
  const hasSandbox = Object.keys(life.containers).length > 0;
  const ip = pod.spec?.hostNetwork ? hostIp : life.ip;
  return {
    ...(pod.metadata.generation !== undefined && { observedGeneration: pod.metadata.generation }),
    phase,
    conditions: conditionsOf({ pod, old, statuses, phase, now, resize: {}, canStartContainers: hasSandbox && !isTerminal }),
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    ...(hasSandbox && { podIP: ip, podIPs: [{ ip }] }),
    startTime: old.startTime ?? timestamp(now),
    ...(init.length > 0 && { initContainerStatuses: init }),
    containerStatuses: regular,
    qosClass: old.qosClass ?? qosClass(pod),
  };
}

function containerStatus(input: HollowStatusInput, container: Container): ContainerStatus {
  const { pod, life, now, isTerminal } = input;
  const run = life.containers[container.name];
  const base = { name: container.name, image: container.image ?? "", imageID: "" };
  if (!run) return { ...base, ready: false, started: false, restartCount: 0, lastState: {}, state: { waiting: { reason: pod.spec?.initContainers?.length ? "PodInitializing" : "ContainerCreating" } } };
  const containerID = `fake://${pod.metadata.uid}-${container.name}-${run.restartCount}`;
  const isOver = hasEnded(run, now);
  const waits = isOver && !isTerminal && !pod.metadata.deletionTimestamp && mayRestart(pod, container, run);
  const isInit = (pod.spec?.initContainers ?? []).includes(container) && !isSidecar(container);
  return {
    ...base, containerID, imageID: `fake://${container.image ?? ""}`, restartCount: run.restartCount,
    ready: isInit ? hasEnded(run, now, 0) : !isOver,
    started: !isOver,
    state: waits ? waiting(pod, container, run) : isOver ? terminated(run, containerID) : { running: { startedAt: timestamp(run.startedAt) } },
    lastState: waits ? terminated(run, containerID) : {},
  };
}

function waiting(pod: Pod, container: Container, run: ContainerLife): ContainerState {
  const delay = goDuration(run.backOff?.delayMs ?? INITIAL_MS);
  return { waiting: { reason: "CrashLoopBackOff", message: `back-off ${delay} restarting failed container=${container.name} pod=${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})` } };
}

function terminated(run: ContainerLife, containerID: string): ContainerState {
  const exitCode = run.exitCode ?? 0;
  return { terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", startedAt: timestamp(run.startedAt), finishedAt: timestamp(run.endsAt ?? run.startedAt), containerID } };
}
