// The figures of pods that cost something to gather: cgroups, network, volumes, logs. Gathered when somebody asks.
// What is cheap, and asked for all the time, is `stats.ts`'s; who shows what is `summary.ts`'s and `cadvisor.ts`'s.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pod } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Exec } from "../../lib/exec.ts";
import type { ContainerRecord, LayerUsage } from "../runtime/runtime.ts";
import { readPsi, type CgroupFigures } from "./cgroupfigures.ts";
import { diskUsages, fsFigures, type DiskUsage, type FsFigures } from "./diskusage.ts";
import { interfacesOf, type InterfaceFigures } from "./podnetwork.ts";
import type { Pods } from "./pods.ts";
import type { NodeServices } from "./services.ts";
import { volumePlaces, type VolumePlace } from "./volumestats.ts";

/** What one pod uses beside cpu and memory. */
export interface PodDetails {
  readonly cgroup: CgroupFigures;
  /** By container name. */
  readonly containers: ReadonlyMap<string, CgroupFigures>;
  /** Empty for pods in the node's own network. */
  readonly network: readonly InterfaceFigures[];
  readonly disk: PodDisk;
}

export interface PodDisk {
  readonly volumes: readonly VolumeFigures[];
  /** By container name. */
  readonly logs: ReadonlyMap<string, DiskUsage>;
  /** By container name. */
  readonly layers: ReadonlyMap<string, DiskUsage>;
}

export interface VolumeFigures extends VolumePlace {
  readonly fs: FsFigures;
  readonly used: DiskUsage;
}

export interface Details {
  /** By uid. */
  readonly pods: ReadonlyMap<string, PodDetails>;
  readonly allPods: CgroupFigures;
  readonly images: ImageUsage;
  readonly psi: CgroupFigures["psi"];
}

/** What images use, and the file system they are on. */
export interface ImageUsage {
  readonly usedBytes: number;
  readonly inodesUsed: number;
  readonly fs: FsFigures | undefined;
}

/** As long as upstream's `volumeStatsAggPeriod`: walking directories is work. */
const DISK_FRESH_MS = 60_000;
const NO_DISK: PodDisk = { volumes: [], logs: new Map(), layers: new Map() };

export class DetailedStats {
  readonly #disks = new Map<string, { readonly at: number; readonly disk: PodDisk }>();

  #images: { readonly at: number; readonly usage: ImageUsage } | undefined;

  constructor(readonly deps: { readonly node: NodeServices; readonly pods: Pods; readonly clock: Clock; readonly exec: Exec }) {}

  /** Everything about the pods that run. Figures of disks may be a minute old. */
  async read(): Promise<Details> {
    const { node, pods } = this.deps;
    const running = pods.all().filter(({ phase }) => phase === "syncing").map(({ pod }) => pod);
    const [disks, allPods, images, psi] = await Promise.all([
      this.#diskOf(running), node.cgroups.allFigures(), this.#imageUsage(),
      readPsi((kind) => readFile(`/proc/pressure/${kind}`, "utf8").catch(() => "")),
    ]);
    const entries = await Promise.all(running.map(async (pod) => {
      const uid = pod.metadata.uid ?? "";
      return [uid, await this.#detailsOf(pod, disks.get(uid) ?? NO_DISK)] as const;
    }));
    return { pods: new Map(entries), allPods, images, psi };
  }

  /** Some runtimes walk all their layers for it. */
  async #imageUsage(): Promise<ImageUsage> {
    const { node, clock } = this.deps;
    if (this.#images && clock.monotonic() - this.#images.at < DISK_FRESH_MS) return this.#images.usage;
    const found = await node.runtime.images.usage().catch(() => undefined);
    const usage = { usedBytes: found?.usedBytes ?? 0, inodesUsed: found?.inodesUsed ?? 0, fs: found && (await fsFigures(found.path)) };
    this.#images = { at: clock.monotonic(), usage };
    return usage;
  }

  async #detailsOf(pod: Pod, disk: PodDisk): Promise<PodDetails> {
    const { node } = this.deps;
    const { own, below } = await node.cgroups.figures(pod);
    const records = node.cache.get(pod.metadata.uid ?? "")?.containers ?? [];
    const containers = new Map<string, CgroupFigures>();
    // Runtimes put words around the id.
    for (const [name, figures] of below) for (const record of records) if (name.includes(record.id)) containers.set(record.name, figures);
    const pid = [...below.values()].find((figures) => figures.pid !== undefined)?.pid;
    const network = pid === undefined || pod.spec?.hostNetwork ? [] : await interfacesOf(pid);
    return { cgroup: own, containers, network, disk };
  }

  async #diskOf(running: readonly Pod[]): Promise<ReadonlyMap<string, PodDisk>> {
    const { clock } = this.deps;
    const now = clock.monotonic();
    const uids = new Set(running.map(({ metadata }) => metadata.uid ?? ""));
    for (const uid of this.#disks.keys()) if (!uids.has(uid)) this.#disks.delete(uid);
    const stale = running.filter(({ metadata }) => now - (this.#disks.get(metadata.uid ?? "")?.at ?? -Infinity) >= DISK_FRESH_MS);
    for (const [uid, disk] of await this.#measure(stale)) this.#disks.set(uid, { at: now, disk });
    return new Map([...this.#disks].map(([uid, { disk }]) => [uid, disk]));
  }

  /** All directories of all pods in one go. */
  async #measure(pods: readonly Pod[]): Promise<Map<string, PodDisk>> {
    const { node, exec } = this.deps;
    const placed = await Promise.all(pods.map(async (pod) => ({ pod, places: await volumePlaces(node, pod) })));
    const logOf = (pod: Pod, container: string): string => join(node.paths.podLogDirectory(pod), container);
    const walked = placed.flatMap(({ pod, places }) => [...places.filter(({ isMount }) => !isMount).map(({ path }) => path), ...containerNames(pod).map((name) => logOf(pod, name))]);
    const records = pods.flatMap(({ metadata }) => node.cache.get(metadata.uid ?? "")?.containers.filter(({ state }) => state === "running") ?? []);
    const [usages, layers] = await Promise.all([diskUsages(exec, walked), node.runtime.pods.writableLayers(records.map(({ id }) => id))]);
    return new Map(await Promise.all(placed.map(async ({ pod, places }) => {
      const volumes = await Promise.all(places.map((place) => measured(place, usages.get(place.path))));
      const logs = new Map(containerNames(pod).flatMap((name) => {
        const usage = usages.get(logOf(pod, name));
        return usage ? [[name, usage] as const] : [];
      }));
      return [pod.metadata.uid ?? "", { volumes: volumes.filter((volume) => volume !== undefined), logs, layers: layersOf(node.cache.get(pod.metadata.uid ?? "")?.containers ?? [], layers) }] as const;
    })));
  }
}

const containerNames = ({ spec }: Pod): string[] => [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ name }) => name);

function layersOf(records: readonly ContainerRecord[], layers: ReadonlyMap<string, LayerUsage>): Map<string, DiskUsage> {
  return new Map(records.flatMap(({ id, name }) => {
    const layer = layers.get(id);
    return layer ? [[name, layer] as const] : [];
  }));
}

async function measured(place: VolumePlace, walked: DiskUsage | undefined): Promise<VolumeFigures | undefined> {
  const fs = await fsFigures(place.path);
  return fs && { ...place, fs, used: walked ?? { bytes: fs.usedBytes, inodes: fs.inodes - fs.inodesFree } };
}
