// `/metrics/cadvisor`: the figures of containers, pods and the machine that dashboards are built on, under cAdvisor's names. Pure.
import type { CgroupFigures, PsiLine } from "./cgroupfigures.ts";
import type { Details } from "./details.ts";
import { render, type Labels, type Metric, type Point } from "./metrics.ts";
import type { InterfaceFigures } from "./podnetwork.ts";
import type { ContainerFigures, Sample } from "./stats.ts";

const labelsOf = ({ id, container, image, namespace, pod, podUid }: ContainerFigures): Labels => ({ container, id: `/kubepods/pod${podUid}/${id}`, image, name: id, namespace, pod });

/** All of it, from one sample and its details. */
export function cadvisorMetrics(sample: Sample, details: Details): string {
  return render([...ofContainers(sample), ...ofCgroups(sample, details), ...ofNetworks(sample, details), ...ofMachine(sample)]);
}

function ofContainers({ containers }: Sample): Metric[] {
  const each = (figure: (container: ContainerFigures) => number, extra: Labels = {}): Point[] => containers.map((container) => [{ ...labelsOf(container), ...extra }, figure(container)]);
  return [
    { name: "container_cpu_usage_seconds_total", help: "Cumulative cpu time consumed in seconds.", type: "counter", points: each(({ cpuNanoseconds }) => cpuNanoseconds / 1e9, { cpu: "total" }) },
    { name: "container_memory_usage_bytes", help: "Current memory usage in bytes, including all memory regardless of when it was accessed", type: "gauge", points: each(({ memoryUsageBytes }) => memoryUsageBytes) },
    { name: "container_memory_working_set_bytes", help: "Current working set in bytes.", type: "gauge", points: each(({ memoryWorkingSetBytes }) => memoryWorkingSetBytes) },
    { name: "container_memory_rss", help: "Size of RSS in bytes.", type: "gauge", points: each(({ memoryRssBytes }) => memoryRssBytes) },
    { name: "container_fs_usage_bytes", help: "Number of bytes that are consumed by the container on this filesystem.", type: "gauge", points: each(({ writableLayerBytes }) => writableLayerBytes) },
    { name: "container_start_time_seconds", help: "Start time of the container since unix epoch in seconds.", type: "gauge", points: each(({ startedAtMs }) => startedAtMs / 1000) },
    { name: "container_last_seen", help: "Last time a container was seen by the exporter", type: "gauge", points: each(({ timestampMs }) => timestampMs / 1000) },
  ];
}

function ofCgroups({ containers }: Sample, { pods }: Details): Metric[] {
  const found = containers.flatMap((container) => {
    const cgroup = pods.get(container.podUid)?.containers.get(container.container);
    return cgroup ? [{ labels: labelsOf(container), cgroup }] : [];
  });
  const each = (figure: (cgroup: CgroupFigures) => number | undefined, extra: Labels = {}): Point[] => found.flatMap(({ labels, cgroup }): Point[] => {
    const value = figure(cgroup);
    return value === undefined ? [] : [[{ ...labels, ...extra }, value]];
  });
  const faults = (failure_type: string, figure: (cgroup: CgroupFigures) => number): Point[] => each(figure, { failure_type, scope: "container" });
  return [
    { name: "container_memory_cache", help: "Number of bytes of page cache memory.", type: "gauge", points: each(({ memory }) => memory.cacheBytes) },
    { name: "container_memory_mapped_file", help: "Size of memory mapped files in bytes.", type: "gauge", points: each(({ memory }) => memory.mappedFileBytes) },
    { name: "container_memory_swap", help: "Container swap usage in bytes.", type: "gauge", points: each(({ memory }) => memory.swapBytes) },
    { name: "container_memory_failcnt", help: "Number of memory usage hits limits", type: "counter", points: each(({ memory }) => memory.failures) },
    { name: "container_memory_failures_total", help: "Cumulative count of memory allocation failures.", type: "counter", points: [...faults("pgfault", ({ memory }) => memory.pageFaults), ...faults("pgmajfault", ({ memory }) => memory.majorPageFaults)] },
    { name: "container_processes", help: "Number of processes running inside the container.", type: "gauge", points: each(({ processes }) => processes) },
    { name: "container_cpu_cfs_periods_total", help: "Number of elapsed enforcement period intervals.", type: "counter", points: each(({ cpu }) => (cpu.quotaUs === undefined ? undefined : cpu.periods)) },
    { name: "container_cpu_cfs_throttled_periods_total", help: "Number of throttled period intervals.", type: "counter", points: each(({ cpu }) => (cpu.quotaUs === undefined ? undefined : cpu.throttledPeriods)) },
    { name: "container_cpu_cfs_throttled_seconds_total", help: "Total time duration the container has been throttled.", type: "counter", points: each(({ cpu }) => (cpu.quotaUs === undefined ? undefined : cpu.throttledSeconds)) },
    { name: "container_spec_cpu_period", help: "CPU period of the container.", type: "gauge", points: each(({ cpu }) => cpu.periodUs || undefined) },
    { name: "container_spec_cpu_quota", help: "CPU quota of the container.", type: "gauge", points: each(({ cpu }) => cpu.quotaUs) },
    { name: "container_spec_cpu_shares", help: "CPU share of the container.", type: "gauge", points: each(({ cpu }) => cpu.shares || undefined) },
    { name: "container_spec_memory_limit_bytes", help: "Memory limit for the container.", type: "gauge", points: each(({ memory }) => memory.limitBytes ?? 0) },
    ...ofPressure(each),
  ];
}

