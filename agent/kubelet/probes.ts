// Keeps the probes of all running containers going: one queue of due times, no timer or process for each.
// A probe's own work is `probehandlers.ts`; what a result leads to is the plan's and the status's business.
import type { Container, ContainerStatus, Pod, Probe } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { ContainerRecord, Streaming } from "../runtime/runtime.ts";
import type { Health } from "./containerstatus.ts";
import { DueQueue } from "./heap.ts";
import { isSidecar, type ObservedPod } from "./observed.ts";
import type { ProbeVerdict } from "./actions.ts";
import { runProbe, type ProbeOutcome, type ProbeTarget } from "./probehandlers.ts";
import { containerRef, type EventSink } from "./recorder.ts";
import type { Probes } from "./services.ts";

const log = logger("probes");
export type ProbeType = "Startup" | "Liveness" | "Readiness";
const MAX_TRIES = 3;

export interface ProberOptions {
  readonly streaming: Streaming;
  readonly clock: Clock;
  readonly recorder: EventSink;
  readonly nodeIp: string;
  /** Called with the pod's uid when a result it acts on has changed. */
  readonly onChange: (uid: string) => void;
  readonly run?: (streaming: Streaming, target: ProbeTarget) => Promise<ProbeOutcome>;
}

/** One probe of one running container. */
interface Task {
  readonly type: ProbeType;
  readonly spec: Probe;
  readonly watched: Watched;
  /** Results of the same kind in a row. */
  streak: { result: "success" | "failure"; count: number } | undefined;
  result: "success" | "failure" | undefined;
  isDone: boolean;
  readonly totals: { success: number; failure: number; unknown: number };
}

/** One running container that has probes. */
interface Watched {
  pod: Pod;
  readonly container: Container;
  readonly record: ContainerRecord;
  readonly podIp: string;
  readonly tasks: Partial<Record<ProbeType, Task>>;
  isStopped: boolean;
}

/** What one probe has counted, for metrics. */
export interface ProbeCount {
  readonly type: ProbeType;
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly container: string;
  readonly totals: Readonly<Record<"success" | "failure" | "unknown", number>>;
}

