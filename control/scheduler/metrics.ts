// The scheduler's numbers under upstream's names: attempts and their parts, what waits and why, what was preempted, devices.
// Counted in plain numbers on the way; turned into text only when asked. Names, helps and buckets: pkg/scheduler/metrics.
import { Families, powers, type FamilyOptions, type Reading } from "../../api/client/families.ts";
import type { DeviceCounts } from "./dra/reserve.ts";

/** What is counted about devices. */
export function deviceCounts(metrics: SchedulerMetrics): DeviceCounts {
  return {
    claimMade: (status) => metrics.count("resourceclaim_creates_total", status),
    readied: (drivers, { profile, status, seconds }) => {
      for (const driver of drivers) {
        metrics.count("dra_bindingconditions_allocations_total", driver, profile, status);
        metrics.observe("dra_bindingconditions_wait_duration_seconds", seconds, driver, profile, status);
      }
    },
  };
}

const ATTEMPT = powers(0.001, 2, 15);
const POINT = powers(0.0001, 2, 12);

/** Counted while working. */
const COUNTED = {
  schedule_attempts_total: { labels: ["profile", "result"], help: "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem." },
  scheduling_attempt_duration_seconds: { labels: ["profile", "result"], bounds: ATTEMPT, help: "Scheduling attempt latency in seconds (scheduling algorithm + binding)" },
  scheduling_algorithm_duration_seconds: { bounds: ATTEMPT, help: "Scheduling algorithm latency in seconds" },
  pod_scheduling_sli_duration_seconds: { labels: ["attempts"], bounds: powers(0.01, 2, 20), help: "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts." },
  pod_scheduling_attempts: { bounds: powers(1, 2, 5), help: "Number of attempts to successfully schedule a pod." },
  framework_extension_point_duration_seconds: { labels: ["extension_point", "profile", "status"], bounds: POINT, help: "Latency for running all plugins of a specific extension point." },
  queue_incoming_pods_total: { labels: ["event", "queue"], help: "Number of pods added to scheduling queues by event and queue type." },
  preemption_attempts_total: { help: "Total preemption attempts in the cluster till now" },
  preemption_victims: { bounds: powers(1, 2, 7), help: "Number of selected preemption victims" },
  preemption_goroutines_execution_total: { labels: ["result"], help: "Number of preemption goroutines executed." },
  preemption_goroutines_duration_seconds: { labels: ["result"], bounds: powers(0.01, 2, 20), help: "Duration in seconds for running goroutines for the preemption." },
  resourceclaim_creates_total: { labels: ["status"], help: "Number of ResourceClaims creation requests within scheduler" },
  dra_bindingconditions_allocations_total: { labels: ["driver", "profile", "status"], help: "Number of allocations using devices with BindingConditions, counted per driver per scheduling attempt" },
  dra_bindingconditions_wait_duration_seconds: { labels: ["driver", "profile", "status"], bounds: powers(0.1, 2, 14), help: "Time in seconds spent waiting for BindingConditions to be satisfied during PreBind." },
} as const satisfies Readonly<Record<string, FamilyOptions>>;

/** Read off the scheduler's state when somebody asks. */
const STATE = {
  pending_pods: { type: "gauge", labels: ["queue"], help: "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated." },
  unschedulable_pods: { type: "gauge", labels: ["plugin", "profile"], help: "The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin." },
  cache_size: { type: "gauge", labels: ["type"], help: "Number of nodes, pods, and assumed (bound) pods in the scheduler cache." },
  goroutines: { type: "gauge", labels: ["operation"], help: "Number of running goroutines split by the work they do such as binding." },
  plugin_evaluation_total: { labels: ["extension_point", "plugin", "profile"], help: "Number of attempts to schedule pods by each plugin and the extension point (available only in PreFilter, Filter, PreScore, and Score)." },
} as const satisfies Readonly<Record<string, FamilyOptions>>;

type Counted = keyof typeof COUNTED;
export type StateName = keyof typeof STATE;
export type { Reading };

/** What one scheduler has done so far. */
export class SchedulerMetrics {
  readonly #counted = new Families<Counted>("scheduler_", COUNTED);

  /** Counts one more; label values in the order of the family's labels. */
  count(name: Counted, ...values: string[]): void {
    this.#counted.add(name, values);
  }

  observe(name: Counted, value: number, ...values: string[]): void {
    this.#counted.observe(name, values, value);
  }

  attempted(profile: string, result: "scheduled" | "unschedulable" | "error", seconds: number): void {
    this.count("schedule_attempts_total", profile, result);
    this.observe("scheduling_attempt_duration_seconds", seconds, profile, result);
  }

  placed(attempts: number, seconds: number): void {
    this.observe("pod_scheduling_attempts", attempts);
    // Upstream tells attempts apart up to fifteen.
    this.observe("pod_scheduling_sli_duration_seconds", seconds, attempts >= 15 ? "15+" : String(attempts));
  }

  /** Everything as Prometheus reads it. */
  text(state: Readonly<Record<StateName, readonly Reading[]>>): string {
    const read = new Families<StateName>("scheduler_", STATE);
    for (const [name, readings] of Object.entries(state)) for (const [values, value] of readings) read.add(name as StateName, values, value);
    return [...this.#counted.lines(), ...read.lines(), ""].join("\n");
  }
}
