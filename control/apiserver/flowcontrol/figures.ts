// Numbers of priority and fairness under upstream's names: what is counted while requests pass, and its text form.
// Counting is additions on plain numbers; everything else waits until somebody asks for `/metrics`.
import type { Span } from "./seating.ts";
import type { LevelUse } from "./use.ts";

const WAIT_BOUNDS = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];
const LENGTH_BOUNDS = [0, 10, 25, 50, 100, 250, 500, 1000];
const SEAT_BOUNDS = [1, 2, 4, 8, 16, 32, 64, 100];

/** Why a request was not served. */
export type RefusalReason = "concurrency-limit" | "queue-full" | "time-out" | "cancelled";

/** Observations by size. */
export class Histogram {
  count = 0;
  sum = 0;
  readonly #buckets: Uint32Array;

  constructor(private readonly bounds: readonly number[]) {
    this.#buckets = new Uint32Array(bounds.length);
  }

  observe(value: number): void {
    this.count++;
    this.sum += value;
    const { bounds } = this;
    for (let index = 0; index < bounds.length; index++) {
      if (value <= (bounds[index] as number)) return void this.#buckets[index]!++;
    }
  }

  /** Its lines; `zeros` observations of nothing are added, which nobody had to note one by one. */
  lines(name: string, labels: string, zeros = 0): string[] {
    const lines: string[] = [];
    let below = zeros;
    this.bounds.forEach((bound, index) => lines.push(`${name}_bucket{${labels},le="${bound}"} ${(below += this.#buckets[index] ?? 0)}`));
    const count = this.count + zeros;
    return [...lines, `${name}_bucket{${labels},le="+Inf"} ${count}`, `${name}_sum{${labels}} ${this.sum}`, `${name}_count{${labels}} ${count}`];
  }
}

/** Numbers of the requests of one FlowSchema at one priority level. */
export class FlowFigures {
  /** Started without having waited. */
  immediate = 0;
  executing = 0;
  seats = 0;
  queued = 0;
  queuedSeats = 0;
  noAccommodation = 0;
  readonly refused: Partial<Record<RefusalReason, number>> = {};
  readonly waited = new Histogram(WAIT_BOUNDS);
  readonly waitedInVain = new Histogram(WAIT_BOUNDS);
  readonly regular = new Histogram(WAIT_BOUNDS);
  readonly watches = new Histogram(WAIT_BOUNDS);
  readonly queueLength = new Histogram(LENGTH_BOUNDS);
  readonly estimated = new Histogram(SEAT_BOUNDS);

  constructor(readonly level: string, readonly schema: string) {}

  get labels(): string {
    return `flow_schema="${this.schema}",priority_level="${this.level}"`;
  }
}

/** Numbers of one priority level as a whole. */
export interface LevelFigures {
  readonly name: string;
  readonly nominal: number;
  readonly lowest: number;
  readonly highest: number;
  readonly current: number;
  readonly demand: { readonly peak: number; readonly average: number; readonly deviation: number; readonly smoothed: number };
  readonly target: number;
  readonly currentR: number;
  readonly dispatchR: number;
  readonly latestS: number;
  readonly nextS: Span;
  readonly nextDiscountedS: Span;
  readonly use: LevelUse;
}

/** Numbers of the server as a whole. */
export interface ServerFigures {
  readonly fairFraction: number;
  /** The lines of a histogram of reads and writes. */
  readonly readsAndWrites: (name: string) => string[];
}

/** Virtual time is kept in seats times milliseconds; upstream shows seat-seconds. */
const SEAT_MS = 1000;

