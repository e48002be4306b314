// Figures of one container from the Docker Engine, in the kubelet's words.
// Summing them up is the kubelet's.
import type Docker from "dockerode";
import type { ContainerStats, LayerUsage } from "../runtime.ts";

interface WireStats {
  readonly read: string;
  readonly cpu_stats: { readonly cpu_usage: { readonly total_usage: number } };
  readonly memory_stats: { readonly usage?: number; readonly stats?: Readonly<Record<string, number>> };
}

/** undefined for a container that has just ended. */
export async function readStats(docker: Docker, id: string): Promise<ContainerStats | undefined> {
  try {
    return toStats(id, (await docker.getContainer(id).stats({ stream: false, "one-shot": true })) as unknown as WireStats);
  } catch {
    return undefined;
  }
}

/** What a container has written over its image, which the engine walks the files for; undefined for one that is gone. */
export async function readLayer(docker: Docker, id: string): Promise<LayerUsage | undefined> {
  try {
    const { SizeRw = 0 } = (await docker.getContainer(id).inspect({ size: true } as object)) as { SizeRw?: number };
    return { bytes: SizeRw, inodes: 0 };
  } catch {
    return undefined;
  }
}

/** The working set is what cannot be given back: usage without inactive file cache, as upstream counts. */
export function toStats(id: string, { read, cpu_stats: cpu, memory_stats: memory }: WireStats): ContainerStats | undefined {
  const { usage, stats = {} } = memory;
  if (usage === undefined) return undefined;
  const inactiveFile = stats["total_inactive_file"] ?? stats["inactive_file"] ?? 0;
  return {
    id,
    timestampMs: Date.parse(read),
    cpuNanoseconds: cpu.cpu_usage.total_usage,
    memoryUsageBytes: usage,
    memoryWorkingSetBytes: Math.max(0, usage - inactiveFile),
    memoryRssBytes: stats["total_rss"] ?? stats["anon"] ?? stats["rss"] ?? 0,
    // The engine measures layers only by walking them.
    writableLayerBytes: 0,
    writableLayerInodes: 0,
  };
}
