// The Summary API (`/stats/summary`) from one sample and its details, in upstream's shape. Pure.
import { timestamp } from "../../lib/clock.ts";
import type { CgroupFigures } from "./cgroupfigures.ts";
import type { Details, PodDetails, VolumeFigures } from "./details.ts";
import type { FsFigures } from "./diskusage.ts";
import type { InterfaceFigures } from "./podnetwork.ts";
import type { ContainerFigures, ProcessFigures, Sample } from "./stats.ts";

type Shown = Record<string, unknown>;

/** `k8s.io/kubelet/pkg/apis/stats/v1alpha1.Summary`. */
export function summary({ sample, details, nodeName }: { readonly sample: Sample; readonly details: Details; readonly nodeName: string }): Shown {
  const time = timestamp(sample.timeMs);
  return {
    node: nodeSummary(sample, details, nodeName),
    pods: [...byPod(sample.containers)].map(([uid, containers]) => podSummary({ uid, containers, details: details.pods.get(uid) }, { sample, time })),
  };
}

function nodeSummary(sample: Sample, details: Details, nodeName: string): Shown {
  const time = timestamp(sample.timeMs);
  const { node } = sample;
  const used = node.memoryTotalBytes - node.memoryAvailableBytes;
  const layers = [...details.pods.values()].flatMap(({ disk }) => [...disk.layers.values()]);
  const imageFs = details.images.fs ? roomOf(details.images.fs, time) : fsOf(sample, time);
  const images = { ...imageFs, usedBytes: details.images.usedBytes, inodesUsed: details.images.inodesUsed };
  return {
    nodeName,
    systemContainers: [
      processSummary("kubelet", node.kubelet, sample),
      { ...processSummary("pods", undefined, sample), cpu: { time, usageNanoCores: sum(sample.containers, ({ nanoCores }) => nanoCores ?? 0), usageCoreNanoSeconds: sum(sample.containers, ({ cpuNanoseconds }) => cpuNanoseconds), ...psi(details.allPods, "cpu") }, memory: podMemory(sample.containers, details.allPods, time) },
    ],
    startTime: timestamp(node.bootTimeMs),
    cpu: { time, ...(node.nanoCores !== undefined && { usageNanoCores: node.nanoCores }), usageCoreNanoSeconds: node.cpuNanoseconds, ...psi(details, "cpu") },
    memory: { time, availableBytes: node.memoryAvailableBytes, usageBytes: node.memoryTotalBytes - node.memoryFreeBytes, workingSetBytes: used, rssBytes: node.memoryRssBytes, pageFaults: node.pageFaults, majorPageFaults: node.majorPageFaults, ...psi(details, "memory") },
    ...(details.psi.io && { io: { time, psi: details.psi.io } }),
    swap: { time, swapAvailableBytes: node.swapTotalBytes - node.swapUsedBytes, swapUsageBytes: node.swapUsedBytes },
    ...networkOf(node.network, time),
    fs: fsOf(sample, time),
    runtime: { imageFs: images, containerFs: { ...imageFs, usedBytes: sum(layers, ({ bytes }) => bytes), inodesUsed: sum(layers, ({ inodes }) => inodes) } },
    rlimit: { time, maxpid: node.pids.max, curproc: node.pids.running },
  };
}

function processSummary(name: string, figures: ProcessFigures | undefined, sample: Sample): Shown {
  const time = timestamp(sample.timeMs);
  if (!figures) return { name, startTime: timestamp(sample.node.bootTimeMs) };
  return { name, startTime: timestamp(figures.startedAtMs), cpu: { time, usageCoreNanoSeconds: figures.cpuNanoseconds }, memory: { time, usageBytes: figures.rssBytes, workingSetBytes: figures.rssBytes, rssBytes: figures.rssBytes } };
}

function byPod(containers: readonly ContainerFigures[]): Map<string, ContainerFigures[]> {
  const pods = new Map<string, ContainerFigures[]>();
  for (const container of containers) pods.set(container.podUid, [...(pods.get(container.podUid) ?? []), container]);
  return pods;
}

interface PodInput {
  readonly uid: string;
  readonly containers: readonly ContainerFigures[];
  readonly details: PodDetails | undefined;
}

function podSummary({ uid, containers, details }: PodInput, { sample, time }: { sample: Sample; time: string }): Shown {
  const [first] = containers;
  const { volumes = [], logs = new Map(), layers = new Map() } = details?.disk ?? {};
  const local = volumes.filter(({ isEphemeral }) => isEphemeral).map(({ used }) => used);
  const ephemeral = [...local, ...logs.values(), ...layers.values()];
  return {
    podRef: { name: first?.pod, namespace: first?.namespace, uid },
    startTime: timestamp(Math.min(...containers.map(({ startedAtMs }) => startedAtMs))),
    containers: containers.map((container) => containerSummary(container, details, sample)),
    cpu: { time, usageNanoCores: sum(containers, ({ nanoCores }) => nanoCores ?? 0), usageCoreNanoSeconds: sum(containers, ({ cpuNanoseconds }) => cpuNanoseconds), ...psi(details?.cgroup, "cpu") },
    memory: podMemory(containers, details?.cgroup, time),
    ...(details?.cgroup.psi.io && { io: { time, psi: details.cgroup.psi.io } }),
    ...(details && networkOf(details.network, time)),
    ...(volumes.length > 0 && { volume: volumes.map((volume) => volumeSummary(volume, { namespace: first?.namespace, time })) }),
    "ephemeral-storage": {
      ...fsOf(sample, time),
      usedBytes: sum(ephemeral, ({ bytes }) => bytes),
      inodesUsed: sum(ephemeral, ({ inodes }) => inodes),
    },
    ...(details && { process_stats: { process_count: details.cgroup.processes }, swap: { time, swapUsageBytes: details.cgroup.memory.swapBytes } }),
  };
}