/** All of it in Prometheus' text form, without the last line end. */
export function flowText(flows: Iterable<FlowFigures>, levels: readonly LevelFigures[], server: ServerFigures): string {
  const all = [...flows];
  const perFlow = (name: string, type: string, help: string, value: (flow: FlowFigures) => number): string[] => family(name, type, help, all.map((flow) => `apiserver_flowcontrol_${name}{${flow.labels}} ${value(flow)}`));
  const perLevel = (name: string, help: string, value: (level: LevelFigures) => number): string[] => family(name, "gauge", help, levels.map((level) => `apiserver_flowcontrol_${name}{priority_level="${level.name}"} ${value(level)}`));
  const spread = (name: string, help: string, lines: (flow: FlowFigures, full: string) => string[]): string[] => family(name, "histogram", help, all.flatMap((flow) => lines(flow, `apiserver_flowcontrol_${name}`)));
  const overTime = (name: string, help: string, lines: (level: LevelFigures, full: string) => string[]): string[] => family(name, "histogram", help, levels.flatMap((level) => lines(level, `apiserver_flowcontrol_${name}`)));
  const span = (name: string, help: string, value: (level: LevelFigures) => Span): string[] => family(name, "gauge", help, levels.flatMap((level) => Object.entries(value(level)).map(([bound, seatMs]) => `apiserver_flowcontrol_${name}{bound="${bound}",priority_level="${level.name}"} ${seatMs / SEAT_MS}`)));
  return [
    ...family("rejected_requests_total", "counter", "Number of requests rejected by API Priority and Fairness subsystem", all.flatMap(({ labels, refused }) => Object.entries(refused).map(([reason, count]) => `apiserver_flowcontrol_rejected_requests_total{${labels},reason="${reason}"} ${count}`))),
    ...perFlow("dispatched_requests_total", "counter", "Number of requests executed by API Priority and Fairness subsystem", ({ immediate, waited }) => immediate + waited.count),
    ...perFlow("current_inqueue_requests", "gauge", "Number of requests currently pending in queues of the API Priority and Fairness subsystem", ({ queued }) => queued),
    ...perFlow("current_inqueue_seats", "gauge", "Number of seats currently pending in queues of the API Priority and Fairness subsystem", ({ queuedSeats }) => queuedSeats),
    ...perFlow("current_executing_requests", "gauge", "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem", ({ executing }) => executing),
    ...perFlow("current_executing_seats", "gauge", "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem", ({ seats }) => seats),
    ...perFlow("request_dispatch_no_accommodation_total", "counter", "Number of times a dispatch attempt resulted in a non accommodation due to lack of available seats", ({ noAccommodation }) => noAccommodation),
    ...spread("request_queue_length_after_enqueue", "Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued", (flow, name) => flow.queueLength.lines(name, flow.labels)),
    ...spread("request_wait_duration_seconds", "Length of time a request spent waiting in its queue", (flow, name) => [...flow.waited.lines(name, `execute="true",${flow.labels}`, flow.immediate), ...(flow.waitedInVain.count > 0 ? flow.waitedInVain.lines(name, `execute="false",${flow.labels}`) : [])]),
    ...spread("request_execution_seconds", "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem", (flow, name) => [...flow.regular.lines(name, `${flow.labels},type="regular"`), ...flow.watches.lines(name, `${flow.labels},type="watch"`)]),
    ...spread("work_estimated_seats", "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and Fairness", (flow, name) => flow.estimated.lines(name, flow.labels)),
    ...perLevel("nominal_limit_seats", "Nominal number of execution seats configured for each priority level", ({ nominal }) => nominal),
    ...perLevel("lower_limit_seats", "Configured lower bound on number of execution seats available to each priority level", ({ lowest }) => lowest),
    ...perLevel("upper_limit_seats", "Configured upper bound on number of execution seats available to each priority level", ({ highest }) => highest),
    ...perLevel("current_limit_seats", "current derived number of execution seats available to each priority level", ({ current }) => current),
    ...perLevel("demand_seats_high_watermark", "High watermark, over last adjustment period, of demand_seats", ({ demand }) => demand.peak),
    ...perLevel("demand_seats_average", "Time-weighted average, over last adjustment period, of demand_seats", ({ demand }) => demand.average),
    ...perLevel("demand_seats_stdev", "Time-weighted standard deviation, over last adjustment period, of demand_seats", ({ demand }) => demand.deviation),
    ...perLevel("demand_seats_smoothed", "Smoothed seat demands", ({ demand }) => demand.smoothed),
    ...perLevel("target_seats", "Seat allocation targets", ({ target }) => target),
    ...perLevel("current_r", "R(time of last change)", ({ currentR }) => currentR / SEAT_MS),
    ...perLevel("dispatch_r", "R(time of last dispatch)", ({ dispatchR }) => dispatchR / SEAT_MS),
    ...perLevel("latest_s", "S(most recently dispatched request)", ({ latestS }) => latestS / SEAT_MS),
    ...span("next_s_bounds", "min and max, over queues, of S(oldest waiting request in queue)", ({ nextS }) => nextS),
    ...span("next_discounted_s_bounds", "min and max, over queues, of S(oldest waiting request in queue) - estimated work in progress", ({ nextDiscountedS }) => nextDiscountedS),
    ...overTime("demand_seats", "Observations, at the end of every nanosecond, of (the number of seats each priority level could use) / (nominal number of seats for that level)", ({ name, use }, full) => use.demand.lines(full, `priority_level="${name}"`)),
    ...overTime("priority_level_seat_utilization", "Observations, at the end of every nanosecond, of utilization of seats for any stage of execution (but only initial stage for WATCHes)", ({ name, use }, full) => use.seats.lines(full, `phase="executing",priority_level="${name}"`)),
    ...overTime("priority_level_request_utilization", "Observations, at the end of every nanosecond, of number of requests (as a fraction of the relevant limit) waiting or in any stage of execution (but only initial stage for WATCHes)", ({ name, use }, full) => [...use.executing.lines(full, `phase="executing",priority_level="${name}"`), ...use.waiting.lines(full, `phase="waiting",priority_level="${name}"`)]),
    ...family("read_vs_write_current_requests", "histogram", "Observations, at the end of every nanosecond, of the number of requests (as a fraction of the relevant limit) waiting or in regular stage of execution", server.readsAndWrites("apiserver_flowcontrol_read_vs_write_current_requests")),
    ...family("seat_fair_frac", "gauge", "Fair fraction of server's concurrency to allocate to each priority level that can use it", [`apiserver_flowcontrol_seat_fair_frac ${server.fairFraction}`]),
  ].join("\n");
}

function family(name: string, type: string, help: string, lines: readonly string[]): string[] {
  return [`# HELP apiserver_flowcontrol_${name} ${help}`, `# TYPE apiserver_flowcontrol_${name} ${type}`, ...lines];
}
