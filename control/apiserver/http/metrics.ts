// The API server's own numbers under upstream's names.
// Requests are counted in a plain map on the hot path and turned into text only when asked.
import { collectDefaultMetrics, Registry } from "prom-client";
import { buildInfoMetric } from "../../../api/buildinfo.ts";
import { HealthFigures } from "../../../api/healthfigures.ts";
import type { Caches } from "../cache/caches.ts";
import type { Target } from "./target.ts";

/** Upper bounds in seconds, as upstream's request histogram. */
const BUCKETS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const MAX_SERIES = 5000;

/** What a request does, as upstream counts them. */
export type RequestKind = "mutating" | "readOnly";

interface Series {
  count: number;
  seconds: number;
  readonly buckets: Uint32Array;
}

/** Collects request counts and durations. */
export class Metrics {
  readonly #requests = new Map<string, Series>();
  readonly #registry = new Registry();
  readonly #inflight = { mutating: 0, readOnly: 0 };
  #collectsProcess = false;
  readonly health = new HealthFigures();

  constructor(private readonly caches: () => Caches | undefined, private readonly more: () => readonly string[] = () => []) {}

  readonly contentType = "text/plain; version=0.0.4; charset=utf-8";

  /** Counts a request that has an end of its own among those under way. */
  begin(kind: RequestKind): void {
    this.#inflight[kind]++;
  }

  /** The opposite of `begin`. */
  finish(kind: RequestKind): void {
    this.#inflight[kind]--;
  }

  /** Counts a finished request. `labels` is the label text; the same text is the same series. */
  end(labels: string, seconds: number): void {
    let series = this.#requests.get(labels);
    if (!series) {
      if (this.#requests.size >= MAX_SERIES) return;
      this.#requests.set(labels, (series = { count: 0, seconds: 0, buckets: new Uint32Array(BUCKETS.length) }));
    }
    series.count++;
    series.seconds += seconds;
    const bucket = BUCKETS.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) series.buckets[bucket]!++;
  }

  /** All numbers in Prometheus' text form. */
  async text(): Promise<string> {
    if (!this.#collectsProcess) collectDefaultMetrics({ register: this.#registry });
    this.#collectsProcess = true;
    return [await this.#registry.metrics(), ...this.#requestLines(), ...this.#cacheLines(), buildInfoMetric().trimEnd(), ...this.more().map((text) => text.trimEnd()), ""].join("\n");
  }

  #requestLines(): string[] {
    const counts = ["# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.", "# TYPE apiserver_request_total counter"];
    const durations = ["# HELP apiserver_request_duration_seconds Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.", "# TYPE apiserver_request_duration_seconds histogram"];
    for (const [labels, { count, seconds, buckets }] of this.#requests) {
      counts.push(`apiserver_request_total{${labels}} ${count}`);
      let below = 0;
      BUCKETS.forEach((bound, index) => durations.push(`apiserver_request_duration_seconds_bucket{${labels},le="${bound}"} ${(below += buckets[index] ?? 0)}`));
      durations.push(`apiserver_request_duration_seconds_bucket{${labels},le="+Inf"} ${count}`, `apiserver_request_duration_seconds_sum{${labels}} ${seconds}`, `apiserver_request_duration_seconds_count{${labels}} ${count}`);
    }
    return [...counts, ...durations, "# HELP apiserver_current_inflight_requests Maximal number of currently used inflight request limit of this apiserver per request kind in last second.", "# TYPE apiserver_current_inflight_requests gauge", ...Object.entries(this.#inflight).map(([kind, count]) => `apiserver_current_inflight_requests{request_kind="${kind}"} ${count}`), ...this.#terminationLines()];
  }

  /** Requests that the server ended itself. */
  #terminationLines(): string[] {
    const ended = [...this.#requests].filter(([labels]) => /^code="(429|504)"/.test(labels));
    return ["# HELP apiserver_request_terminations_total Number of requests which apiserver terminated in self-defense.", "# TYPE apiserver_request_terminations_total counter", ...ended.map(([labels, { count }]) => `apiserver_request_terminations_total{${labels.replace('dry_run="",', "")}} ${count}`)];
  }

  #cacheLines(): string[] {
    const objects = ["# HELP apiserver_storage_objects Number of stored objects at the time of last check split by kind.", "# TYPE apiserver_storage_objects gauge"];
    const watchers = ["# HELP apiserver_longrunning_requests Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component.", "# TYPE apiserver_longrunning_requests gauge"];
    for (const cache of this.caches()?.all() ?? []) {
      const [group, plural] = cache.resource.split("/");
      const resource = group === "core" ? plural : `${plural}.${group}`;
      objects.push(`apiserver_storage_objects{resource="${resource}"} ${cache.size}`);
      watchers.push(`apiserver_longrunning_requests{verb="WATCH",resource="${resource}"} ${cache.watcherCount}`);
    }
    return [...objects, ...watchers];
  }
}

const UPPER: Readonly<Record<string, string>> = { create: "POST", update: "PUT", deletecollection: "DELETE" };

/** The labels of one request. */
export function metricLabels(target: Target, method: string, code: number): string {
  if (target.type === "path") return `code="${code}",component="apiserver",dry_run="",group="",resource="",scope="",subresource="",verb="${method}",version=""`;
  const { verb, group, version, plural, subresource, namespace, name } = target;
  const scope = name !== "" ? "resource" : namespace !== "" ? "namespace" : "cluster";
  return `code="${code}",component="apiserver",dry_run="",group="${group}",resource="${plural}",scope="${scope}",subresource="${subresource}",verb="${UPPER[verb] ?? verb.toUpperCase()}",version="${version}"`;
}
