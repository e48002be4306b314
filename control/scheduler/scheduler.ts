// The scheduler: takes waiting pods one by one, decides at once, and lets the writes finish on their own.
// Decisions are synchronous in small slices, so an API server in the same process keeps answering.
import type { Client } from "../../api/client/client.ts";
import type { Informers } from "../../api/client/informer.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { isNotFound } from "../../api/errors.ts";
import type { Pod } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { bind, reportFailure, type Failure } from "./binder.ts";
import { Cluster } from "./cluster.ts";
import { defaultProfile, type PluginContext, type Profile, type SchedulerConfig } from "./config.ts";
import { Cycle, type Diagnosis } from "./cycle.ts";
import { fitErrorMessage, NO_NODES, truncateNote } from "./message.ts";
import type { NodeState } from "./nodestate.ts";
import { Nominator } from "./nominations.ts";
import { OwnerSelectors } from "./owners.ts";
import { PodParser, type PodInfo } from "./podinfo.ts";
import { SchedulingQueue, type QueuedPod } from "./queue.ts";
import { watchCluster } from "./watch.ts";

export interface SchedulerOptions {
  readonly client: Client;
  readonly informers: Informers;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly config?: SchedulerConfig;
  /** 0..1; breaks ties between equally good nodes. */
  readonly random?: () => number;
}

export interface Scheduler {
  /** Schedules from when the informers are synced until the signal aborts. Asks for its informers when created, not here. */
  start(signal: AbortSignal): void;
}

/** Longest stretch of deciding before other work in this process gets its turn. */
const SLICE_MS = 4;
const MAX_BINDINGS = 512;
const log = logger("scheduler");

/** A scheduler over these informers, which the caller starts. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const core = new SchedulerCore(options);
  return {
    start: (signal) => {
      core.run(signal).catch((err: unknown) => log.error({ err }, "the scheduler stopped"));
    },
  };
}

interface ActiveProfile {
  readonly profile: Profile;
  readonly cycle: Cycle;
}

class SchedulerCore {
  readonly #cluster = new Cluster();
  readonly #nominator = new Nominator();
  readonly #profiles: ReadonlyMap<string, ActiveProfile>;
  readonly #queue: SchedulingQueue;
  #bindings = 0;
  #wake: (() => void) | undefined;

  constructor(private readonly options: SchedulerOptions) {
    const { informers, clock, config = {} } = options;
    const owners = new OwnerSelectors(informers);
    this.#profiles = this.#makeProfiles({ defaultSelector: (pod) => owners.of(pod) });
    this.#queue = new SchedulingQueue({
      clock, cluster: this.#cluster,
      pluginsOf: (info) => this.#profileOf(info.pod)?.profile.plugins.map((p) => p.plugin) ?? [],
      initialBackoffMs: config.podInitialBackoffMs ?? 1_000, maxBackoffMs: config.podMaxBackoffMs ?? 10_000,
      onReady: () => this.#wake?.(),
    });
    watchCluster(informers, {
      cluster: this.#cluster, queue: this.#queue, nominator: this.#nominator, parser: new PodParser(),
      isResponsible: (pod) => this.#profileOf(pod) !== undefined,
    });
  }

  /** Decides and binds until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.options.informers.waitForSync(signal);
    while (!signal.aborted) {
      this.#slice();
      if (this.#bindings < MAX_BINDINGS && this.#queue.hasNext) await new Promise((resolve) => setImmediate(resolve));
      else await this.#idle(signal);
      this.#queue.flushForgotten();
    }
  }

  #makeProfiles(context: PluginContext): Map<string, ActiveProfile> {
    const { config = {}, random = Math.random } = this.options;
    const profiles = (config.profiles ?? [defaultProfile]).map((make) => make(context));
    return new Map(profiles.map((profile) => [profile.schedulerName, {
      profile,
      cycle: new Cycle({
        cluster: this.#cluster, plugins: profile.plugins, nominations: this.#nominator, random,
        percentageOfNodesToScore: profile.percentageOfNodesToScore ?? config.percentageOfNodesToScore ?? 0,
      }),
    }]));
  }

  #profileOf(pod: Pod): ActiveProfile | undefined {
    return this.#profiles.get(pod.spec?.schedulerName ?? "default-scheduler");
  }

  #slice(): void {
    const end = performance.now() + SLICE_MS;
    while (this.#bindings < MAX_BINDINGS && performance.now() < end) {
      const queued = this.#queue.pop();
      if (!queued) return;
      this.#scheduleOne(queued);
    }
  }

  /** Until a pod may be ready: by an event, a finished binding, or the end of a rest. */
  async #idle(signal: AbortSignal): Promise<void> {
    const readyAt = this.#queue.nextReadyAt;
    const timer = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { signal: timer.signal, once: true });
      if (signal.aborted) resolve();
    });
    const rested = readyAt === undefined ? [] : [this.options.clock.sleep(Math.max(1, readyAt - this.options.clock.now()), timer.signal)];
    await Promise.race([woken, ...rested]);
    this.#wake = undefined;
    timer.abort();
  }

  #scheduleOne(queued: QueuedPod): void {
    const { info } = queued;
    const profile = this.#profileOf(info.pod);
    if (!profile) return this.#queue.done(info.uid);
    if (this.#cluster.nodes.length === 0) return this.#reject(queued, { message: NO_NODES, plugins: new Set() });
    const decision = profile.cycle.decide(info);
    if ("failed" in decision) return this.#unschedulable(queued, decision.failed);
    this.#cluster.place(info, decision.node.name, true);
    this.#nominator.remove(info.uid);
    void this.#bind(queued, decision.node);
  }

  #unschedulable(queued: QueuedPod, diagnosis: Diagnosis): void {
    this.#reject(queued, { message: fitErrorMessage(diagnosis), plugins: diagnosis.plugins });
  }

  /** No node took the pod: says so, and waits for what may change that. */
  #reject(queued: QueuedPod, { message, plugins }: { message: string; plugins: ReadonlySet<string> }): void {
    this.#queue.waitForEvent(queued, plugins);
    this.#report(queued.info, { reason: "Unschedulable", message });
  }

  #report(info: PodInfo, failure: Failure): void {
    const { client, clock, recorder } = this.options;
    recorder.event(info.pod, "Warning", "FailedScheduling", truncateNote(failure.message));
    void reportFailure({ client, clock, info, failure });
  }

  async #bind(queued: QueuedPod, node: NodeState): Promise<void> {
    const { info } = queued;
    this.#bindings++;
    try {
      await bind(this.options.client, info, node.name);
      this.#queue.done(info.uid);
      const { namespace, name } = info.pod.metadata;
      this.options.recorder.event(info.pod, "Normal", "Scheduled", `Successfully assigned ${namespace}/${name} to ${node.name}`);
    } catch (err) {
      this.#bindFailed(queued, node, err);
    } finally {
      this.#bindings--;
      this.#wake?.();
    }
  }

  /** The room goes back to others; the pod rests and is tried again, unless it is gone. */
  #bindFailed(queued: QueuedPod, node: NodeState, err: unknown): void {
    const { info } = queued;
    if (this.#cluster.placement(info.uid)?.isAssumed) {
      this.#cluster.remove(info.uid);
      this.#queue.wake({ type: "AssignedPodDelete", pod: info, node });
    }
    if (isNotFound(err)) return this.#queue.done(info.uid);
    log.warn({ err, pod: info.key, node: node.name }, "a pod was not bound");
    this.#report(info, { reason: "SchedulerError", message: `binding rejected: ${(err as Error).message}`, nominatedNodeName: "" });
    this.#queue.retryLater(queued);
  }
}
