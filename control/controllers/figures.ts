// The controllers' numbers under upstream's names: what each did, and what its caches hold when somebody asks.
// Names, helps and buckets: k8s.io/kubernetes/pkg/controller/*/metrics, k8s.io/endpointslice/metrics.
import { Families, powers, type FamilyOptions, type Reading } from "../../api/client/families.ts";

const EVICTION = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240];
const PER_SYNC = powers(2, 2, 15);
const QUICK = powers(0.001, 2, 15);
const ACTION = "The label 'action' should be either 'scale_down', 'scale_up', or 'none'. Also, the label 'error' should be either 'spec', 'internal', or 'none'.";

/** Counted while working. */
const COUNTED = {
  cronjob_controller_job_creation_skew_duration_seconds: { bounds: powers(1, 2, 10), help: "Time between when a cronjob is scheduled to be run, and when the corresponding job is created" },
  job_controller_job_sync_duration_seconds: { labels: ["action", "completion_mode", "result"], bounds: powers(0.004, 2, 15), help: "The time it took to sync a job" },
  job_controller_job_syncs_total: { labels: ["action", "completion_mode", "result"], help: "The number of job syncs" },
  job_controller_jobs_finished_total: { labels: ["completion_mode", "reason", "result"], help: "The number of finished jobs" },
  job_controller_jobs_by_external_controller_total: { labels: ["controller_name"], help: "The number of Jobs managed by an external controller" },
  job_controller_job_pods_finished_total: { labels: ["completion_mode", "result"], help: "The number of finished Pods that are fully tracked" },
  job_controller_job_pods_creation_total: { labels: ["reason", "status"], help: 'The number of Pods created by the Job controller labelled with a reason for the Pod creation. Possible values of the reason label are: new, recreate_terminating_or_failed, recreate_failed.' },
  job_controller_job_finished_indexes_total: { labels: ["backoffLimit", "status"], help: "The number of finished indexes. Possible values for the status label are: succeeded, failed. Possible values for the backoffLimit label are: perIndex and global" },
  job_controller_pod_failures_handled_by_failure_policy_total: { labels: ["action"], help: "The number of failed Pods handled by failure policy with respect to the failure policy action applied based on the matched rule." },
  job_controller_terminated_pods_tracking_finalizer_total: { labels: ["event"], help: "The number of terminated pods (phase=Failed|Succeeded) that have the finalizer batch.kubernetes.io/job-tracking. The event label can be add or delete." },
  ttl_after_finished_controller_job_deletion_duration_seconds: { bounds: powers(0.1, 2, 14), help: "The time it took to delete the job since it became eligible for deletion" },
  horizontal_pod_autoscaler_controller_reconciliations_total: { labels: ["action", "error"], help: `Number of reconciliations of HPA controller. ${ACTION}` },
  horizontal_pod_autoscaler_controller_reconciliation_duration_seconds: { labels: ["action", "error"], bounds: QUICK, help: `The time(seconds) that the HPA controller takes to reconcile once. ${ACTION}` },
  horizontal_pod_autoscaler_controller_metric_computation_total: { labels: ["action", "error", "metric_type"], help: `Number of metric computations. ${ACTION} The label 'metric_type' corresponds to HPA.spec.metrics[*].type` },
  horizontal_pod_autoscaler_controller_metric_computation_duration_seconds: { labels: ["action", "error", "metric_type"], bounds: QUICK, help: `The time(seconds) that the HPA controller takes to calculate one metric. ${ACTION} The label 'metric_type' corresponds to HPA.spec.metrics[*].type` },
  node_collector_evictions_total: { labels: ["zone"], help: "Number of Node evictions that happened since current instance of NodeController started." },
  node_collector_update_node_health_duration_seconds: { bounds: powers(0.001, 4, 8), help: "Duration in seconds for NodeController to update the health of a single node." },
  node_ipam_controller_cidrset_cidrs_allocations_total: { labels: ["clusterCIDR"], help: "Counter measuring total number of CIDR allocations." },
  node_ipam_controller_cidrset_cidrs_releases_total: { labels: ["clusterCIDR"], help: "Counter measuring total number of CIDR releases." },
  taint_eviction_controller_pod_deletions_total: { help: "Total number of Pods deleted by TaintEvictionController since its start." },
  taint_eviction_controller_pod_deletion_duration_seconds: { bounds: EVICTION, help: "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its deletion via TaintEvictionController." },
  device_taint_eviction_controller_pod_deletions_total: { help: "Total number of Pods deleted by DeviceTaintEvictionController since its start." },
  device_taint_eviction_controller_pod_deletion_duration_seconds: { bounds: EVICTION, help: "Latency, in seconds, between the time when a device taint effect has been activated and a Pod's deletion via DeviceTaintEvictionController." },
  pod_gc_collector_force_delete_pods_total: { labels: ["namespace", "reason"], help: "Number of pods that are being forcefully deleted since the Pod GC Controller started." },
  pod_gc_collector_force_delete_pod_errors_total: { labels: ["namespace", "reason"], help: "Number of errors encountered when forcefully deleting the pods since the Pod GC Controller started." },
  endpoint_slice_controller_changes: { labels: ["operation"], help: "Number of EndpointSlice changes" },
  endpoint_slice_controller_syncs: { labels: ["result"], help: "Number of EndpointSlice syncs" },
  endpoint_slice_controller_endpoints_added_per_sync: { bounds: PER_SYNC, help: "Number of endpoints added on each Service sync" },
  endpoint_slice_controller_endpoints_removed_per_sync: { bounds: PER_SYNC, help: "Number of endpoints removed on each Service sync" },
  endpoint_slice_mirroring_controller_changes: { labels: ["operation"], help: "Number of EndpointSlice changes" },
  ephemeral_volume_controller_create_total: { help: "Number of PersistentVolumeClaim creation requests" },
  ephemeral_volume_controller_create_failures_total: { help: "Number of PersistentVolumeClaim creation requests" },
  resourceclaim_controller_creates_total: { labels: ["admin_access", "status"], help: "Number of ResourceClaims creation requests, categorized by creation status and admin access" },
  retroactive_storageclass_total: { help: "Total number of retroactive StorageClass assignments to persistent volume claim" },
  retroactive_storageclass_errors_total: { help: "Total number of failed retroactive StorageClass assignments to persistent volume claim" },
} as const satisfies Readonly<Record<string, FamilyOptions>>;

