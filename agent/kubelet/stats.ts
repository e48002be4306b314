// Figures of the node, its pods and containers, gathered when somebody asks and not before.
// Rates are the difference to the sample before; who shows them how is `pages.ts`'s.
import { readFileSync } from "node:fs";
import type { Clock } from "../../lib/clock.ts";
import type { ContainerStats } from "../runtime/runtime.ts";
import { availableMemoryBytes, pidFacts, readDisk, type DiskFacts } from "./machine.ts";
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
  readonly network: readonly NetworkFigures[];
}

export interface NetworkFigures {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
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
    this.#last = { timeMs: this.clock.now(), node: nodeFigures(disk), containers };
    return this.#last;
  }

  #named(stats: ContainerStats, before: ContainerFigures | undefined): ContainerFigures | undefined {
    const record = this.node.cache.container(stats.id);
    const podUid = record?.labels["io.kubernetes.pod.uid"];
    const pod = podUid === undefined ? undefined : this.pods.get(podUid)?.pod;
    if (!record || !pod || record.state !== "running") return undefined;
    const elapsed = before ? stats.timestampMs - before.timestampMs : 0;
    return {
      ...stats,
      namespace: pod.metadata.namespace ?? "", pod: pod.metadata.name ?? "", podUid: podUid as string,
      container: record.name, image: record.image,
      startedAtMs: record.startedAt ?? record.createdAt,
      nanoCores: before && elapsed > 0 ? Math.max(0, Math.round(((stats.cpuNanoseconds - before.cpuNanoseconds) / elapsed) * 1000)) : before?.nanoCores,
    };
  }
}

function nodeFigures(disk: DiskFacts): NodeFigures {
  const stat = text("/proc/stat");
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (/^cpu\s+(.*)$/m.exec(stat)?.[1] ?? "").split(" ").map(Number);
  const memory = text("/proc/meminfo");
  return {
    cpuNanoseconds: (user + nice + system + irq + softirq + steal) * TICK_NANOSECONDS,
    memoryTotalBytes: Number(/^MemTotal:\s+(\d+)/m.exec(memory)?.[1] ?? "0") * 1024,
    memoryAvailableBytes: availableMemoryBytes(),
    bootTimeMs: Number(/^btime (\d+)$/m.exec(stat)?.[1] ?? "0") * 1000,
    disk,
    pids: pidFacts(),
    network: text("/proc/net/dev").split("\n").flatMap(networkLine),
  };
}

function networkLine(line: string): NetworkFigures[] {
  const match = /^\s*([^:\s]+):\s*(.*)$/.exec(line);
  if (!match || match[1] === "lo") return [];
  const [rxBytes = 0, , rxErrors = 0, , , , , , txBytes = 0, , txErrors = 0] = (match[2] as string).trim().split(/\s+/).map(Number);
  return [{ name: match[1] as string, rxBytes, rxErrors, txBytes, txErrors }];
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
