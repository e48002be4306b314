// How a process's calls to API servers fare: by answer, and how long they took. Watches are not counted, they have no end.
// Names, helps and buckets are upstream's (k8s.io/component-base/metrics/prometheus/restclient).
import { Histogram } from "./queuefigures.ts";

const SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
/** Answers and methods are few; more than this is a mistake somewhere. */
const MAX_SERIES = 1000;

const answers = new Map<string, number>();
const durations = new Map<string, Histogram>();

/** One call as it ended; `code` is undefined when no answer came. */
export function noteCall(call: { readonly host: string; readonly method: string; readonly code: number | undefined; readonly seconds: number }): void {
  const { host, method, code = "<error>", seconds } = call;
  const answer = `code="${code}",host="${host}",method="${method}"`;
  const duration = `host="${host}",verb="${method}"`;
  if (answers.size < MAX_SERIES || answers.has(answer)) answers.set(answer, (answers.get(answer) ?? 0) + 1);
  const histogram = durations.get(duration) ?? new Histogram(SECONDS);
  if (durations.size < MAX_SERIES) durations.set(duration, histogram);
  histogram.observe(seconds);
}

/** The calls of this process as Prometheus reads them. */
export function restFigures(): string {
  return [
    "# HELP rest_client_request_duration_seconds Request latency in seconds. Broken down by verb, and host.", "# TYPE rest_client_request_duration_seconds histogram",
    ...[...durations].flatMap(([labels, histogram]) => histogram.lines("rest_client_request_duration_seconds", labels)),
    "# HELP rest_client_requests_total Number of HTTP requests, partitioned by status code, method, and host.", "# TYPE rest_client_requests_total counter",
    ...[...answers].map(([labels, count]) => `rest_client_requests_total{${labels}} ${count}`),
    "",
  ].join("\n");
}
