// What the kubelet counts and times as it works, under upstream's metric names.
// Rendering is here too, because only this knows what a histogram holds; figures that are read off elsewhere are `metrics.ts`'s.

type Labels = Readonly<Record<string, string>>;

interface Definition {
  readonly help: string;
  readonly type: "counter" | "histogram";
  readonly buckets?: readonly number[];
}

const DEFAULT_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const LONG_BUCKETS = [0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600];

/** Everything that is counted or timed; a figure nobody has touched is not shown. */
const DEFINITIONS = {
  kubelet_runtime_operations_total: { type: "counter", help: "[ALPHA] Cumulative number of runtime operations by operation type." },
  kubelet_runtime_operations_errors_total: { type: "counter", help: "[ALPHA] Cumulative number of runtime operation errors by operation type." },
  kubelet_runtime_operations_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.", buckets: [0.005, 0.0125, 0.03125, 0.078125, 0.1953125, 0.48828125, 1.220703125, 3.0517578125, 7.62939453125, 19.073486328125, 47.6837158203125, 119.20928955078125, 298.0232238769531, 745.0580596923828] },
  kubelet_run_podsandbox_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.", buckets: DEFAULT_BUCKETS },
  kubelet_run_podsandbox_errors_total: { type: "counter", help: "[ALPHA] Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler." },
  kubelet_started_pods_total: { type: "counter", help: "[ALPHA] Cumulative number of pods started" },
  kubelet_started_pods_errors_total: { type: "counter", help: "[ALPHA] Cumulative number of errors when starting pods" },
  kubelet_started_containers_total: { type: "counter", help: "[ALPHA] Cumulative number of containers started" },
  kubelet_started_containers_errors_total: { type: "counter", help: "[ALPHA] Cumulative number of errors when starting containers" },
  kubelet_pod_worker_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync", buckets: DEFAULT_BUCKETS },
  kubelet_pod_start_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run", buckets: LONG_BUCKETS },
  kubelet_pod_start_total_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds to start a pod since creation, including time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch", buckets: LONG_BUCKETS },
  kubelet_pod_start_sli_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds to start a pod, excluding time to pull images and run init containers, measured from pod creation timestamp to when all its containers are reported as started and observed via watch", buckets: LONG_BUCKETS },
  kubelet_containers_per_pod_count: { type: "histogram", help: "[ALPHA] The number of containers per pod.", buckets: [1, 2, 4, 8, 16] },
  storage_operation_duration_seconds: { type: "histogram", help: "[ALPHA] Storage operation duration", buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600] },
  kubelet_pod_status_sync_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds to sync a pod status update. Measures time from detection of a change to pod status until the API is successfully updated for that pod, even if multiple intevening changes to pod status occur.", buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 45, 60] },
  kubelet_pod_resize_duration_milliseconds: { type: "histogram", help: "[ALPHA] Duration in milliseconds to actuate a pod resize", buckets: [10, 50, 100, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000] },
  kubelet_pod_infeasible_resizes_total: { type: "counter", help: "[ALPHA] Number of infeasible resizes for pods." },
  kubelet_pleg_relist_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds for relisting pods in PLEG.", buckets: DEFAULT_BUCKETS },
  kubelet_pleg_relist_interval_seconds: { type: "histogram", help: "[ALPHA] Interval in seconds between relisting in PLEG.", buckets: DEFAULT_BUCKETS },
  kubelet_terminated_containers_total: { type: "counter", help: "[ALPHA] Cumulative number of container terminations." },
  kubelet_orphaned_runtime_pods_total: { type: "counter", help: "[ALPHA] Number of pods that have been detected in the container runtime without being already known to the pod worker. This typically indicates the kubelet was restarted while a pod was force deleted in the API or in the local configuration, which is unusual." },
  kubelet_started_user_namespaced_pods_total: { type: "counter", help: "[ALPHA] Cumulative number of pods with user namespaces started. This metric will only be collected on Linux." },
  kubelet_started_user_namespaced_pods_errors_total: { type: "counter", help: "[ALPHA] Cumulative number of errors when starting pods with user namespaces. This metric will only be collected on Linux." },
  kubelet_image_pull_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds to pull an image.", buckets: [1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600] },
  kubelet_image_garbage_collected_total: { type: "counter", help: "[ALPHA] Total number of images garbage collected by the kubelet, whether through disk usage or image age." },
  kubelet_evictions: { type: "counter", help: "[ALPHA] Cumulative number of pod evictions by eviction signal" },
  kubelet_admission_rejections_total: { type: "counter", help: "[ALPHA] Cumulative number pod admission rejections by the Kubelet." },
  kubelet_http_requests_total: { type: "counter", help: "[ALPHA] Number of the http requests received since the server started" },
  kubelet_http_requests_duration_seconds: { type: "histogram", help: "[ALPHA] Duration in seconds to serve http requests", buckets: DEFAULT_BUCKETS },
  kubelet_image_volume_requested_total: { type: "counter", help: "[BETA] Number of requested image volumes." },
  kubelet_image_volume_mounted_succeed_total: { type: "counter", help: "[BETA] Number of successful image volume mounts." },
  kubelet_image_volume_mounted_errors_total: { type: "counter", help: "[BETA] Number of failed image volume mounts." },
} as const satisfies Record<string, Definition>;

export type FigureName = keyof typeof DEFINITIONS;
type NameOf<T extends Definition["type"]> = { [K in FigureName]: (typeof DEFINITIONS)[K]["type"] extends T ? K : never }[FigureName];

interface Series {
  readonly labels: Labels;
  count: number;
  sum: number;
  /** Observations at or below each bucket's bound. */
  readonly buckets: number[];
}

export class Figures {
  readonly #series = new Map<FigureName, Map<string, Series>>();

  /** Adds one. Labels must come from a small set of values. */
  count(name: NameOf<"counter">, labels: Labels = {}): void {
    this.#of(name, labels).count++;
  }

  observe(name: NameOf<"histogram">, seconds: number, labels: Labels = {}): void {
    const series = this.#of(name, labels);
    series.count++;
    series.sum += seconds;
    DEFINITIONS[name].buckets.forEach((bound, i) => {
      if (seconds <= bound) series.buckets[i] = (series.buckets[i] ?? 0) + 1;
    });
  }

  /** Prometheus' text format. */
  text(): string {
    return [...this.#series].map(([name, all]) => {
      const { help, type } = DEFINITIONS[name];
      const lines = [...all.values()].flatMap((series) => (type === "counter" ? [`${name}${labelled(series.labels)} ${series.count}`] : histogramLines(name, series)));
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join("\n")}\n`;
    }).join("");
  }

  #of(name: FigureName, labels: Labels): Series {
    const all = this.#series.get(name) ?? new Map<string, Series>();
    this.#series.set(name, all);
    const key = Object.values(labels).join("\0");
    const series = all.get(key) ?? { labels, count: 0, sum: 0, buckets: [] };
    all.set(key, series);
    return series;
  }
}

function histogramLines(name: FigureName, { labels, count, sum, buckets }: Series): string[] {
  const bounds: readonly number[] = (DEFINITIONS[name] as Definition).buckets ?? [];
  return [
    ...bounds.map((bound, i) => `${name}_bucket${labelled({ ...labels, le: String(bound) })} ${buckets[i] ?? 0}`),
    `${name}_bucket${labelled({ ...labels, le: "+Inf" })} ${count}`,
    `${name}_sum${labelled(labels)} ${sum}`,
    `${name}_count${labelled(labels)} ${count}`,
  ];
}

function labelled(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
