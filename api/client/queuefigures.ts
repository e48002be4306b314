// What a work queue's metrics are made of: how long keys wait, how long they are worked on, and what is in work now.
// Names, helps and buckets are upstream's (k8s.io/component-base/metrics/prometheus/workqueue).

const BUCKETS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10];

/** Counts seconds in buckets; upstream's ten of work queues when left out. */
export class Histogram {
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(private readonly bounds: readonly number[] = BUCKETS) {
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    let at = 0;
    while (at < this.bounds.length && seconds > (this.bounds[at] as number)) at++;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sum += seconds;
  }

  /** The lines of one series, cumulative as Prometheus wants them. */
  lines(metric: string, labels: string): string[] {
    let total = 0;
    const [all, more] = labels === "" ? ["", ""] : [`{${labels}}`, `${labels},`];
    const buckets = [...this.bounds.map(String), "+Inf"].map((bound, index) => {
      total += this.#counts[index] as number;
      return `${metric}_bucket{${more}le="${bound}"} ${total}`;
    });
    return [...buckets, `${metric}_sum${all} ${this.#sum}`, `${metric}_count${all} ${total}`];
  }
}

/** The figures of one queue, as far as they are not the queue's own business. */
export interface QueueFigures {
  readonly length: number;
  readonly counts: { readonly adds: number; readonly retries: number };
  readonly waits: Histogram;
  readonly work: Histogram;
  /** Seconds of work on keys still in work: all together, and the longest. */
  readonly inWork: { readonly total: number; readonly longest: number };
}

const metric = (name: string, type: string, help: string): string[] => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];

/** All queues as Prometheus reads them. */
export function queueLines(queues: readonly (readonly [name: string, queue: QueueFigures])[]): string[] {
  const values = (name: string, of: (queue: QueueFigures) => number): string[] => queues.map(([label, queue]) => `${name}{name="${label}"} ${of(queue)}`);
  const series = (name: string, of: (queue: QueueFigures) => Histogram): string[] => queues.flatMap(([label, queue]) => of(queue).lines(name, `name="${label}"`));
  return [
    ...metric("workqueue_adds_total", "counter", "Total number of adds handled by workqueue"), ...values("workqueue_adds_total", ({ counts }) => counts.adds),
    ...metric("workqueue_depth", "gauge", "Current depth of workqueue"), ...values("workqueue_depth", ({ length }) => length),
    ...metric("workqueue_longest_running_processor_seconds", "gauge", "How many seconds has the longest running processor for workqueue been running."), ...values("workqueue_longest_running_processor_seconds", ({ inWork }) => inWork.longest),
    ...metric("workqueue_queue_duration_seconds", "histogram", "How long in seconds an item stays in workqueue before being requested."), ...series("workqueue_queue_duration_seconds", ({ waits }) => waits),
    ...metric("workqueue_retries_total", "counter", "Total number of retries handled by workqueue"), ...values("workqueue_retries_total", ({ counts }) => counts.retries),
    ...metric("workqueue_unfinished_work_seconds", "gauge", "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases."), ...values("workqueue_unfinished_work_seconds", ({ inWork }) => inWork.total),
    ...metric("workqueue_work_duration_seconds", "histogram", "How long in seconds processing an item from workqueue takes."), ...series("workqueue_work_duration_seconds", ({ work }) => work),
  ];
}
