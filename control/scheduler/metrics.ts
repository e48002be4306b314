// The scheduler's numbers under upstream's names: attempts, how long they and whole pods took, what waits, what was preempted.
// Counted in plain fields on the way; turned into text only when asked.

type Result = "scheduled" | "unschedulable" | "error";

const HELP: Readonly<Record<string, string>> = {
  scheduler_schedule_attempts_total: "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
  scheduler_scheduling_attempt_duration_seconds: "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
  scheduler_pod_scheduling_sli_duration_seconds: "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
  scheduler_pod_scheduling_attempts: "Number of attempts to successfully schedule a pod.",
  scheduler_pending_pods: "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
  scheduler_preemption_attempts_total: "Total preemption attempts in the cluster till now",
  scheduler_preemption_victims: "Number of selected preemption victims",
};

/** Counts into fixed buckets. */
class Histogram {
  readonly #counts: number[];
  #count = 0;
  #sum = 0;

  constructor(private readonly bounds: readonly number[]) {
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    this.#count++;
    this.#sum += value;
    const bucket = this.bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  lines(name: string, labels = ""): string[] {
    let below = 0;
    const lines = this.bounds.map((bound, i) => `${name}_bucket{${labels}${labels && ","}le="${bound}"} ${(below += this.#counts[i] ?? 0)}`);
    const all = labels === "" ? "" : `{${labels}}`;
    return [...lines, `${name}_bucket{${labels}${labels && ","}le="+Inf"} ${this.#count}`, `${name}_sum${all} ${this.#sum}`, `${name}_count${all} ${this.#count}`];
  }
}

const powers = (start: number, factor: number, count: number): number[] => Array.from({ length: count }, (_unused, i) => start * factor ** i);

/** What one scheduler has done so far. */
export class SchedulerMetrics {
  readonly #attempts = new Map<string, { count: number; durations: Histogram }>();
  readonly #sli = new Histogram(powers(0.01, 2, 20));
  readonly #tries = new Histogram(powers(1, 2, 5));
  readonly #victims = new Histogram(powers(1, 2, 7));
  #preemptions = 0;

  attempted(profile: string, result: Result, seconds: number): void {
    const labels = `profile="${profile}",result="${result}"`;
    let series = this.#attempts.get(labels);
    if (!series) this.#attempts.set(labels, (series = { count: 0, durations: new Histogram(powers(0.001, 2, 20)) }));
    series.count++;
    series.durations.observe(seconds);
  }

  placed(attempts: number, seconds: number): void {
    this.#tries.observe(attempts);
    this.#sli.observe(seconds);
  }

  preempted(victims: number): void {
    this.#preemptions++;
    this.#victims.observe(victims);
  }

  text(pending: Readonly<Record<string, number>>): string {
    const series = [...this.#attempts];
    return [
      ...family("scheduler_schedule_attempts_total", "counter", series.map(([labels, { count }]) => `scheduler_schedule_attempts_total{${labels}} ${count}`)),
      ...family("scheduler_scheduling_attempt_duration_seconds", "histogram", series.flatMap(([labels, { durations }]) => durations.lines("scheduler_scheduling_attempt_duration_seconds", labels))),
      ...family("scheduler_pod_scheduling_sli_duration_seconds", "histogram", this.#sli.lines("scheduler_pod_scheduling_sli_duration_seconds")),
      ...family("scheduler_pod_scheduling_attempts", "histogram", this.#tries.lines("scheduler_pod_scheduling_attempts")),
      ...family("scheduler_pending_pods", "gauge", Object.entries(pending).map(([queue, count]) => `scheduler_pending_pods{queue="${queue}"} ${count}`)),
      ...family("scheduler_preemption_attempts_total", "counter", [`scheduler_preemption_attempts_total ${this.#preemptions}`]),
      ...family("scheduler_preemption_victims", "histogram", this.#victims.lines("scheduler_preemption_victims")),
      "",
    ].join("\n");
  }
}

function family(name: string, type: "counter" | "gauge" | "histogram", lines: readonly string[]): string[] {
  return [`# HELP ${name} ${HELP[name]}`, `# TYPE ${name} ${type}`, ...lines];
}
