// What comes after a decision: the pod's devices and volumes are made ready, then it is bound; what fails is taken back.
// Many pods are bound at once; each finishes on its own.
import type { Client } from "../../api/client/client.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { isNotFound } from "../../api/errors.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { bind, nominate, type Failure } from "./binder.ts";
import type { Cluster } from "./cluster.ts";
import type { Reservation } from "./framework.ts";
import type { SchedulerMetrics } from "./metrics.ts";
import type { NodeState } from "./nodestate.ts";
import { profileNameOf, type PodInfo } from "./podinfo.ts";
import type { SchedulingQueue } from "./queue.ts";
import type { QueuedPod } from "./queuedpod.ts";

export interface BindingDeps {
  readonly client: Client;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly cluster: Cluster;
  readonly queue: SchedulingQueue;
  readonly metrics: SchedulerMetrics;
  /** Who binds this pod instead. */
  binderOf?(info: PodInfo): { bind(info: PodInfo, nodeName: string): Promise<void> } | undefined;
  /** Says of a pod that it was not bound. */
  report(info: PodInfo, failure: Failure): void;
  /** Called whenever there is room for another one. */
  onEnd(): void;
}

/** A decision to carry out: the pod, its node, and what was taken for it. */
export interface Placement {
  readonly queued: QueuedPod;
  readonly node: NodeState;
  readonly reservations: readonly Reservation[];
}

const log = logger("scheduler");

/** Bindings under way. */
export class Bindings {
  #count = 0;

  constructor(private readonly deps: BindingDeps) {}

  /** How many are being written now. */
  get count(): number {
    return this.#count;
  }

  async bind(placement: Placement): Promise<void> {
    const { queued: { info }, node, reservations } = placement;
    // What comes before binding takes a while: others are told which node the pod is going to.
    if (reservations.length > 0) await nominate(this.deps.client, info, node.name);
    if (!(await this.#prepare(placement))) return;
    this.#count++;
    const begin = performance.now();
    try {
      const binder = this.deps.binderOf?.(info);
      await (binder ? binder.bind(info, node.name) : bind(this.deps.client, info, node.name));
      this.#observe("Bind", "Success", { info, begin });
      this.#succeeded(placement);
    } catch (err) {
      this.#observe("Bind", "Error", { info, begin });
      for (const reservation of reservations) reservation.undo();
      this.#failed(placement, { err, message: `binding rejected: ${(err as Error).message}` });
    } finally {
      this.#count--;
      this.deps.onEnd();
    }
  }

  /** Volumes may take minutes; such pods do not hold up the others. */
  async #prepare(placement: Placement): Promise<boolean> {
    const { queued: { info }, reservations } = placement;
    if (reservations.length === 0) return true;
    const begin = performance.now();
    for (const reservation of reservations) {
      try {
        await reservation.beforeBinding();
      } catch (err) {
        this.#observe("PreBind", "Error", { info, begin });
        for (const each of reservations) each.undo();
        this.#failed(placement, { err, message: `running PreBind plugin ${JSON.stringify(reservation.plugin)}: ${(err as Error).message}` });
        return false;
      }
    }
    this.#observe("PreBind", "Success", { info, begin });
    return true;
  }

  #succeeded({ queued, node }: Placement): void {
    const { queue, metrics, clock, recorder } = this.deps;
    const { info } = queued;
    queue.done(info.uid);
    metrics.placed(queued.attempts, (clock.now() - queued.firstSeen) / 1000);
    const { namespace, name } = info.pod.metadata;
    recorder.event(info.pod, "Normal", "Scheduled", `Successfully assigned ${namespace}/${name} to ${node.name}`);
  }

  /** The room goes back to others; the pod rests and is tried again, unless it is gone. */
  #failed({ queued, node }: Placement, { err, message }: { err: unknown; message: string }): void {
    const { cluster, queue, metrics, report } = this.deps;
    const { info } = queued;
    metrics.attempted(profileNameOf(info), "error", 0);
    if (cluster.placement(info.uid)?.isAssumed) {
      cluster.remove(info.uid);
      queue.wake({ type: "AssignedPodDelete", pod: info, node });
    }
    if (isNotFound(err)) return queue.done(info.uid);
    log.warn({ err, pod: info.key, node: node.name }, "a pod was not bound");
    report(info, { reason: "SchedulerError", message, nominatedNodeName: "" });
    queue.retryLater(queued);
  }

  #observe(point: string, status: string, { info, begin }: { info: PodInfo; begin: number }): void {
    this.deps.metrics.observe("framework_extension_point_duration_seconds", (performance.now() - begin) / 1000, point, profileNameOf(info), status);
  }
}
