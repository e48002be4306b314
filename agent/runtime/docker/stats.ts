// Figures of containers in the kubelet's words, off the kernel's own files: an engine gives none of a container whose sandbox has no network of the engine's.
// Summing them up is the kubelet's.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type Docker from "dockerode";
import type { Clock } from "../../../lib/clock.ts";
import type { ContainerStats, LayerUsage } from "../runtime.ts";
import { askIfPresent } from "./engine.ts";
import { MACHINE, membershipOf, type CgroupPlaces } from "./membership.ts";

/** The directories of one container's cgroups. */
interface Location {
  readonly version: 1 | 2;
  readonly memory: string;
  readonly cpu: string;
}

export interface ContainerFiguresDeps {
  readonly docker: Pick<Docker, "getContainer">;
  readonly clock: Clock;
  readonly places?: CgroupPlaces;
}

/** The figures of one engine's running containers. */
export class ContainerFigures {
  readonly #deps: ContainerFiguresDeps;
  /** A container never changes its cgroups. */
  readonly #locations = new Map<string, Location>();

  constructor(deps: ContainerFiguresDeps) {
    this.#deps = deps;
  }

  /** Those of these containers that run. */
  async read(ids: readonly string[]): Promise<ContainerStats[]> {
    const wanted = new Set(ids);
    for (const id of this.#locations.keys()) if (!wanted.has(id)) this.#locations.delete(id);
    const stats = await Promise.all(ids.map((id) => this.#readOne(id)));
    return stats.filter((one) => one !== undefined);
  }

  async #readOne(id: string): Promise<ContainerStats | undefined> {
    const location = this.#locations.get(id) ?? (await this.#locate(id));
    if (!location) return undefined;
    this.#locations.set(id, location);
    try {
      return { id, timestampMs: this.#deps.clock.now(), ...(await readFigures(location)), writableLayerBytes: 0, writableLayerInodes: 0 };
    } catch {
      // It has ended.
      this.#locations.delete(id);
      return undefined;
    }
  }

  async #locate(id: string): Promise<Location | undefined> {
    const { docker, places: { cgroups, proc } = MACHINE } = this.#deps;
    const info = await askIfPresent("Unavailable", () => docker.getContainer(id).inspect());
    if (!info?.State.Running) return undefined;
    const paths = await membershipOf(info.State.Pid, proc);
    const [memory, cpu, unified] = [paths.get("memory"), paths.get("cpuacct"), paths.get("")];
    if (memory !== undefined && cpu !== undefined) return { version: 1, memory: join(cgroups, "memory", memory), cpu: join(cgroups, "cpuacct", cpu) };
    return unified === undefined ? undefined : { version: 2, memory: join(cgroups, unified), cpu: join(cgroups, unified) };
  }
}

/** The working set is what cannot be given back: usage without inactive file cache, as upstream counts. */
async function readFigures({ version, memory, cpu }: Location): Promise<Pick<ContainerStats, "cpuNanoseconds" | "memoryUsageBytes" | "memoryWorkingSetBytes" | "memoryRssBytes">> {
  const isV1 = version === 1;
  const [usage, stat, processor] = await Promise.all([
    readFile(join(memory, isV1 ? "memory.usage_in_bytes" : "memory.current"), "utf8"), readFile(join(memory, "memory.stat"), "utf8"), readFile(join(cpu, isV1 ? "cpuacct.usage" : "cpu.stat"), "utf8"),
  ]);
  const memoryUsageBytes = Number(usage);
  return {
    cpuNanoseconds: isV1 ? Number(processor) : valueOf(processor, "usage_usec") * 1000,
    memoryUsageBytes,
    memoryWorkingSetBytes: Math.max(0, memoryUsageBytes - valueOf(stat, isV1 ? "total_inactive_file" : "inactive_file")),
    memoryRssBytes: valueOf(stat, isV1 ? "total_rss" : "anon"),
  };
}

function valueOf(text: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
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
