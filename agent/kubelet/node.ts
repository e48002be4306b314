// Registers this machine as a Node and keeps its status true: at once on a change, every five minutes without one.
// What the status says is decided in `nodestatus.ts`; the heartbeat between is `lease.ts`'s.
import { isAlreadyExists, isConflict, isNotFound } from "../../api/errors.ts";
import type { Client } from "../../api/client/client.ts";
import { builtinKind } from "../../api/registry.ts";
import type { Node, NodeCondition, NodeStatus, ObjectReference, Stored, Taint } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Component } from "../../lib/component.ts";
import { logger } from "../../lib/log.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { keepLease } from "./lease.ts";
import { readDisk, readMachine, type DiskFacts, type MachineFacts } from "./machine.ts";
import { newNode, nodeLabels, nodeStatus, type Pressure } from "./nodestatus.ts";
import type { EventSink } from "./recorder.ts";
import { DEFAULT_SETTINGS, thresholdOf, type Settings } from "./settings.ts";
import { RuntimeHealth } from "./runtimehealth.ts";

const log = logger("node");
const NODE = builtinKind("", "v1", "Node");
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5_000;
/** How soon a runtime that is not ready yet is asked again. */
const STARTING_CHECK_MS = 200;
const STARTING_MS = 60_000;

export interface NodeDeps {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly recorder: EventSink;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly dataDir: string;
  /** As nodeInfo shows it: `v1.36.2`. */
  readonly version: string;
  readonly port?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  readonly settings?: Settings;
  readonly pressure?: () => Pressure;
  readonly isShuttingDown?: () => boolean;
}

export interface NodeComponent extends Component {
  /** Looks again now, because something that the status shows has changed. */
  refresh(): void;
  /** The pod network of this node, once the control plane has given it one; undefined when the signal aborts first. */
  podCidr(signal: AbortSignal): Promise<string | undefined>;
}

const NO_PRESSURE: Pressure = { memory: false, disk: false, pid: false };

/** The Node object of this machine. `start` resolves once it is registered. */
export function createNode(deps: NodeDeps): NodeComponent {
  const stop = new AbortController();
  const reporter = new Reporter(deps, stop.signal);
  return {
    name: "node",
    refresh: () => reporter.refresh(),
    podCidr: (signal) => waitForPodCidr(deps, signal),
    async start() {
      await reporter.register();
      void reporter.run();
      void keepLease({ client: deps.client, clock: deps.clock, nodeName: deps.nodeName, nodeUid: () => reporter.uid, durationSeconds: (deps.settings ?? DEFAULT_SETTINGS).nodeStatus.leaseSeconds }, stop.signal);
    },
    async stop() {
      stop.abort();
    },
  };
}

class Reporter {
  #sentAt = -Infinity;
  #machine: MachineFacts | undefined;
  #wake: (() => void) | undefined;
  /** Something has changed since the last report began. */
  #isStale = false;
  #startedAt = 0;
  uid = "";
  readonly #health: RuntimeHealth;

  readonly #settings: Settings;

  constructor(readonly deps: NodeDeps, readonly signal: AbortSignal) {
    this.#settings = deps.settings ?? DEFAULT_SETTINGS;
    this.#health = new RuntimeHealth(deps.runtime, deps.clock);
  }

  refresh(): void {
    this.#isStale = true;
    this.#wake?.();
  }

