// Figures of the node, its pods and containers, gathered when somebody asks and not before.
// Rates are the difference to the sample before; who shows them how is `pages.ts`'s.
import { readFileSync } from "node:fs";
import type { Clock } from "../../lib/clock.ts";
import type { ContainerStats } from "../runtime/runtime.ts";
import { availableMemoryBytes, pidFacts, readDisk, type DiskFacts } from "./machine.ts";
import { interfacesOf, type InterfaceFigures } from "./podnetwork.ts";
import type { Pods } from "./pods.ts";
import type { NodeServices } from "./services.ts";

/** One moment's figures. Times are ms since the epoch, counters totals since start. */
export interface Sample {
  readonly timeMs: number;
  readonly node: NodeFigures;
  readonly containers: readonly ContainerFigures[];
}

export interface NodeFigures {
  readonly cpuNanoseconds: number;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly bootTimeMs: number;
  readonly disk: DiskFacts;
  readonly pids: { readonly max: number; readonly running: number };
  readonly network: readonly InterfaceFigures[];
  /** Since the sample before; undefined for the first one. */
  readonly nanoCores: number | undefined;
  readonly memoryFreeBytes: number;
  readonly memoryRssBytes: number;
  readonly swapTotalBytes: number;
  readonly swapUsedBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  /** This process. */
  readonly kubelet: ProcessFigures;
}

export interface ProcessFigures {
  readonly startedAtMs: number;
  readonly cpuNanoseconds: number;
  readonly rssBytes: number;
}

/** A running container's figures with whose they are. */
export interface ContainerFigures extends ContainerStats {
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly container: string;
  readonly image: string;
  readonly startedAtMs: number;
  /** Since the sample before; undefined for the first one. */
  readonly nanoCores: number | undefined;
}

/** Two askers within this time get the same answer. */
const FRESH_MS = 1_000;
const TICK_NANOSECONDS = 10_000_000;

export class Stats {
  #last: Sample | undefined;
  #sampledAt = 0;
  #asking: Promise<Sample> | undefined;

  constructor(readonly node: NodeServices, readonly pods: Pods, readonly clock: Clock) {}

  /** Figures no older than a second. */
  async sample(): Promise<Sample> {
    if (this.#last && this.clock.monotonic() - this.#sampledAt < FRESH_MS) return this.#last;
    this.#asking ??= this.#take().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #take(): Promise<Sample> {
    const [stats, disk] = await Promise.all([this.node.runtime.pods.stats(), readDisk(this.node.paths.dataDir)]);
    const before = new Map(this.#last?.containers.map((figures) => [figures.id, figures]));
    const containers = stats.flatMap((one) => this.#named(one, before.get(one.id)) ?? []);
    this.#sampledAt = this.clock.monotonic();
    const timeMs = this.clock.now();
    const node = nodeFigures(disk, await interfacesOf("self"));
    this.#last = { timeMs, node: { ...node, nanoCores: this.#last && rate({ now: node.cpuNanoseconds, before: this.#last.node.cpuNanoseconds, elapsedMs: timeMs - this.#last.timeMs }, this.#last.node.nanoCores) }, containers };
    return this.#last;
  }

  #named(stats: ContainerStats, before: ContainerFigures | undefined): ContainerFigures | undefined {
    const record = this.node.cache.container(stats.id);
    const podUid = record?.labels["io.kubernetes.pod.uid"];
    const pod = podUid === undefined ? undefined : this.pods.get(podUid)?.pod;
    if (!record || !pod || record.state !== "running") return undefined;
    return {
      ...stats,
      namespace: pod.metadata.namespace ?? "", pod: pod.metadata.name ?? "", podUid: podUid as string,
      container: record.name, image: record.image,
      startedAtMs: record.startedAt ?? record.createdAt,
      nanoCores: before && rate({ now: stats.cpuNanoseconds, before: before.cpuNanoseconds, elapsedMs: stats.timestampMs - before.timestampMs }, before.nanoCores),
    };
  }
}

/** Nanoseconds of cpu time in a second; what was said before, where no time has passed. */
function rate({ now, before, elapsedMs }: { now: number; before: number; elapsedMs: number }, last: number | undefined): number | undefined {
  // Nanoseconds in so many milliseconds.
  return elapsedMs > 0 ? Math.max(0, Math.round(((now - before) / elapsedMs) * 1000)) : last;
}

function nodeFigures(disk: DiskFacts, network: readonly InterfaceFigures[]): Omit<NodeFigures, "nanoCores"> {
  const stat = text("/proc/stat");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (/^cpu\s+(.*)$/m.exec(stat)?.[1] ?? "").split(" ").map(Number);
  const memory = text("/proc/meminfo");
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(memory)?.[1] ?? "0") * 1024;
  const vm = text("/proc/vmstat");
  const counted = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(vm)?.[1] ?? "0");
  return {
    cpuNanoseconds: (user + nice + system + irq + softirq + steal) * TICK_NANOSECONDS,
    memoryTotalBytes: bytes("MemTotal"),
    memoryAvailableBytes: availableMemoryBytes(),
    memoryFreeBytes: bytes("MemFree"),
    memoryRssBytes: bytes("AnonPages"),
    swapTotalBytes: bytes("SwapTotal"),
    swapUsedBytes: bytes("SwapTotal") - bytes("SwapFree"),
    pageFaults: counted("pgfault"), majorPageFaults: counted("pgmajfault"),
    bootTimeMs: Number(/^btime (\d+)$/m.exec(stat)?.[1] ?? "0") * 1000,
    disk,
    pids: pidFacts(),
    network,
    kubelet: ownFigures(),
  };
}

function ownFigures(): ProcessFigures {
  const { user, system } = process.cpuUsage();
  return { startedAtMs: Date.now() - process.uptime() * 1000, cpuNanoseconds: (user + system) * 1000, rssBytes: process.memoryUsage.rss() };
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
