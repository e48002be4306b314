// Keeps the node alive when memory, disk or process ids run out: says so in conditions, frees images, then evicts pods.
// Which pod goes first, and in what words it is told, is decided in `evictionrank.ts`.
import type { Clock } from "../../lib/clock.ts";
import type { Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { nameOf, SignalReader, type Signal } from "./evictionsignals.ts";
import { localStorageBreach, lowResourceMessage, rankForDisk, rankForMemory, rankForPids, type PodUsage } from "./evictionrank.ts";
import type { Pressure } from "./nodestatus.ts";
import type { Pods } from "./pods.ts";
import { podRef } from "./recorder.ts";
import type { NodeServices } from "./services.ts";
import { isStatic } from "./staticpods.ts";
import type { Stats } from "./stats.ts";
import { localStorageBytes, podStorage } from "./storageusage.ts";
import type { PodWorker } from "./worker.ts";

const log = logger("eviction");
const CHECK_MS = 10_000;
/** A condition stays this long after its cause is gone, or pods would come back at once. */
const EVICTION_GRACE_SECONDS = 1;
const CRITICAL_PRIORITY = 2_000_000_000;

export interface EvictionOptions {
  readonly node: NodeServices;
  readonly pods: Pods;
  readonly stats: Stats;
  readonly clock: Clock;
  readonly exec: Exec;
  /** Frees that many bytes of unused images; returns the bytes freed. */
  readonly freeImages: (bytes: number) => Promise<number>;
  readonly signals?: (node: NodeServices) => Promise<Signal[]>;
  readonly onChange: () => void;
}

export class Eviction {
  /** When each kind of pressure was last seen. */
  readonly #seenAt = new Map<keyof Pressure, number>();

  /** Since when something has been below its soft threshold. */
  readonly #softSince = new Map<string, number>();

  /** What was low at the last look: it stays low until the minimum is reclaimed, too. */
  #isReclaiming: ReadonlySet<string> = new Set();

  readonly #signals: (node: NodeServices) => Promise<Signal[]>;

  constructor(readonly options: EvictionOptions) {
    const reader = new SignalReader();
    this.#signals = options.signals ?? ((node) => reader.read(node));
  }

  /** What the node's conditions say. */
  pressure(): Pressure {
    const now = this.options.clock.monotonic();
    const has = (kind: keyof Pressure): boolean => now - (this.#seenAt.get(kind) ?? -Infinity) < this.options.node.settings.eviction.transitionMs;
    return { memory: has("memory"), disk: has("disk"), pid: has("pid") };
  }

  /** Looks every ten seconds until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.options.clock.sleep(CHECK_MS, signal);
      if (!signal.aborted) await this.check().catch((error: unknown) => log.warn({ err: error }, "checking the node's resources failed"));
    }
  }

  /** One look: at most one pod is evicted for the node's sake. */
  async check(): Promise<void> {
    await this.#evictOverLimit();
    const signals = await this.#signals(this.options.node);
    const low = signals.filter((signal) => signal.available < signal.threshold + (this.#isReclaiming.has(nameOf(signal)) ? (signal.reclaim ?? 0) : 0));
    this.#isReclaiming = new Set(low.map(nameOf));
    const before = this.pressure();
    for (const { resource } of low) this.#seenAt.set(kindOf(resource), this.options.clock.monotonic());
    if (!Bun.deepEquals(before, this.pressure())) this.options.onChange();
    const [first] = this.#due(low);
    if (!first || this.#isEvicting()) return;
    log.warn({ ...first }, "the node is low on a resource");
    const { node } = this.options;
    node.recorder.event({ apiVersion: "v1", kind: "Node", name: node.nodeName, uid: node.nodeName }, "Warning", "EvictionThresholdMet", `Attempting to reclaim ${first.resource}`);
    const missing = first.threshold + (first.reclaim ?? 0) - first.available;
    if (first.resource === "ephemeral-storage" && (await this.options.freeImages(missing)) >= missing) return;
    await this.#evictFor(first);
  }

  /** Those that have been low for long enough, the hard ones first. */
  #due(low: readonly Signal[]): Signal[] {
    const now = this.options.clock.monotonic();
    const soft = low.filter((signal) => signal.soft);
    for (const name of this.#softSince.keys()) if (!soft.some((signal) => nameOf(signal) === name)) this.#softSince.delete(name);
    for (const signal of soft) if (!this.#softSince.has(nameOf(signal))) this.#softSince.set(nameOf(signal), now);
    return [...low.filter((signal) => !signal.soft), ...soft.filter((signal) => now - (this.#softSince.get(nameOf(signal)) ?? now) >= (signal.soft?.graceMs ?? 0))];
  }

  #isEvicting(): boolean {
    return this.options.pods.all().some((worker) => worker.phase === "terminating" && worker.status.reason === "Evicted");
  }

  async #evictFor(signal: Signal): Promise<void> {
    const usages = await this.#with(signal, await this.#usages());
    const ranked = signal.resource === "memory" ? rankForMemory(usages) : signal.resource === "pids" ? rankForPids(usages) : rankForDisk(usages);
    const victim = ranked.map(({ uid }) => this.options.pods.get(uid)).find((worker) => worker && isEvictable(worker));
    if (!victim) {
      log.error({ ...signal }, "no pod is left that could be evicted");
      return;
    }
    const graceSeconds = signal.soft && Math.min(signal.soft.maxGraceSeconds, victim.pod.spec?.terminationGracePeriodSeconds ?? signal.soft.maxGraceSeconds);
    this.options.node.figures.count("kubelet_evictions", { eviction_signal: nameOf(signal) });
    this.#evict(victim, lowResourceMessage(signal, usages.find(({ uid }) => uid === victim.pod.metadata.uid)), graceSeconds);
  }

  /** Pods that use more local storage than they themselves said they would. */
  async #evictOverLimit(): Promise<void> {
    for (const worker of this.options.pods.all()) {
      if (worker.phase !== "syncing" || !isEvictable(worker)) continue;
      const usage = await podStorage(this.options.node, this.options.exec, worker.pod);
      const breach = usage && localStorageBreach(worker.pod, usage);
      if (!breach) continue;
      this.options.node.figures.count("kubelet_evictions", { eviction_signal: "allocatable.ephemeral-storage" });
      this.#evict(worker, breach);
    }
  }

  #evict(worker: PodWorker, message: string, graceSeconds = EVICTION_GRACE_SECONDS): void {
    log.warn({ pod: worker.pod.metadata.name, message }, "evicting a pod");
    this.options.node.recorder.event(podRef(worker.pod), "Warning", "Evicted", message);
    worker.fail({ phase: "Failed", reason: "Evicted", message, graceSeconds, disruption: { reason: "TerminationByKubelet", message } });
  }

  /** Adds what is looked for only when it is short. */
  async #with({ resource }: Signal, usages: readonly PodUsage[]): Promise<readonly PodUsage[]> {
    if (kindOf(resource) === "disk") return this.#withLocalStorage(usages);
    if (resource !== "pids") return usages;
    return Promise.all(usages.map(async (usage) => ({ ...usage, processes: (await this.options.node.cgroups.figures(usage.pod)).own.processes })));
  }

  /** Most of what fills a disk is in no container's own layer. */
  async #withLocalStorage(usages: readonly PodUsage[]): Promise<PodUsage[]> {
    const { node, exec } = this.options;
    return Promise.all(usages.map(async (usage) => {
      const records = node.cache.get(usage.uid)?.containers.filter(({ state }) => state === "running") ?? [];
      const [localBytes, layers] = await Promise.all([localStorageBytes(node, exec, usage.pod), node.runtime.pods.writableLayers(records.map(({ id }) => id))]);
      return { ...usage, localBytes, containers: usage.containers.map((container) => ({ ...container, diskBytes: layers.get(records.find(({ name }) => name === container.name)?.id ?? "")?.bytes ?? 0 })) };
    }));
  }

  async #usages(): Promise<PodUsage[]> {
    const { containers } = await this.options.stats.sample();
    return this.options.pods.all().filter((worker) => worker.phase === "syncing").map(({ pod }) => ({
      uid: pod.metadata.uid ?? "", pod,
      containers: containers.filter(({ podUid }) => podUid === pod.metadata.uid).map(({ container, memoryWorkingSetBytes, writableLayerBytes }) => ({ name: container, memoryBytes: memoryWorkingSetBytes, diskBytes: writableLayerBytes })),
    }));
  }
}

function isEvictable({ pod }: PodWorker): boolean {
  return !isStatic(pod) && (pod.spec?.priority ?? 0) < CRITICAL_PRIORITY;
}

function kindOf(resource: Signal["resource"]): keyof Pressure {
  if (resource === "memory") return "memory";
  return resource === "pids" ? "pid" : "disk";
}