function podMemory(containers: readonly ContainerFigures[], cgroup: CgroupFigures | undefined, time: string): Shown {
  const workingSetBytes = sum(containers, ({ memoryWorkingSetBytes }) => memoryWorkingSetBytes);
  return { time, ...available(cgroup, workingSetBytes), usageBytes: sum(containers, ({ memoryUsageBytes }) => memoryUsageBytes), workingSetBytes, rssBytes: sum(containers, ({ memoryRssBytes }) => memoryRssBytes), ...faults(cgroup), ...psi(cgroup, "memory") };
}

function containerSummary(container: ContainerFigures, details: PodDetails | undefined, sample: Sample): Shown {
  const time = timestamp(container.timestampMs);
  const cgroup = details?.containers.get(container.container);
  const logs = details?.disk.logs.get(container.container);
  const layer = details?.disk.layers.get(container.container);
  const { memoryUsageBytes: usageBytes, memoryWorkingSetBytes: workingSetBytes, memoryRssBytes: rssBytes } = container;
  return {
    name: container.container,
    startTime: timestamp(container.startedAtMs),
    cpu: { time, ...(container.nanoCores !== undefined && { usageNanoCores: container.nanoCores }), usageCoreNanoSeconds: container.cpuNanoseconds, ...psi(cgroup, "cpu") },
    memory: { time, ...available(cgroup, workingSetBytes), usageBytes, workingSetBytes, rssBytes, ...faults(cgroup), ...psi(cgroup, "memory") },
    ...(cgroup?.psi.io && { io: { time, psi: cgroup.psi.io } }),
    rootfs: { ...fsOf(sample, time), usedBytes: layer?.bytes ?? 0, inodesUsed: layer?.inodes ?? 0 },
    logs: { ...fsOf(sample, time), usedBytes: logs?.bytes ?? 0, inodesUsed: logs?.inodes ?? 0 },
    ...(cgroup && { swap: { time, swapUsageBytes: cgroup.memory.swapBytes } }),
  };
}

function volumeSummary({ name, claim, fs, used }: VolumeFigures, { namespace, time }: { namespace: string | undefined; time: string }): Shown {
  return {
    time, availableBytes: fs.availableBytes, capacityBytes: fs.capacityBytes, usedBytes: used.bytes, inodesFree: fs.inodesFree, inodes: fs.inodes, inodesUsed: used.inodes, name,
    ...(claim !== undefined && { pvcRef: { name: claim, namespace } }),
  };
}

/** The interface with the default route stands for all: in a pod that is eth0. */
function networkOf(interfaces: readonly InterfaceFigures[], time: string): Shown {
  const [first] = interfaces;
  const primary = interfaces.find(({ name }) => name === "eth0") ?? first;
  return primary ? { network: { time, ...rxTx(primary), interfaces: interfaces.map(rxTx) } } : {};
}

function rxTx({ name, rxBytes, rxErrors, txBytes, txErrors }: InterfaceFigures): Shown {
  return { name, rxBytes, rxErrors, txBytes, txErrors };
}

function available(cgroup: CgroupFigures | undefined, workingSetBytes: number): Shown {
  const limit = cgroup?.memory.limitBytes;
  return limit === undefined ? {} : { availableBytes: Math.max(0, limit - workingSetBytes) };
}

const faults = (cgroup: CgroupFigures | undefined): Shown => (cgroup ? { pageFaults: cgroup.memory.pageFaults, majorPageFaults: cgroup.memory.majorPageFaults } : {});

function psi(figures: { readonly psi: CgroupFigures["psi"] } | undefined, kind: "cpu" | "memory"): Shown {
  const found = figures?.psi[kind];
  return found ? { psi: found } : {};
}

function sum<T>(all: readonly T[], figure: (one: T) => number): number {
  return all.reduce((total, one) => total + figure(one), 0);
}

function roomOf({ availableBytes, capacityBytes, inodes, inodesFree }: FsFigures, time: string): Shown {
  return { time, availableBytes, capacityBytes, inodesFree, inodes };
}

function fsOf({ node: { disk } }: Sample, time: string): Shown {
  return { time, availableBytes: disk.availableBytes, capacityBytes: disk.capacityBytes, usedBytes: disk.capacityBytes - disk.availableBytes, inodesFree: disk.inodesFree, inodes: disk.inodes, inodesUsed: disk.inodes - disk.inodesFree };
}