/** Read off what a controller knows when somebody asks. */
const STATE = {
  horizontal_pod_autoscaler_controller_num_horizontal_pod_autoscalers: { type: "gauge", help: "Current number of controlled HPA objects." },
  horizontal_pod_autoscaler_controller_desired_replicas: { type: "gauge", labels: ["hpa_name", "namespace"], help: "Current desired replica count for HPA objects." },
  node_collector_zone_health: { type: "gauge", labels: ["zone"], help: "Gauge measuring percentage of healthy nodes per zone." },
  node_collector_zone_size: { type: "gauge", labels: ["zone"], help: "Gauge measuring number of registered Nodes per zones." },
  node_collector_unhealthy_nodes_in_zone: { type: "gauge", labels: ["zone"], help: "Gauge measuring number of not Ready Nodes per zones." },
  node_ipam_controller_cidrset_usage_cidrs: { type: "gauge", labels: ["clusterCIDR"], help: "Gauge measuring percentage of allocated CIDRs." },
  node_ipam_controller_cirdset_max_cidrs: { type: "gauge", labels: ["clusterCIDR"], help: "Maximum number of CIDRs that can be allocated." },
  endpoint_slice_controller_num_endpoint_slices: { type: "gauge", help: "Number of EndpointSlices" },
  endpoint_slice_controller_desired_endpoint_slices: { type: "gauge", help: "Number of EndpointSlices that would exist with perfect endpoint allocation" },
  endpoint_slice_controller_endpoints_desired: { type: "gauge", help: "Number of endpoints desired" },
  endpoint_slice_controller_services_count_by_traffic_distribution: { type: "gauge", labels: ["traffic_distribution"], help: "Number of Services using some specific trafficDistribution" },
  endpoint_slice_mirroring_controller_num_endpoint_slices: { type: "gauge", help: "Number of EndpointSlices" },
  pv_collector_bound_pv_count: { type: "gauge", labels: ["storage_class"], help: "Gauge measuring number of persistent volume currently bound" },
  pv_collector_unbound_pv_count: { type: "gauge", labels: ["storage_class"], help: "Gauge measuring number of persistent volume currently unbound" },
  pv_collector_bound_pvc_count: { type: "gauge", labels: ["namespace", "storage_class", "volume_attributes_class"], help: "Gauge measuring number of persistent volume claim currently bound" },
  pv_collector_unbound_pvc_count: { type: "gauge", labels: ["namespace", "storage_class", "volume_attributes_class"], help: "Gauge measuring number of persistent volume claim currently unbound" },
} as const satisfies Readonly<Record<string, FamilyOptions>>;

type Counted = keyof typeof COUNTED;
type StateName = keyof typeof STATE;

/** What the controllers of one term have done so far, and what they see. */
export class ControllerFigures {
  readonly #counted = new Families<Counted>("", COUNTED);
  readonly #readers = new Map<StateName, () => readonly Reading[]>();

  /** Counts one more; label values in the order of the family's labels. */
  count(name: Counted, ...values: string[]): void {
    this.#counted.add(name, values);
  }

  add(name: Counted, by: number, ...values: string[]): void {
    if (by > 0) this.#counted.add(name, values, by);
  }

  observe(name: Counted, value: number, ...values: string[]): void {
    this.#counted.observe(name, values, value);
  }

  /** Has a gauge read whenever somebody asks. */
  reads(name: StateName, read: () => readonly Reading[]): void {
    this.#readers.set(name, read);
  }

  /** Everything as Prometheus reads it. */
  text(): string {
    const read = new Families<StateName>("", STATE);
    for (const [name, readings] of this.#readers) for (const [values, value] of readings()) read.set(name, values, value);
    return [...this.#counted.lines(), ...read.lines(), ""].join("\n");
  }
}

/** How many of a list there are by each combination of labels. */
export function tally<T>(items: Iterable<T>, labelsOf: (item: T) => readonly string[] | undefined): Reading[] {
  const counts = new Map<string, [readonly string[], number]>();
  for (const item of items) {
    const labels = labelsOf(item);
    if (!labels) continue;
    const found = counts.get(labels.join("\0"));
    if (found) found[1]++;
    else counts.set(labels.join("\0"), [labels, 1]);
  }
  return [...counts.values()];
}
