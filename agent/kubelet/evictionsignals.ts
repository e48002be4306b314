// What can run out on a node, and how much of it is left, against the thresholds of the node's configuration.
// What follows from that is `eviction.ts`'s.
import { stat } from "node:fs/promises";
import { availableMemoryBytes, pidFacts, readDisk } from "./machine.ts";
import type { NodeServices } from "./services.ts";
import { thresholdOf } from "./settings.ts";

/** One thing that can run out. */
export interface Signal {
  /** Upstream's name, such as `imagefs.available`; told by the resource where left out. */
  readonly name?: string;
  readonly resource: "memory" | "ephemeral-storage" | "inodes" | "pids";
  readonly available: number;
  readonly threshold: number;
  /** What must be free beyond the threshold before the node leaves off. */
  readonly reclaim?: number;
  /** It must stay low for so long, and pods get time to end. Without it pods go at once. */
  readonly soft?: { readonly graceMs: number; readonly maxGraceSeconds: number };
}

interface Figure {
  readonly resource: Signal["resource"];
  readonly name: string;
  readonly available: number;
  readonly capacity: number;
}

/** Upstream has no default here; without process ids not even the kubelet can help. */
const LAST_PIDS = { share: 0.01 };
const NAMES = { memory: "memory.available", "ephemeral-storage": "nodefs.available", inodes: "nodefs.inodesFree", pids: "pid.available" } as const;

/** Upstream's threshold for the memory of all pods is that of the node's. */
const HARD_OF: Readonly<Record<string, string>> = { "allocatableMemory.available": "memory.available" };

/** The signal's name in upstream's words. */
export const nameOf = (signal: Signal): string => signal.name ?? NAMES[signal.resource];

/** Reads a node's signals; where its images are is asked for once. */
export class SignalReader {
  #imageFs: Promise<string | undefined> | undefined;

  /** The node's signals against its thresholds, hard and soft. */
  async read(node: NodeServices): Promise<Signal[]> {
    const { hard, soft, softGraceMs, maxGraceSeconds, minimumReclaim } = node.settings.eviction;
    return (await this.#figures(node)).flatMap(({ name, capacity, resource, available }) => {
      const threshold = thresholdOf(hard[HARD_OF[name] ?? name] ?? (resource === "pids" ? LAST_PIDS : undefined), capacity);
      const reclaim = thresholdOf(minimumReclaim[name], capacity);
      const ofSoft = soft[name] ? [{ name, resource, available, reclaim, threshold: thresholdOf(soft[name], capacity), soft: { graceMs: softGraceMs[name] ?? 0, maxGraceSeconds } }] : [];
      return [{ name, resource, available, threshold, reclaim }, ...ofSoft];
    });
  }

  async #figures(node: NodeServices): Promise<Figure[]> {
    const [pids, { memory }] = [pidFacts(), await node.cgroups.allFigures()];
    this.#imageFs ??= ownImageFs(node).catch(() => {
      this.#imageFs = undefined;
      return undefined;
    });
    const imageFs = await this.#imageFs;
    return [
      { resource: "memory", name: "memory.available", available: availableMemoryBytes(), capacity: node.machine.memoryBytes },
      // What the pods together may use runs out earlier where some of the machine's is kept for others.
      ...(memory.limitBytes === undefined ? [] : [{ resource: "memory" as const, name: "allocatableMemory.available", available: memory.limitBytes - memory.workingSetBytes, capacity: memory.limitBytes }]),
      ...(await diskFigures("nodefs", node.paths.dataDir)),
      ...(imageFs === undefined ? [] : await diskFigures("imagefs", imageFs)),
      { resource: "pids", name: "pid.available", available: pids.max - pids.running, capacity: pids.max },
    ];
  }
}

/** Where the runtime keeps images and layers, when that is another file system than the node's own. */
async function ownImageFs(node: NodeServices): Promise<string | undefined> {
  const { path } = await node.runtime.images.usage();
  const [images, own] = await Promise.all([stat(path), stat(node.paths.dataDir)]);
  return images.dev === own.dev ? undefined : path;
}

async function diskFigures(kind: "nodefs" | "imagefs", path: string): Promise<Figure[]> {
  const disk = await readDisk(path);
  return [
    { resource: "ephemeral-storage", name: `${kind}.available`, available: disk.availableBytes, capacity: disk.capacityBytes },
    ...(disk.inodes > 0 ? [{ resource: "inodes" as const, name: `${kind}.inodesFree`, available: disk.inodesFree, capacity: disk.inodes }] : []),
  ];
}
