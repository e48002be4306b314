// The life of one pod on this node: syncing, terminating, terminated; one step at a time, different pods side by side.
// It is told of changes, never polls, and sleeps until the next moment something is due.
import type { Pod, PodStatus } from "../../api/types.ts";
import { logger } from "../../lib/log.ts";
import { podLabel } from "./actions.ts";
import { refusalMessage, type Refusal } from "./admission.ts";
import { forgetPod } from "./cleanup.ts";
import { hasStarted } from "./conditions.ts";
import { killPod } from "./kill.ts";
import { isRunning, nothingObserved } from "./observed.ts";
import { forgiveNewImages, grantResources, newPodState, type PodState } from "./podstate.ts";
import type { NodeServices } from "./services.ts";
import { podStatus } from "./status.ts";
import { countStatus } from "./statusfigures.ts";
import { podRef } from "./recorder.ts";
import { syncPod, type NextSync } from "./syncpod.ts";
import { deadlineOf, isTerminal, type Verdict } from "./verdict.ts";

const log = logger("pod-worker");
const RETRY_MS = 1_000;

/** Where the pod is: `gone` means that nothing of it is left. */
export type WorkerPhase = "syncing" | "terminating" | "terminated" | "gone";

export interface WorkerOptions {
  readonly signal: AbortSignal;
  /** The other pods that have a claim on the node's resources. */
  readonly others: (uid: string) => readonly Pod[];
  /** Why this node will not run the pod. */
  readonly refuse: (pod: Pod, others: readonly Pod[]) => Refusal | undefined;
}

export class PodWorker {
  readonly #state: PodState;
  /** The pod as the API has it; the state's has the resources it was granted. */
  #wanted: Pod;
  readonly #stop: AbortSignal;
  #phase: WorkerPhase = "syncing";
  #verdict: Verdict | undefined;
  #status: PodStatus | undefined;
  /** The object is no longer in the API (or the manifest directory). */
  #isRemoved = false;
  /** Aborts what is being done in the present phase. */
  #interrupt = new AbortController();
  #killGraceSeconds: number | undefined;
  /** Never worked on by this or an earlier process: the node may still refuse it. */
  #isNew: boolean;
  #wake: (() => void) | undefined;
  #isDirty = true;
  readonly finished: Promise<void>;
  /** When a new pod came, until it runs. */
  #firstSeenAt: number | undefined;
  readonly #ended = Promise.withResolvers<void>();
  /** Resolves when nothing of the pod runs any more. */
  readonly ended = this.#ended.promise;

