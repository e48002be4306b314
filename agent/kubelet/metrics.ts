// The node's metrics pages in Prometheus text, with upstream's names. Pure, but for the process's own figures.
import type { Pod } from "../../api/types.ts";
import type { ProbeCount } from "./probes.ts";
import type { ContainerFigures, Sample } from "./stats.ts";
import type { VolumeCount } from "../volumes/heldvolumes.ts";
import type { ClaimFigures } from "./volumestats.ts";

export type Labels = Readonly<Record<string, string>>;
export type Point = readonly [labels: Labels, value: number];

export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly points: readonly Point[];
}

/** Renders metrics; one without points is left out. */
export function render(metrics: readonly Metric[]): string {
  return metrics.filter(({ points }) => points.length > 0).map(({ name, help, type, points }) => {
    const lines = points.map(([labels, value]) => `${name}${labelText(labels)} ${value}`);
    return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join("\n");
  }).join("\n") + "\n";
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`);
  return pairs.length > 0 ? `{${pairs.join(",")}}` : "";
}

const seconds = (nanoseconds: number): number => nanoseconds / 1e9;
const ofContainer = ({ container, namespace, pod }: ContainerFigures): Labels => ({ container, namespace, pod });

/** `/metrics/resource`: what metrics-server reads. */
export function resourceMetrics(sample: Sample): string {
  const each = (figure: (container: ContainerFigures) => number): Point[] => sample.containers.map((container) => [ofContainer(container), figure(container)]);
  const { node } = sample;
  return render([
    { name: "container_cpu_usage_seconds_total", help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds", type: "counter", points: each(({ cpuNanoseconds }) => seconds(cpuNanoseconds)) },
    { name: "container_memory_working_set_bytes", help: "[STABLE] Current working set of the container in bytes", type: "gauge", points: each(({ memoryWorkingSetBytes }) => memoryWorkingSetBytes) },
    { name: "container_start_time_seconds", help: "[STABLE] Start time of the container since unix epoch in seconds", type: "gauge", points: each(({ startedAtMs }) => startedAtMs / 1000) },
    { name: "node_cpu_usage_seconds_total", help: "[STABLE] Cumulative cpu time consumed by the node in core-seconds", type: "counter", points: [[{}, seconds(node.cpuNanoseconds)]] },
    { name: "node_memory_working_set_bytes", help: "[STABLE] Current working set of the node in bytes", type: "gauge", points: [[{}, node.memoryTotalBytes - node.memoryAvailableBytes]] },
    { name: "node_swap_usage_bytes", help: "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems", type: "gauge", points: [[{}, node.swapUsedBytes]] },
    { name: "pod_cpu_usage_seconds_total", help: "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", type: "counter", points: perPod(sample, ({ cpuNanoseconds }) => seconds(cpuNanoseconds)) },
    { name: "pod_memory_working_set_bytes", help: "[STABLE] Current working set of the pod in bytes", type: "gauge", points: perPod(sample, ({ memoryWorkingSetBytes }) => memoryWorkingSetBytes) },
    { name: "resource_scrape_error", help: "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise", type: "gauge", points: [[{}, 0]] },
    { name: "scrape_error", help: "[ALPHA] 1 if there was an error while getting container metrics, 0 otherwise", type: "gauge", points: [[{}, 0]] },
  ]);
}

function perPod(sample: Sample, figure: (container: ContainerFigures) => number): Point[] {
  const sums = new Map<string, { labels: Labels; value: number }>();
  for (const container of sample.containers) {
    const known = sums.get(container.podUid)?.value ?? 0;
    sums.set(container.podUid, { labels: { namespace: container.namespace, pod: container.pod }, value: known + figure(container) });
  }
  return [...sums.values()].map(({ labels, value }) => [labels, value]);
}

/** What is known of one of the node's certificates. */
export interface CertificateFigures {
  /** Milliseconds since the epoch; undefined while there is none. */
  readonly expiresAt: number | undefined;
  readonly failures: number;
}

/** The part of `/metrics` about the node's own certificates. */
export function certificateMetrics({ client, serving }: { client: CertificateFigures; serving: CertificateFigures }, now: number): string {
  const ttl = ({ expiresAt }: CertificateFigures): Point[] => [[{}, expiresAt === undefined ? Infinity : Math.trunc((expiresAt - now) / 1000)]];
  return render([
    { name: "kubelet_certificate_manager_client_ttl_seconds", help: "[ALPHA] Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The value is in seconds until certificate expiry (negative if already expired). If client certificate is invalid or unused, the value will be +INF.", type: "gauge", points: ttl(client) },
    { name: "kubelet_certificate_manager_client_expiration_renew_errors", help: "[ALPHA] Counter of certificate renewal errors.", type: "counter", points: [[{}, client.failures]] },
    { name: "kubelet_certificate_manager_server_ttl_seconds", help: "[ALPHA] Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. The value is in seconds until certificate expiry (negative if already expired). If serving certificate is invalid or unused, the value will be +INF.", type: "gauge", points: ttl(serving) },
    { name: "kubelet_server_expiration_renew_errors", help: "[ALPHA] Counter of certificate renewal errors.", type: "counter", points: [[{}, serving.failures]] },
  ]).replaceAll(" Infinity\n", " +Inf\n");
}

/** `/metrics/probes`. */
export function probeMetrics(counts: readonly ProbeCount[]): string {
  const points = counts.flatMap(({ type, namespace, pod, podUid, container, totals }) => (["success", "failure", "unknown"] as const).flatMap((result): Point[] => {
    const value = totals[result];
    return value === 0 ? [] : [[{ container, namespace, pod, pod_uid: podUid, probe_type: type, result: result === "failure" ? "failed" : result === "success" ? "successful" : "unknown" }, value]];
  }));
  return render([{ name: "prober_probe_total", help: "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.", type: "counter", points }]);
}

/** The part of `/metrics` about claims' volumes. */
export function volumeMetrics(claims: readonly ClaimFigures[]): string {
  const each = (figure: (claim: ClaimFigures) => number): Point[] => claims.map((one) => [{ namespace: one.namespace, persistentvolumeclaim: one.claim }, figure(one)]);
  return claims.length === 0 ? "" : render([
    { name: "kubelet_volume_stats_capacity_bytes", help: "[ALPHA] Capacity in bytes of the volume", type: "gauge", points: each(({ capacityBytes }) => capacityBytes) },
    { name: "kubelet_volume_stats_available_bytes", help: "[ALPHA] Number of available bytes in the volume", type: "gauge", points: each(({ availableBytes }) => availableBytes) },
    { name: "kubelet_volume_stats_used_bytes", help: "[ALPHA] Number of used bytes in the volume", type: "gauge", points: each(({ usedBytes }) => usedBytes) },
    { name: "kubelet_volume_stats_inodes", help: "[ALPHA] Maximum number of inodes in the volume", type: "gauge", points: each(({ inodes }) => inodes) },
    { name: "kubelet_volume_stats_inodes_free", help: "[ALPHA] Number of free inodes in the volume", type: "gauge", points: each(({ inodesFree }) => inodesFree) },
    { name: "kubelet_volume_stats_inodes_used", help: "[ALPHA] Number of used inodes in the volume", type: "gauge", points: each(({ inodes, inodesFree }) => inodes - inodesFree) },
  ]);
}

/** The part of `/metrics` about volumes that pods are to have and have. */
export function heldVolumeMetrics(counts: readonly VolumeCount[]): string {
  const points = counts.flatMap(({ plugin, wanted, mounted }): Point[] => [[{ plugin_name: plugin, state: "desired_state_of_world" }, wanted], [{ plugin_name: plugin, state: "actual_state_of_world" }, mounted]]);
  return points.length === 0 ? "" : render([{ name: "volume_manager_total_volumes", help: "[ALPHA] Number of volumes in Volume Manager", type: "gauge", points }]);
}

export interface KubeletFigures {
  readonly nodeName: string;
  readonly pods: readonly Pod[];
  /** How many containers are in each state. */
  readonly containerStates: Readonly<Record<string, number>>;
  readonly sandboxes: number;
  readonly cgroupVersion: 1 | 2;
  /** Every pod somebody works on. */
  readonly working: readonly { readonly phase: "syncing" | "terminating" | "terminated" | "gone"; readonly pod: Pod }[];
  readonly startedAtMs: number;
  /** When the runtime's pods were last listed as a whole. */
  readonly relistedAtMs: number;
}

/** `/metrics`: the kubelet about itself. */
export function kubeletMetrics(figures: KubeletFigures): string {
  const memory = process.memoryUsage();
  const cpu = process.cpuUsage();
  return render([
    { name: "kubelet_node_name", help: "[ALPHA] The node's name. The count is always 1.", type: "gauge", points: [[{ node: figures.nodeName }, 1]] },
    { name: "kubelet_running_pods", help: "[ALPHA] Number of pods that have a running pod sandbox", type: "gauge", points: [[{}, figures.sandboxes]] },
    { name: "kubelet_running_containers", help: "[ALPHA] Number of containers currently running", type: "gauge", points: Object.entries(figures.containerStates).map(([container_state, count]) => [{ container_state }, count]) },
    { name: "kubelet_desired_pods", help: "[ALPHA] The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.", type: "gauge", points: byOrigin(figures.pods) },
    { name: "kubelet_active_pods", help: "[ALPHA] The number of pods the kubelet considers active and which are being considered when admitting new pods. static is true if the pod is not from the apiserver.", type: "gauge", points: byOrigin(figures.pods.filter(({ status }) => !["Succeeded", "Failed"].includes(status?.phase ?? ""))) },
    { name: "kubelet_mirror_pods", help: "[ALPHA] The number of mirror pods the kubelet will try to create (one per admitted static pod)", type: "gauge", points: [[{}, figures.pods.filter(isStatic).length]] },
    { name: "kubelet_working_pods", help: "[ALPHA] Number of pods the kubelet is actually running, broken down by lifecycle phase, whether the pod is desired, orphaned, or runtime only (also orphaned), and whether the pod is static. An orphaned pod has been removed from local configuration or force deleted in the API and consumes resources that are not otherwise visible.", type: "gauge", points: workingPods(figures.working) },
    { name: "kubelet_managed_ephemeral_containers", help: "[ALPHA] Current number of ephemeral containers in pods managed by this kubelet.", type: "gauge", points: [[{}, figures.pods.reduce((sum, { spec }) => sum + (spec?.ephemeralContainers?.length ?? 0), 0)]] },
    { name: "kubelet_pod_pending_resizes", help: "[ALPHA] Number of pending resizes for pods.", type: "gauge", points: ["Deferred", "Infeasible"].map((reason) => [{ reason: reason.toLowerCase() }, withCondition(figures.pods, "PodResizePending", reason)]) },
    { name: "kubelet_pod_in_progress_resizes", help: "[ALPHA] Number of in-progress resizes for pods.", type: "gauge", points: [[{}, withCondition(figures.pods, "PodResizeInProgress")]] },
    { name: "kubelet_pleg_last_seen_seconds", help: "[ALPHA] Timestamp in seconds when PLEG was last seen active.", type: "gauge", points: [[{}, figures.relistedAtMs / 1000]] },
    { name: "kubelet_cgroup_version", help: "[ALPHA] cgroup version on the hosts.", type: "gauge", points: [[{}, figures.cgroupVersion]] },
    { name: "process_cpu_seconds_total", help: "Total user and system CPU time spent in seconds.", type: "counter", points: [[{}, (cpu.user + cpu.system) / 1e6]] },
    { name: "process_resident_memory_bytes", help: "Resident memory size in bytes.", type: "gauge", points: [[{}, memory.rss]] },
    { name: "process_start_time_seconds", help: "Start time of the process since unix epoch in seconds.", type: "gauge", points: [[{}, figures.startedAtMs / 1000]] },
  ]);
}

function withCondition(pods: readonly Pod[], type: string, reason?: string): number {
  return pods.filter(({ status }) => status?.conditions?.some((condition) => condition.type === type && (reason === undefined || condition.reason === reason))).length;
}

const byOrigin = (pods: readonly Pod[]): Point[] => [[{ static: "" }, pods.filter((pod) => !isStatic(pod)).length], [{ static: "true" }, pods.filter(isStatic).length]];

function workingPods(working: KubeletFigures["working"]): Point[] {
  return (["syncing", "terminating", "terminated"] as const).flatMap((phase) => [false, true].map((fromFile): Point => [
    { config: "desired", lifecycle: phase === "syncing" ? "sync" : phase, static: fromFile ? "true" : "" },
    working.filter((one) => one.phase === phase && isStatic(one.pod) === fromFile).length,
  ]));
}

const isStatic = (pod: Pod): boolean => pod.metadata.annotations?.["kubernetes.io/config.source"] === "file";
