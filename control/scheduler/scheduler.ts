// The scheduler: takes waiting pods one by one, decides at once, and lets the writes finish on their own.
// Decisions are synchronous in small slices, so an API server in the same process keeps answering.
import type { Client } from "../../api/client/client.ts";
import type { Informer, Informers } from "../../api/client/informer.ts";
import type { EventRecorder } from "../../api/client/recorder.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Pod, PodDisruptionBudget } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { reportFailure, type Failure } from "./binder.ts";
import { Bindings } from "./bindings.ts";
import { Cluster } from "./cluster.ts";
import { defaultProfile, type PluginContext, type Profile, type SchedulerConfig } from "./config.ts";
import { Cycle, type Decision, type Diagnosis } from "./cycle.ts";
import { makeRoom } from "./evict.ts";
import { Extenders } from "./extenders/extenders.ts";
import { DeviceObjects } from "./dra/objects.ts";
import { fitErrorMessage, NO_NODES, truncateNote } from "./message.ts";
import type { LastResort, Plugin } from "./framework.ts";
import { deviceCounts, SchedulerMetrics } from "./metrics.ts";
import type { NodeState } from "./nodestate.ts";
import { Nominator } from "./nominations.ts";
import { OwnerSelectors } from "./owners.ts";
import { PodParser, profileNameOf, type PodInfo } from "./podinfo.ts";
import { choosePlan, tryPreemption, type NoPlan, type PreemptionArgs, type PreemptionContext, type Trials } from "./preemption.ts";
import { SchedulingQueue } from "./queue.ts";
import type { QueuedPod } from "./queuedpod.ts";
import { Volumes } from "./volumes.ts";
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
  /** Its numbers in Prometheus' text form, under upstream's names. */
  metrics(): string;
  /** Schedules from when the informers are synced until the signal aborts. Asks for its informers when created, not here. */
  start(signal: AbortSignal): void;
}

/** Longest stretch of deciding before other work in this process gets its turn. */
const SLICE_MS = 4;
const MAX_BINDINGS = 512;
/** What upstream's DynamicResources plugin says of a pod without claims. */
const NO_CLAIMS = "no new claims to deallocate";
const log = logger("scheduler");