  constructor(readonly node: NodeServices, pod: Pod, readonly options: WorkerOptions) {
    this.#state = newPodState(node.allocations.granted(pod));
    this.#wanted = pod;
    this.#stop = options.signal;
    this.#status = node.writer.get(pod.metadata.uid ?? "") ?? pod.status;
    this.#isNew = !pod.status?.startTime && !node.cache.get(pod.metadata.uid ?? "");
    if (this.#isNew) this.#firstSeenAt = node.clock.now();
    if (this.#isNew) node.figures.observe("kubelet_containers_per_pod_count", pod.spec?.containers?.length ?? 0);
    const stop = (): void => {
      this.#interrupt.abort();
      this.#wake?.();
    };
    options.signal.addEventListener("abort", stop, { once: true });
    // Not before whoever makes the worker has noted it down: the first status may come back at once.
    this.finished = Promise.resolve().then(() => this.#run()).finally(() => options.signal.removeEventListener("abort", stop));
  }

  get pod(): Pod {
    return this.#state.pod;
  }

  get phase(): WorkerPhase {
    return this.#phase;
  }

  /** A resize was asked for that does not fit now. */
  get isWaitingForRoom(): boolean {
    return this.#state.resize.pending !== undefined;
  }

  /** The status last decided. */
  get status(): PodStatus {
    return this.#status ?? {};
  }

  /** Something about the pod changed: look again. */
  poke(): void {
    this.#isDirty = true;
    // A pod may take long to end, and meanwhile its containers end and become unready one by one.
    if (this.#phase === "terminating") this.#publish();
    this.#wake?.();
  }

  /** Something a failed start may have waited for is there now. */
  retry(): void {
    this.#state.notBefore.clear();
    this.poke();
  }

  /** The pod's object has changed. */
  update(pod: Pod): void {
    forgiveNewImages(this.#state, this.#wanted, pod);
    this.#wanted = pod;
    this.#state.pod = this.node.allocations.granted(pod);
    this.#interruptIfDoomed();
    this.poke();
  }

  /** The pod's object is gone: stop everything and leave nothing behind. */
  remove(): void {
    this.#isRemoved = true;
    this.#interruptIfDoomed();
    this.poke();
  }

  /** Fails the pod for good, as eviction, a deadline or a refusal do. */
  fail(verdict: Verdict): void {
    this.#verdict ??= verdict;
    this.#interruptIfDoomed();
    this.poke();
  }

  async #run(): Promise<void> {
    while (!this.#stop.aborted && !this.#isGone()) {
      this.#isDirty = false;
      let next: NextSync;
      try {
        next = await this.#timed();
      } catch (error) {
        if (this.#stop.aborted) return;
        log.warn({ err: error, pod: podLabel(this.pod) }, `${this.#phase} a pod failed, trying again`);
        next = this.node.clock.now() + RETRY_MS;
      }
      if (!this.#isDirty && !this.#isGone() && !this.#stop.aborted) await this.#sleepUntil(next);
    }
  }

  /** One step, timed as upstream times its pod workers. */
  async #timed(): Promise<NextSync> {
    const { node } = this;
    const [begin, operation_type] = [node.clock.now(), this.#isNew ? "create" : this.#phase === "syncing" ? "sync" : this.#phase];
    try {
      return await this.#step();
    } finally {
      node.figures.observe("kubelet_pod_worker_duration_seconds", (node.clock.now() - begin) / 1000, { operation_type });
    }
  }

  #isGone(): boolean {
    return this.#phase === "gone";
  }

  async #sleepUntil(at: NextSync): Promise<void> {
    const woken = Promise.withResolvers<void>();
    const timer = new AbortController();
    this.#wake = woken.resolve;
    const due = at === undefined ? [] : [this.node.clock.sleep(Math.max(0, at - this.node.clock.now()), timer.signal)];
    await Promise.race([woken.promise, ...due]);
    timer.abort();
    this.#wake = undefined;
  }

  async #step(): Promise<NextSync> {
    if (this.#phase === "syncing" && !this.#isDoomed()) return this.#sync();
    if (this.#phase === "syncing") this.#enter("terminating");
    if (this.#phase === "terminating") return this.#terminate();
    if (this.#phase === "terminated" && this.#mayForget()) {
      await forgetPod(this.node, this.pod, { isRemoved: () => this.#isRemoved });
      this.#enter("gone");
    }
    return undefined;
  }

  async #sync(): Promise<NextSync> {
    const { node, pod } = this;
    const deadline = deadlineOf(pod, this.status);
    if (deadline !== undefined && deadline <= node.clock.now()) {
      const message = "Pod was active on the node longer than the specified deadline";
      node.recorder.event(podRef(pod), "Normal", "DeadlineExceeded", message);
      this.fail({ phase: "Failed", reason: "DeadlineExceeded", message });
      return undefined;
    }
    if (this.#isNew && this.#isRefused()) return undefined;
    this.#isNew = false;
    await grantResources(node, this.#state, { wanted: this.#wanted, others: this.options.others(this.#wanted.metadata.uid ?? "") });
    const interrupt = this.#newInterrupt();
    if (this.#isDoomed()) return undefined;
    node.probes.track(pod, this.#observed());
    const next = await syncPod(node, this.#state, { signal: interrupt.signal, publish: () => this.#publish() });
    if (isTerminal(this.status.phase)) this.poke();
    const all = [next, deadline].filter((at) => at !== undefined);
    return all.length > 0 ? Math.min(...all) : undefined;
  }

  #isRefused(): boolean {
    const { node, pod } = this;
    const refusal = this.options.refuse(pod, this.options.others(pod.metadata.uid ?? ""));
    if (!refusal) return false;
    node.recorder.event(podRef(pod), "Warning", refusal.reason, refusal.message);
    this.fail({ phase: "Failed", reason: refusal.reason, message: refusalMessage(refusal), isRefusal: true });
    return true;
  }

  async #terminate(): Promise<NextSync> {
    const { node, pod } = this;
    const uid = pod.metadata.uid ?? "";
    const interrupt = this.#newInterrupt();
    this.#killGraceSeconds = this.#graceSeconds();
    node.probes.terminating(uid);
    this.#publish();
    await killPod(node, pod, this.#observed(), { graceSeconds: this.#killGraceSeconds, signal: interrupt.signal });
    // Interrupted by a shorter grace period, or something was started while we stopped it.
    if (interrupt.signal.aborted || isRunning(this.#observed())) {
      this.poke();
      return undefined;
    }
    node.probes.untrack(uid);
    this.#enter("terminated");
    this.#publish();
    await Promise.all([node.volumes.teardown(uid), node.cgroups.remove(uid), node.writer.flush(uid)]);
    this.poke();
    return undefined;
  }

  /** Only a pod whose object is (being) deleted is forgotten; a finished one keeps its status, logs and dead containers. */
  #mayForget(): boolean {
    return this.#isRemoved || this.pod.metadata.deletionTimestamp !== undefined;
  }

  #isDoomed(): boolean {
    return this.#isRemoved || this.#verdict !== undefined || this.pod.metadata.deletionTimestamp !== undefined || isTerminal(this.status.phase) || isTerminal(this.pod.status?.phase);
  }

  #interruptIfDoomed(): void {
    if (this.#phase === "syncing" && this.#isDoomed()) this.#interrupt.abort();
    if (this.#phase !== "terminating") return;
    const grace = this.#graceSeconds();
    if (grace !== undefined && (this.#killGraceSeconds === undefined || grace < this.#killGraceSeconds)) this.#interrupt.abort();
  }

  #graceSeconds(): number | undefined {
    return this.pod.metadata.deletionGracePeriodSeconds ?? this.#verdict?.graceSeconds ?? this.pod.spec?.terminationGracePeriodSeconds;
  }

  #newInterrupt(): AbortController {
    this.#interrupt = new AbortController();
    if (this.#stop.aborted) this.#interrupt.abort();
    return this.#interrupt;
  }

  #enter(phase: WorkerPhase): void {
    log.debug({ pod: podLabel(this.pod), phase }, "pod enters a phase");
    this.#phase = phase;
    if (phase === "terminated") this.#ended.resolve();
  }

  #observed(): ReturnType<typeof nothingObserved> {
    return this.node.cache.get(this.pod.metadata.uid ?? "") ?? nothingObserved(this.pod);
  }

  #publish(): void {
    const { node, pod } = this;
    const uid = pod.metadata.uid ?? "";
    const observed = this.#observed();
    // A container seen running here for the first time must not count as ready before its probe is known.
    if (this.#phase === "syncing") node.probes.track(pod, observed);
    const old = this.#status ?? {};
    this.#status = podStatus({
      pod,
      observed,
      old,
      reasons: this.#state.reasons,
      health: (id) => node.probes.health(id),
      runtimeName: node.runtime.name,
      actuated: (id) => node.allocations.actuated(uid, id),
      actuatedPod: node.allocations.actuatedPod(uid),
      resize: this.#state.resize,
      isRestartingAll: this.#state.isRestartingAll,
      supportsRecursiveReadOnly: node.supportsRecursiveReadOnly(pod),
      isTerminal: this.#phase === "terminated",
      volumesReady: this.#state.volumesReady,
      verdict: this.#verdict,
      nodeIp: node.nodeIp,
      now: node.clock.now(),
    });
    countStatus(node.figures, { pod, old, status: this.#status, now: node.clock.now(), firstSeenAt: this.#firstSeenAt, observed, pulledMs: node.images.pulledMs(uid) });
    if (this.#status.phase === "Running" && this.#status.containerStatuses?.every(hasStarted)) this.#firstSeenAt = undefined;
    const target = node.statusTarget(pod);
    if (target) node.writer.set(uid, target, this.#status);
  }
}