export class Prober implements Probes {
  readonly #options: ProberOptions;
  /** By container id. */
  readonly #watched = new Map<string, Watched>();
  readonly #byPod = new Map<string, Set<string>>();
  readonly #due = new DueQueue<Task>();
  #wake: (() => void) | undefined;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Probes what is due until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      for (let task = this.#due.popDue(clock.monotonic()); task; task = this.#due.popDue(clock.monotonic())) void this.#probe(task);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = new AbortController();
      const stop = (): void => timer.abort();
      signal.addEventListener("abort", stop, { once: true });
      const wait = this.#due.nextAt === undefined ? 3_600_000 : Math.max(0, this.#due.nextAt - clock.monotonic());
      await Promise.race([promise, clock.sleep(wait, timer.signal)]);
      signal.removeEventListener("abort", stop);
      timer.abort();
    }
  }

  track(pod: Pod, observed: ObservedPod): void {
    const uid = pod.metadata.uid ?? "";
    const ids = this.#byPod.get(uid) ?? new Set();
    const running = new Set(observed.containers.filter((c) => c.state === "running").map((c) => c.id));
    for (const id of ids) if (!running.has(id)) this.#drop(id, ids);
    const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar);
    for (const container of [...sidecars, ...(pod.spec?.containers ?? [])]) {
      const record = observed.containers.find((c) => c.name === container.name);
      if (record?.state !== "running") continue;
      const known = this.#watched.get(record.id);
      if (known) known.pod = pod;
      else if (hasProbes(container)) this.#watch({ pod, container, record, podIp: observed.sandboxes[0]?.ips[0] ?? this.#options.nodeIp, tasks: {}, isStopped: false }, ids);
    }
    if (ids.size > 0) this.#byPod.set(uid, ids);
    else this.#byPod.delete(uid);
  }

  terminating(uid: string): void {
    for (const id of this.#byPod.get(uid) ?? []) {
      const tasks = this.#watched.get(id)?.tasks;
      for (const task of [tasks?.Liveness, tasks?.Startup]) if (task) task.isDone = true;
    }
  }

  untrack(uid: string): void {
    const ids = this.#byPod.get(uid);
    for (const id of ids ?? []) this.#drop(id, ids as Set<string>);
    this.#byPod.delete(uid);
  }

  health(containerId: string): Health {
    const { Startup, Readiness } = this.#watched.get(containerId)?.tasks ?? ({} as Watched["tasks"]);
    return { started: !Startup || Startup.result === "success", ready: !Readiness || Readiness.result === "success" };
  }

  verdicts(uid: string): ReadonlyMap<string, ProbeVerdict> {
    const verdicts = new Map<string, ProbeVerdict>();
    for (const id of this.#byPod.get(uid) ?? []) {
      const { Liveness, Startup } = this.#watched.get(id)?.tasks ?? {};
      verdicts.set(id, { ...(Liveness?.result && { liveness: Liveness.result }), ...(Startup?.result && { startup: Startup.result }) });
    }
    return verdicts;
  }

  /** What every probe has counted so far. */
  counts(): ProbeCount[] {
    return [...this.#watched.values()].flatMap(({ pod, container, tasks }) => Object.values(tasks).map(({ type, totals }) => ({
      type, totals, namespace: pod.metadata.namespace ?? "", pod: pod.metadata.name ?? "", podUid: pod.metadata.uid ?? "", container: container.name,
    })));
  }

  #watch(watched: Watched, ids: Set<string>): void {
    const { container, record, pod } = watched;
    // What an earlier process had found holds until the first result of ours.
    const before = statusOf(pod, record.id);
    for (const [type, spec, seed] of [["Startup", container.startupProbe, before?.started], ["Liveness", container.livenessProbe, undefined], ["Readiness", container.readinessProbe, before?.ready]] as const) {
      if (!spec) continue;
      const task: Task = { type, spec, watched, streak: undefined, result: seed ? "success" : type === "Liveness" ? "success" : type === "Readiness" ? "failure" : undefined, isDone: false, totals: { success: 0, failure: 0, unknown: 0 } };
      watched.tasks[type] = task;
      const startedAt = record.startedAt ?? record.createdAt;
      // After a restart of the agent everything would be due at once.
      const spread = before?.started ? Math.random() * (spec.periodSeconds ?? 10) * 1000 : 0;
      const delayMs = (spec.initialDelaySeconds ?? 0) * 1000;
      // By the date only this once, and never longer than asked for, whatever the date was set to.
      const leftMs = Math.min(delayMs, Math.max(0, startedAt + delayMs - this.#options.clock.now()));
      this.#schedule(task, this.#options.clock.monotonic() + leftMs + spread);
    }
    this.#watched.set(record.id, watched);
    ids.add(record.id);
  }

  #drop(id: string, ids: Set<string>): void {
    const watched = this.#watched.get(id);
    if (watched) watched.isStopped = true;
    this.#watched.delete(id);
    ids.delete(id);
  }

  #schedule(task: Task, at: number): void {
    const isFirst = this.#due.nextAt === undefined || at < this.#due.nextAt;
    this.#due.push(at, task);
    if (isFirst) this.#wake?.();
  }

  async #probe(task: Task): Promise<void> {
    if (task.watched.isStopped || task.isDone) return;
    const begin = this.#options.clock.monotonic();
    const { started } = this.health(task.watched.record.id);
    // Startup first; nothing else is asked before, and it is not asked again after.
    if (task.type === "Startup" ? !started : started) await this.#ask(task);
    if (task.watched.isStopped || task.isDone) return;
    this.#schedule(task, Math.max(begin + (task.spec.periodSeconds ?? 10) * 1000, this.#options.clock.monotonic()));
  }

  async #ask(task: Task): Promise<void> {
    const outcome = await this.#outcome(task);
    if (!outcome) {
      task.totals.unknown++;
      return;
    }
    if (task.watched.isStopped || task.isDone) return;
    const { pod, container } = task.watched;
    if (outcome.result === "failure") this.#options.recorder.event(containerRef(pod, container.name), "Warning", "Unhealthy", `${task.type} probe failed: ${outcome.output}`);
    if (outcome.result === "warning") this.#options.recorder.event(containerRef(pod, container.name), "Warning", "ProbeWarning", `${task.type} probe warning: ${outcome.output}`);
    this.#count(task, outcome.result === "failure" ? "failure" : "success");
  }

  /** undefined when the probe could not be run; that says nothing about the container. */
  async #outcome(task: Task): Promise<ProbeOutcome | undefined> {
    const { pod, container, record, podIp } = task.watched;
    let last: unknown;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      try {
        return await (this.#options.run ?? runProbe)(this.#options.streaming, { probe: task.spec, container, containerId: record.id, podIp });
      } catch (error) {
        last = error;
        if (task.watched.isStopped) return undefined;
      }
    }
    log.debug({ err: last, pod: pod.metadata.name, container: container.name }, "a probe could not be run");
    this.#options.recorder.event(containerRef(pod, container.name), "Warning", "Unhealthy", `${task.type} probe errored and resulted in unknown state: ${(last as Error).message}`);
    return undefined;
  }

  #count(task: Task, result: "success" | "failure"): void {
    task.totals[result]++;
    task.streak = task.streak?.result === result ? { result, count: task.streak.count + 1 } : { result, count: 1 };
    const threshold = result === "failure" ? (task.spec.failureThreshold ?? 3) : (task.spec.successThreshold ?? 1);
    if (task.streak.count < threshold) return;
    // Its container will be restarted (or has started): asking on could only do harm.
    if (task.type === "Startup" || (task.type === "Liveness" && result === "failure")) task.isDone = true;
    if (task.result === result) return;
    task.result = result;
    if (task.type === "Startup" && result === "success") this.#askAtOnce(task.watched);
    this.#options.onChange(task.watched.pod.metadata.uid ?? "");
  }

  /** Once started, readiness need not wait for its next turn. */
  #askAtOnce({ tasks }: Watched): void {
    if (tasks.Readiness && !tasks.Readiness.isDone) void this.#ask(tasks.Readiness);
  }
}

function hasProbes(container: Container): boolean {
  return Boolean(container.startupProbe || container.livenessProbe || container.readinessProbe);
}

function statusOf(pod: Pod, containerId: string): ContainerStatus | undefined {
  return [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find((status) => status.containerID?.endsWith(`//${containerId}`));
}