/** A scheduler over these informers, which the caller starts. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const core = new SchedulerCore(options);
  return {
    metrics: () => core.metrics(),
    start: (signal) => {
      core.run(signal).catch((err: unknown) => log.error({ err }, "the scheduler stopped"));
    },
  };
}

interface ActiveProfile {
  readonly profile: Profile;
  readonly all: readonly Plugin[];
  readonly cycle: Cycle;
}

class SchedulerCore {
  readonly #cluster = new Cluster();
  readonly #nominator = new Nominator();
  readonly #profiles: ReadonlyMap<string, ActiveProfile>;
  readonly #queue: SchedulingQueue;
  readonly #budgets: Informer<PodDisruptionBudget>;
  readonly #metrics = new SchedulerMetrics();
  readonly #bindings: Bindings;
  readonly #extenders: Extenders;
  #wake: (() => void) | undefined;

  constructor(private readonly options: SchedulerOptions) {
    const { informers, clock, config = {} } = options;
    this.#extenders = new Extenders(config.extenders);
    const owners = new OwnerSelectors(informers);
    this.#budgets = informers.for<PodDisruptionBudget>(builtinKind("policy", "v1", "PodDisruptionBudget"));
    // Caches that are filled already speak up at once, before there is a queue: nothing waits in it then.
    const volumes = new Volumes(informers, (resource) => (this.#queue as SchedulingQueue | undefined)?.wake({ type: "ObjectChange", resource }));
    const devices = new DeviceObjects(informers, (event) => {
      // Which resources stand for devices is part of what is remembered about nodes.
      if (event.type === "DeviceChange" && event.resource === "deviceclasses") this.#cluster.touchNodes();
      (this.#queue as SchedulingQueue | undefined)?.wake(event);
    });
    this.#profiles = this.#makeProfiles({ defaultSelector: (pod) => owners.of(pod), volumes, devices, client: this.options.client, recorder: this.options.recorder, clock, counts: deviceCounts(this.#metrics) });
    this.#queue = new SchedulingQueue({
      clock, cluster: this.#cluster,
      pluginsOf: (info) => this.#profileOf(info.pod)?.all ?? [],
      initialBackoffMs: config.podInitialBackoffMs ?? 1_000, maxBackoffMs: config.podMaxBackoffMs ?? 10_000,
      onReady: () => this.#wake?.(),
      onIncoming: (queue, cause) => this.#metrics.count("queue_incoming_pods_total", cause, queue),
    });
    this.#bindings = new Bindings({
      client: options.client, recorder: options.recorder, clock, cluster: this.#cluster, queue: this.#queue, metrics: this.#metrics,
      binderOf: (info) => this.#extenders.binderOf(info),
      report: (info, failure) => this.#report(info, failure), onEnd: () => this.#wake?.(),
    });
    watchCluster(informers, {
      cluster: this.#cluster, queue: this.#queue, nominator: this.#nominator, parser: new PodParser(),
      isResponsible: (pod) => this.#profileOf(pod) !== undefined,
    });
  }

  /** Decides and binds until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await this.options.informers.waitForSync(signal);
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
    while (!signal.aborted) {
      await this.#slice();
      if (this.#bindings.count < MAX_BINDINGS && this.#queue.hasNext) await new Promise((resolve) => setImmediate(resolve));
      else await this.#idle(signal);
      this.#queue.flushForgotten();
    }
  }

  metrics(): string {
    const { sizes, rejections } = this.#queue;
    return this.#metrics.text({
      pending_pods: Object.entries(sizes).map(([queue, count]) => [[queue], count]),
      unschedulable_pods: rejections.map(({ plugin, profile, count }) => [[plugin, profile], count]),
      cache_size: Object.entries(this.#cluster.sizes).map(([type, count]) => [[type], count]),
      goroutines: [[["binding"], this.#bindings.count]],
      plugin_evaluation_total: [...this.#profiles.values()].flatMap(({ profile, cycle }) => cycle.evaluations.map(({ point, plugin, count }) => [[point, plugin, profile.schedulerName], count] as const)),
    });
  }

  #makeProfiles(context: PluginContext): Map<string, ActiveProfile> {
    const { config = {}, random = Math.random } = this.options;
    const profiles = (config.profiles ?? [defaultProfile]).map((make) => make(context));
    return new Map(profiles.map((profile) => [profile.schedulerName, {
      profile, all: profile.plugins.map((p) => p.plugin),
      cycle: new Cycle({
        cluster: this.#cluster, plugins: profile.plugins, nominations: this.#nominator, random,
        percentageOfNodesToScore: profile.percentageOfNodesToScore ?? config.percentageOfNodesToScore ?? 0,
        onPoint: (point, status, seconds) => this.#metrics.observe("framework_extension_point_duration_seconds", seconds, point, profile.schedulerName, status),
      }),
    }]));
  }

  #profileOf(pod: Pod): ActiveProfile | undefined {
    return this.#profiles.get(pod.spec?.schedulerName ?? "default-scheduler");
  }

  /** Ends early with a pod others outside are to be asked about: until they answered, no other is tried. */
  #slice(): Promise<void> | void {
    const end = performance.now() + SLICE_MS;
    while (this.#bindings.count < MAX_BINDINGS && performance.now() < end) {
      const queued = this.#queue.pop();
      if (!queued) return;
      const asking = this.#scheduleOne(queued);
      if (asking) return asking;
    }
  }

  /** Until a pod may be ready: by an event, a finished binding, or the end of a rest. */
  async #idle(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { clock } = this.options;
    const readyAt = this.#queue.nextReadyAt;
    const timer = readyAt === undefined ? undefined : new AbortController();
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    await (timer ? Promise.race([woken, clock.sleep(Math.max(1, (readyAt ?? 0) - clock.now()), timer.signal)]) : woken);
    this.#wake = undefined;
    timer?.abort();
  }

  #scheduleOne(queued: QueuedPod): Promise<void> | void {
    const { info } = queued;
    const profile = this.#profileOf(info.pod);
    if (!profile) return this.#queue.done(info.uid);
    if (this.#cluster.nodes.length === 0) return this.#reject(queued, { message: NO_NODES, plugins: new Set() });
    if (this.#extenders.concern(info)) return this.#askOutside(queued, profile);
    const begin = performance.now();
    try {
      const decision = profile.cycle.decide(info);
      const failed = this.#place({ queued, profile, decision, begin });
      if (failed) this.#unschedulable(queued, profile, failed);
    } catch (err) {
      this.#undecided(queued, err);
    }
  }

  async #askOutside(queued: QueuedPod, profile: ActiveProfile): Promise<void> {
    const { info } = queued;
    this.#queue.rememberEvents();
    const begin = performance.now();
    try {
      const decision = await this.#extenders.decide(info, profile.cycle);
      const failed = this.#place({ queued, profile, decision, begin });
      if (!failed) return;
      const tried = profile.profile.preemption && tryPreemption(info, failed, this.#preemptionContext(profile, profile.profile.preemption));
      const agreed = tried && "candidates" in tried ? { ...tried, candidates: await this.#extenders.preempt(info, tried.candidates) } : tried;
      this.#unschedulable(queued, profile, failed, agreed);
    } catch (err) {
      this.#undecided(queued, err);
    }
  }

  /** Has the pod bound where it was decided; or says why no node took it. */
  #place({ queued, profile, decision, begin }: { queued: QueuedPod; profile: ActiveProfile; decision: Decision; begin: number }): Diagnosis | undefined {
    const { info } = queued;
    const seconds = (performance.now() - begin) / 1000;
    this.#metrics.observe("scheduling_algorithm_duration_seconds", seconds);
    this.#metrics.attempted(profile.profile.schedulerName, "failed" in decision ? "unschedulable" : "scheduled", seconds);
    if ("failed" in decision) return decision.failed;
    this.#cluster.place(info, decision.node.name, true);
    this.#nominator.remove(info.uid);
    void this.#bindings.bind({ queued, node: decision.node, reservations: decision.reservations });
    return undefined;
  }

  /** A plugin that cannot decide, for whatever reason, holds up nobody but the pod. */
  #undecided(queued: QueuedPod, err: unknown): void {
    const { info } = queued;
    log.warn({ error: (err as Error).message, pod: info.key }, "a pod could not be judged");
    this.#metrics.attempted(profileNameOf(info), "error", 0);
    this.#report(info, { reason: "SchedulerError", message: (err as Error).message });
    this.#queue.retryLater(queued);
  }

  /** Looks for what could be done about it; either way the pod waits. */
  #unschedulable(queued: QueuedPod, active: ActiveProfile, diagnosis: Diagnosis, agreed?: Trials | NoPlan): void {
    const resort = diagnosis.filters.map((filter) => filter.lastResort?.()).find((each) => each !== undefined);
    this.#preempt(queued, active, { diagnosis, resort: resort?.message, agreed });
    // Only now: what this frees must find the pod waiting.
    if (resort?.act) void this.#resortTo(queued.info, resort);
  }

  #preempt(queued: QueuedPod, active: ActiveProfile, { diagnosis, resort, agreed }: { diagnosis: Diagnosis; resort: string | undefined; agreed: Trials | NoPlan | undefined }): void {
    const { info } = queued;
    const { profile } = active;
    const { plugins } = diagnosis;
    if (profile.preemption) this.#metrics.count("preemption_attempts_total");
    if (!profile.preemption) return this.#reject(queued, { message: fitErrorMessage(diagnosis, resort), plugins });
    const begin = performance.now();
    const plan = choosePlan(agreed ?? tryPreemption(info, diagnosis, this.#preemptionContext(active, profile.preemption)), diagnosis);
    this.#metrics.observe("framework_extension_point_duration_seconds", (performance.now() - begin) / 1000, "PostFilter", profile.schedulerName, "message" in plan ? "Unschedulable" : "Success");
    if ("message" in plan) {
      const message = fitErrorMessage(diagnosis, `${resort ?? NO_CLAIMS}, preemption: ${plan.message}`);
      return this.#reject(queued, { message, plugins, ...(plan.clearsNomination && { nominatedNodeName: "" }) });
    }
    this.#reject(queued, { message: fitErrorMessage(diagnosis), plugins, nominatedNodeName: plan.node.name });
    void this.#makeRoom(info, plan.node, plan.victims);
  }

  #preemptionContext({ cycle }: ActiveProfile, args: PreemptionArgs): PreemptionContext {
    return { cluster: this.#cluster, cycle, nominations: this.#nominator, args, random: this.options.random ?? Math.random, budgets: this.#budgets.lister.list() };
  }

  /** What it frees brings the pod back by itself. */
  async #resortTo(info: PodInfo, resort: LastResort): Promise<void> {
    try {
      await resort.act?.();
    } catch (err) {
      log.warn({ err, pod: info.key }, "nothing could be done about a pod that fits nowhere");
    }
  }

  /** Until the victims are on their way, events must not bring the pod back: it would look for more victims. */
  async #makeRoom(info: PodInfo, node: NodeState, victims: readonly PodInfo[]): Promise<void> {
    const { client, recorder, clock } = this.options;
    const displaced = this.#nominator.all(node.name).filter((other) => other.priority < info.priority);
    for (const other of displaced) this.#nominator.remove(other.uid);
    this.#metrics.observe("preemption_victims", victims.length);
    this.#queue.hold(info.uid);
    const begin = performance.now();
    let result = "error";
    try {
      result = await makeRoom({ client, recorder, clock, preemptor: info, nodeName: node.name, victims, displaced });
    } finally {
      this.#metrics.count("preemption_goroutines_execution_total", result);
      this.#metrics.observe("preemption_goroutines_duration_seconds", (performance.now() - begin) / 1000, result);
      this.#queue.release(info.uid);
      this.#queue.activate(displaced.map((other) => other.uid));
    }
  }

  /** No node took the pod: says so, and waits for what may change that. */
  #reject(queued: QueuedPod, { message, plugins, nominatedNodeName }: { message: string; plugins: ReadonlySet<string>; nominatedNodeName?: string }): void {
    this.#queue.waitForEvent(queued, plugins);
    if (nominatedNodeName !== undefined) this.#nominator.set(queued.info, nominatedNodeName);
    this.#report(queued.info, { reason: "Unschedulable", message, nominatedNodeName });
  }

  #report(info: PodInfo, failure: Failure): void {
    const { client, clock, recorder } = this.options;
    recorder.event(info.pod, "Warning", "FailedScheduling", truncateNote(failure.message));
    void reportFailure({ client, clock, info, failure });
  }
}
