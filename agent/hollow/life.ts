// What a pod on a hollow node would be doing now: which of its containers run, ended, or wait to start again. Pure.
// Commands the fake runtime knows (`true`, `sleep 5`, `exit 1`) end as they would; everything else runs until stopped.
import type { Container, ContainerStatus, Pod } from "../../api/types.ts";
import { raise, restartAt, type BackOff } from "../kubelet/backoff.ts";
import { isSidecar, shouldRestart } from "../kubelet/observed.ts";
import { interpret } from "../runtime/fake-program.ts";

/** One container's newest run; it is still going on while `endsAt` is absent or ahead. Times are milliseconds since the epoch. */
export interface ContainerLife {
  readonly startedAt: number;
  readonly endsAt?: number;
  readonly exitCode?: number;
  readonly restartCount: number;
  readonly backOff?: BackOff;
}

export interface PodLife {
  readonly uid: string;
  readonly ip: string;
  /** Nothing starts before. */
  readonly startAt: number;
  /** Told to stop. */
  readonly isStopping?: boolean;
  /** Those that have started at least once, by name. */
  readonly containers: Readonly<Record<string, ContainerLife>>;
}

/** What a container that had to be killed ends with. */
const KILLED = 137;

export interface Advance {
  readonly now: number;
  /** Decides at every start of a regular container whether it fails at once. */
  readonly fails: () => boolean;
}

/** A pod's life up to now: init containers in turn, then all others, each again as the restart policy has it. */
export function advance(life: PodLife, pod: Pod, { now, fails }: Advance): PodLife {
  if (now < life.startAt) return life;
  const containers: Record<string, ContainerLife> = {};
  for (const container of pod.spec?.initContainers ?? []) {
    const next = nextRun(life.containers[container.name], { pod, container, now, fails: false, isInit: true });
    containers[container.name] = next;
    if (!isSidecar(container) && !hasEnded(next, now, 0)) return { ...life, containers };
  }
  for (const container of pod.spec?.containers ?? []) {
    containers[container.name] = nextRun(life.containers[container.name], { pod, container, now, fails, isInit: false });
  }
  return { ...life, containers };
}

/** Every container told to stop: it ends after its preStop, and when the grace period is over at the latest. */
export function stopped(life: PodLife, pod: Pod, now: number): PodLife {
  const deadline = Math.max(now, Date.parse(pod.metadata.deletionTimestamp ?? "") || now);
  const containers = Object.entries(life.containers).map(([name, run]) => {
    if (hasEnded(run, now)) return [name, run] as const;
    const wanted = life.isStopping ? (run.endsAt ?? deadline) : now + stopMs(allContainers(pod).find((container) => container.name === name));
    return [name, { ...run, endsAt: Math.min(wanted, deadline), exitCode: wanted > deadline ? KILLED : 0 }] as const;
  });
  return { ...life, isStopping: true, containers: Object.fromEntries(containers) };
}

/** Whether nothing of the pod runs any more. */
export function isOver(life: PodLife, now: number): boolean {
  return Object.values(life.containers).every((run) => hasEnded(run, now));
}

/** How long a container takes to stop when it is left alone. */
function stopMs(container: Container | undefined): number {
  const { sleep, exec } = container?.lifecycle?.preStop ?? {};
  const hookMs = sleep ? sleep.seconds * 1000 : (interpret(exec?.command ?? ["true"]).afterMs ?? 0);
  const program = interpret([...(container?.command ?? []), ...(container?.args ?? [])]);
  return program.ignoresStop ? Infinity : hookMs;
}

/** When something happens next by itself; undefined when nothing will. */
export function wakeAt(life: PodLife, pod: Pod, now: number): number | undefined {
  if (life.isStopping) return Math.max(...Object.values(life.containers).map(({ endsAt }) => endsAt ?? now));
  if (now < life.startAt) return life.startAt;
  const times = allContainers(pod).flatMap((container) => {
    const run = life.containers[container.name];
    if (!run?.endsAt) return [];
    if (run.endsAt > now) return [run.endsAt];
    return mayRestart(pod, container, run) ? [restartAt(run.backOff, run.endsAt, now) ?? now] : [];
  });
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Whether the run is over, with this exit code where one is given. */
export function hasEnded(run: ContainerLife, now: number, exitCode?: number): boolean {
  return run.endsAt !== undefined && run.endsAt <= now && (exitCode === undefined || run.exitCode === exitCode);
}

/** Whether a container that ended comes back. */
export function mayRestart(pod: Pod, container: Container, run: ContainerLife): boolean {
  const isInit = (pod.spec?.initContainers ?? []).includes(container);
  if (isInit && !isSidecar(container)) return run.exitCode !== 0 && pod.spec?.restartPolicy !== "Never";
  return shouldRestart(pod, container, run.exitCode ?? 0);
}

/** The life a pod's own status tells of, for a process that was started again. */
export function adopted(pod: Pod, { ip, startAt }: { ip: string; startAt: number }): PodLife {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const containers = statuses.flatMap((status) => {
    const run = runOf(pod, status);
    return run ? [[status.name, run] as const] : [];
  });
  return { uid: pod.metadata.uid ?? "", ip: pod.status?.podIP ?? ip, startAt: containers.length > 0 ? 0 : startAt, containers: Object.fromEntries(containers) };
}

function runOf(pod: Pod, { name, state, lastState, restartCount }: ContainerStatus): ContainerLife | undefined {
  const container = allContainers(pod).find((candidate) => candidate.name === name);
  const startedAt = Date.parse(state?.running?.startedAt ?? "");
  if (container && state?.running) return begin(container, { startedAt, restartCount, fails: false, isInit: (pod.spec?.initContainers ?? []).includes(container) });
  const over = state?.terminated ?? lastState?.terminated;
  if (!over) return undefined;
  return { startedAt: Date.parse(over.startedAt ?? ""), endsAt: Date.parse(over.finishedAt ?? ""), exitCode: over.exitCode, restartCount };
}

function nextRun(run: ContainerLife | undefined, context: { pod: Pod; container: Container; now: number; fails: boolean | (() => boolean); isInit: boolean }): ContainerLife {
  const { pod, container, now, isInit } = context;
  const start = (restartCount: number): ContainerLife => begin(container, { startedAt: now, restartCount, isInit, fails: typeof context.fails === "function" ? context.fails() : context.fails });
  if (!run) return start(0);
  if (!run.endsAt || run.endsAt > now || !mayRestart(pod, container, run)) return run;
  if (restartAt(run.backOff, run.endsAt, now) !== undefined) return run;
  return { ...start(run.restartCount + 1), backOff: raise(run.backOff, { finishedAt: run.endsAt, now }) };
}

function begin(container: Container, { startedAt, restartCount, fails, isInit }: { startedAt: number; restartCount: number; fails: boolean; isInit: boolean }): ContainerLife {
  if (fails) return { startedAt, endsAt: startedAt, exitCode: 1, restartCount };
  const program = interpret([...(container.command ?? []), ...(container.args ?? [])]);
  if (program.exitCode !== undefined) return { startedAt, endsAt: startedAt + (program.afterMs ?? 0), exitCode: program.exitCode, restartCount };
  // An init container nobody can run would keep its pod from ever starting.
  if (isInit && !isSidecar(container)) return { startedAt, endsAt: startedAt, exitCode: 0, restartCount };
  return { startedAt, restartCount };
}

function allContainers(pod: Pod): readonly Container[] {
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
}
