// The Summary API (`/stats/summary`) from one sample, in upstream's shape. Pure.
import { timestamp } from "../../lib/clock.ts";
import type { ContainerFigures, Sample } from "./stats.ts";

/** `k8s.io/kubelet/pkg/apis/stats/v1alpha1.Summary`. */
export function summary(sample: Sample, nodeName: string): Record<string, unknown> {
  const time = timestamp(sample.timeMs);
  const { node } = sample;
  return {
    node: {
      nodeName,
      startTime: timestamp(node.bootTimeMs),
      cpu: { time, usageCoreNanoSeconds: node.cpuNanoseconds },
      memory: { time, availableBytes: node.memoryAvailableBytes, usageBytes: node.memoryTotalBytes - node.memoryAvailableBytes, workingSetBytes: node.memoryTotalBytes - node.memoryAvailableBytes },
      network: { time, name: node.network[0]?.name ?? "", ...(node.network[0] && rxTx(node.network[0])), interfaces: node.network.map((one) => ({ name: one.name, ...rxTx(one) })) },
      fs: fsOf(sample, time),
      runtime: { imageFs: fsOf(sample, time), containerFs: fsOf(sample, time) },
      rlimit: { time, maxpid: node.pids.max, curproc: node.pids.running },
    },
    pods: [...byPod(sample.containers)].map(([uid, containers]) => podSummary(uid, containers, { sample, time })),
  };
}

function byPod(containers: readonly ContainerFigures[]): Map<string, ContainerFigures[]> {
  const pods = new Map<string, ContainerFigures[]>();
  for (const container of containers) pods.set(container.podUid, [...(pods.get(container.podUid) ?? []), container]);
  return pods;
}

function podSummary(uid: string, containers: readonly ContainerFigures[], { sample, time }: { sample: Sample; time: string }): Record<string, unknown> {
  const [first] = containers;
  const sum = (figure: (container: ContainerFigures) => number): number => containers.reduce((total, container) => total + figure(container), 0);
  return {
    podRef: { name: first?.pod, namespace: first?.namespace, uid },
    startTime: timestamp(Math.min(...containers.map(({ startedAtMs }) => startedAtMs))),
    containers: containers.map((container) => containerSummary(container, sample)),
    cpu: { time, usageNanoCores: sum(({ nanoCores }) => nanoCores ?? 0), usageCoreNanoSeconds: sum(({ cpuNanoseconds }) => cpuNanoseconds) },
    memory: { time, usageBytes: sum(({ memoryUsageBytes }) => memoryUsageBytes), workingSetBytes: sum(({ memoryWorkingSetBytes }) => memoryWorkingSetBytes), rssBytes: sum(({ memoryRssBytes }) => memoryRssBytes) },
    "ephemeral-storage": { ...fsOf(sample, time), usedBytes: sum(({ writableLayerBytes }) => writableLayerBytes), inodesUsed: sum(({ writableLayerInodes }) => writableLayerInodes) },
  };
}

function containerSummary(container: ContainerFigures, sample: Sample): Record<string, unknown> {
  const time = timestamp(container.timestampMs);
  return {
    name: container.container,
    startTime: timestamp(container.startedAtMs),
    cpu: { time, ...(container.nanoCores !== undefined && { usageNanoCores: container.nanoCores }), usageCoreNanoSeconds: container.cpuNanoseconds },
    memory: { time, usageBytes: container.memoryUsageBytes, workingSetBytes: container.memoryWorkingSetBytes, rssBytes: container.memoryRssBytes },
    rootfs: { ...fsOf(sample, time), usedBytes: container.writableLayerBytes, inodesUsed: container.writableLayerInodes },
    logs: fsOf(sample, time),
  };
}

function rxTx({ rxBytes, rxErrors, txBytes, txErrors }: { rxBytes: number; rxErrors: number; txBytes: number; txErrors: number }): Record<string, number> {
  return { rxBytes, rxErrors, txBytes, txErrors };
}

function fsOf({ node: { disk } }: Sample, time: string): Record<string, unknown> {
  return { time, availableBytes: disk.availableBytes, capacityBytes: disk.capacityBytes, usedBytes: disk.capacityBytes - disk.availableBytes, inodesFree: disk.inodesFree, inodes: disk.inodes, inodesUsed: disk.inodes - disk.inodesFree };
}