const seconds = (line: PsiLine | undefined): number | undefined => line && line.total / 1e9;

function ofPressure(each: (figure: (cgroup: CgroupFigures) => number | undefined) => Point[]): Metric[] {
  return (["cpu", "memory", "io"] as const).flatMap((kind): Metric[] => [
    { name: `container_pressure_${kind}_stalled_seconds_total`, help: `Total time duration no tasks in the container could make progress due to ${kind} congestion.`, type: "counter", points: each(({ psi }) => seconds(psi[kind]?.full)) },
    { name: `container_pressure_${kind}_waiting_seconds_total`, help: `Total time duration tasks in the container have waited due to ${kind} congestion.`, type: "counter", points: each(({ psi }) => seconds(psi[kind]?.some)) },
  ]);
}

/** The network is the pod's, not any one container's. */
function ofNetworks({ containers }: Sample, { pods }: Details): Metric[] {
  const owners = new Map(containers.map(({ podUid, namespace, pod }) => [podUid, { container: "", id: `/kubepods/pod${podUid}`, image: "", name: "", namespace, pod }]));
  const each = (figure: (one: InterfaceFigures) => number): Point[] => [...owners].flatMap(([uid, labels]) => (pods.get(uid)?.network ?? []).map((one): Point => [{ ...labels, interface: one.name }, figure(one)]));
  return [
    { name: "container_network_receive_bytes_total", help: "Cumulative count of bytes received", type: "counter", points: each(({ rxBytes }) => rxBytes) },
    { name: "container_network_receive_errors_total", help: "Cumulative count of errors encountered while receiving", type: "counter", points: each(({ rxErrors }) => rxErrors) },
    { name: "container_network_receive_packets_dropped_total", help: "Cumulative count of packets dropped while receiving", type: "counter", points: each(({ rxDropped }) => rxDropped) },
    { name: "container_network_receive_packets_total", help: "Cumulative count of packets received", type: "counter", points: each(({ rxPackets }) => rxPackets) },
    { name: "container_network_transmit_bytes_total", help: "Cumulative count of bytes transmitted", type: "counter", points: each(({ txBytes }) => txBytes) },
    { name: "container_network_transmit_errors_total", help: "Cumulative count of errors encountered while transmitting", type: "counter", points: each(({ txErrors }) => txErrors) },
    { name: "container_network_transmit_packets_dropped_total", help: "Cumulative count of packets dropped while transmitting", type: "counter", points: each(({ txDropped }) => txDropped) },
    { name: "container_network_transmit_packets_total", help: "Cumulative count of packets transmitted", type: "counter", points: each(({ txPackets }) => txPackets) },
  ];
}

function ofMachine({ node }: Sample): Metric[] {
  return [
    { name: "container_scrape_error", help: "1 if there was an error while getting container metrics, 0 otherwise", type: "gauge", points: [[{}, 0]] },
    { name: "machine_cpu_cores", help: "Number of logical CPU cores.", type: "gauge", points: [[{}, navigator.hardwareConcurrency]] },
    { name: "machine_memory_bytes", help: "Amount of memory installed on the machine.", type: "gauge", points: [[{}, node.memoryTotalBytes]] },
    { name: "machine_swap_bytes", help: "Amount of swap memory available on the machine.", type: "gauge", points: [[{}, node.swapTotalBytes]] },
  ];
}