  /** Creates the Node, or takes over the one there is; keeps trying until it works. */
  async register(): Promise<void> {
    const { deps, signal } = this;
    this.#startedAt = deps.clock.monotonic();
    for (let delay = FIRST_RETRY_MS; !signal.aborted; delay = Math.min(delay * 2, LAST_RETRY_MS)) {
      try {
        const node = await this.#createOrAdopt();
        this.uid = node.metadata.uid;
        deps.recorder.event(this.#reference(), "Normal", "Starting", "Starting kubelet.");
        log.info({ node: deps.nodeName }, "registered");
        return;
      } catch (error) {
        log.warn({ err: error, node: deps.nodeName }, "registering the node failed");
        await deps.clock.sleep(delay, signal);
      }
    }
  }

  async run(): Promise<void> {
    const { clock } = this.deps;
    while (!this.signal.aborted) {
      let isReady = false;
      this.#isStale = false;
      try {
        isReady = await this.#report();
      } catch (error) {
        if (!this.signal.aborted) log.warn({ err: error }, "reporting the node's status failed");
      }
      const isStarting = !isReady && clock.monotonic() - this.#startedAt < STARTING_MS;
      if (!this.#isStale) await this.#pause(isStarting ? STARTING_CHECK_MS : this.#settings.nodeStatus.checkMs);
    }
  }

  async #pause(ms: number): Promise<void> {
    const timer = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const stop = (): void => timer.abort();
    this.signal.addEventListener("abort", stop, { once: true });
    await Promise.race([promise, this.deps.clock.sleep(ms, timer.signal)]);
    this.signal.removeEventListener("abort", stop);
    timer.abort();
  }

  async #createOrAdopt(): Promise<Stored<Node>> {
    const { client, nodeName, labels = {}, taints = this.#settings.taints } = this.deps;
    const providerId = this.#settings.configuration["providerID"] as string;
    const status = await this.#status({});
    const wantedLabels = nodeLabels(nodeName, await this.#facts(), labels);
    try {
      return await client.create<Node>(NODE, newNode(nodeName, { labels: wantedLabels, taints: [...taints], status, providerId }));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    const existing = await client.get<Node>(NODE, { name: nodeName });
    const isCurrent = Object.entries(wantedLabels).every(([key, value]) => existing.metadata.labels?.[key] === value);
    return isCurrent ? existing : client.patch<Node>(NODE, { name: nodeName }, { metadata: { labels: wantedLabels } }, { type: "merge" });
  }

  /** True when the node is ready. */
  async #report(): Promise<boolean> {
    const { client, clock, nodeName } = this.deps;
    const current = await this.#current();
    if (!current) return false;
    const status = await this.#status(current);
    const isReady = status.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
    const isDue = clock.monotonic() - this.#sentAt >= this.#settings.nodeStatus.reportMs;
    const patch = isDue ? status : changedFields(current, status);
    if (Object.keys(patch).length === 0) return isReady;
    try {
      await client.patch<Node>(NODE, { name: nodeName }, { status: withRemovals(current, patch) }, { type: "strategic", subresource: "status" });
    } catch (error) {
      if (!isConflict(error)) throw error;
      return isReady;
    }
    this.#tellTransitions(current.conditions ?? [], status.conditions ?? []);
    this.#sentAt = clock.monotonic();
    return isReady;
  }

  /** What the API holds; a Node that somebody deleted comes back, for we are still here. */
  async #current(): Promise<NodeStatus | undefined> {
    try {
      return (await this.deps.client.get<Node>(NODE, { name: this.deps.nodeName })).status ?? {};
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.register();
      return undefined;
    }
  }

  async #status(current: NodeStatus): Promise<NodeStatus> {
    const { deps } = this;
    const [machine, disk, runtime, images] = await Promise.all([this.#facts(), readDisk(deps.dataDir), this.#health.status(), this.#health.images()]);
    return nodeStatus({
      nodeName: deps.nodeName, nodeIp: deps.nodeIp, version: deps.version, machine, disk, runtime, images,
      old: current.conditions ?? [],
      extendedResources: extendedResources(current.capacity),
      port: deps.port ?? 10250,
      pressure: deps.pressure?.() ?? NO_PRESSURE,
      isShuttingDown: deps.isShuttingDown?.() ?? false,
      maxPods: podCapacity(this.#settings, machine.cores),
      maxImages: this.#settings.nodeStatus.maxImages,
      reserved: this.#settings.reserved,
      keptFree: keptFree(this.#settings, machine, disk),
      now: deps.clock.now(),
    });
  }

  async #facts(): Promise<MachineFacts> {
    return (this.#machine ??= await readMachine());
  }

  #tellTransitions(before: readonly NodeCondition[], after: readonly NodeCondition[]): void {
    for (const { type, status } of after) {
      const old = before.find((condition) => condition.type === type)?.status;
      if (old === status) continue;
      const reason = transitionReason(type, status);
      if (reason) this.deps.recorder.event(this.#reference(), "Normal", reason, `Node ${this.deps.nodeName} status is now: ${reason}`);
    }
  }

  /** Upstream's events about nodes carry the name as uid, and tools look for that. */
  #reference(): ObjectReference {
    return { kind: "Node", name: this.deps.nodeName, uid: this.deps.nodeName };
  }
}

function transitionReason(type: string, status: string): string | undefined {
  switch (type) {
    case "Ready": return status === "True" ? "NodeReady" : "NodeNotReady";
    case "MemoryPressure": return status === "True" ? "NodeHasInsufficientMemory" : "NodeHasSufficientMemory";
    case "DiskPressure": return status === "True" ? "NodeHasDiskPressure" : "NodeHasNoDiskPressure";
    case "PIDPressure": return status === "True" ? "NodeHasInsufficientPID" : "NodeHasSufficientPID";
    default: return undefined;
  }
}

/** What differs, heartbeat times aside. */
function changedFields(from: NodeStatus, to: NodeStatus): Partial<NodeStatus> {
  const changed = Object.entries(to).filter(([key, value]) => !Bun.deepEquals(comparable(key, from[key as keyof NodeStatus]), comparable(key, value)));
  return Object.fromEntries(changed);
}

function comparable(key: string, value: unknown): unknown {
  return key === "conditions" ? (value as NodeCondition[] | undefined)?.map(({ type, status, reason, message }) => ({ type, status, reason, message })) : value;
}

const without = (have: Record<string, string> = {}, want: Record<string, string>): Record<string, string | null> => ({ ...Object.fromEntries(Object.keys(have).filter((name) => !(name in want)).map((name) => [name, null])), ...want });

/** Addresses are merged by type and resources by name, so what is gone must be said to be gone. */
function withRemovals(current: NodeStatus, patch: Partial<NodeStatus>): Record<string, unknown> {
  return {
    ...patch,
    ...(patch.addresses && { addresses: [{ $patch: "replace" }, ...patch.addresses] }),
    ...(patch.allocatable && { allocatable: without(current.allocatable, patch.allocatable) }),
  };
}

/** What others have added to the node's capacity: devices and the like, by names with a domain. */
function extendedResources(capacity: Record<string, string> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(capacity).filter(([name]) => name.includes("/")));
}

function podCapacity({ maxPods, podsPerCore }: Settings, cores: number): number {
  return podsPerCore > 0 ? Math.min(maxPods, podsPerCore * cores) : maxPods;
}

/** What pods are not promised, because they are evicted before it is used. */
function keptFree({ eviction: { hard } }: Settings, { memoryBytes }: MachineFacts, { capacityBytes }: DiskFacts): { memoryBytes: number; diskBytes: number } {
  return { memoryBytes: thresholdOf(hard["memory.available"], memoryBytes), diskBytes: thresholdOf(hard["nodefs.available"], capacityBytes) };
}

async function waitForPodCidr({ client, nodeName, clock }: NodeDeps, signal: AbortSignal): Promise<string | undefined> {
  while (!signal.aborted) {
    try {
      const list = await client.list<Node>(NODE, { fieldSelector: `metadata.name=${nodeName}` });
      const given = list.items[0]?.spec?.podCIDR;
      if (given) return given;
      for await (const event of client.watch<Node>(NODE, { fieldSelector: `metadata.name=${nodeName}`, resourceVersion: list.metadata.resourceVersion, signal })) {
        if (event.type !== "BOOKMARK" && event.object.spec?.podCIDR) return event.object.spec.podCIDR;
      }
    } catch (error) {
      if (!signal.aborted) log.debug({ err: error }, "waiting for a pod CIDR failed");
    }
    await clock.sleep(FIRST_RETRY_MS, signal);
  }
  return undefined;
}
