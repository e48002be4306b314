// The figures behind metrics.k8s.io: nodes are asked when somebody asks here, and what they said is kept for a moment.
// Nobody asking means nothing is measured.
import { apiVersionOf, type KindInfo } from "../../../api/kinds.ts";
import { NODE_METRICS, POD_METRICS, type MetricsQuery, type MetricsSource, type NodeMetrics, type PodMetrics } from "../../../api/metrics.ts";
import { builtinKind } from "../../../api/registry.ts";
import { EVERYTHING } from "../../../api/selectors.ts";
import type { Node, Pod, Stored } from "../../../api/types.ts";
import { timestamp, type Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { cacheOf, type Engine } from "../engine.ts";
import { sampleOf, usageBetween, type NodeUsage, type Sample, type Summary } from "./samples.ts";

export interface MetricsDeps {
  readonly engine: () => Engine;
  readonly clock: Clock;
  /** The text of a page of a node's own API. */
  readonly page: (nodeName: string, path: string) => Promise<string>;
}

interface Known {
  last?: Sample;
  usage?: NodeUsage;
  asking?: Promise<NodeUsage | undefined>;
}

const NODE = builtinKind("", "v1", "Node");
const POD = builtinKind("", "v1", "Pod");
const PAGE = "/stats/summary?only_cpu_and_memory=true";
/** Figures younger than this are given out again. */
const FRESH_MS = 10_000;
/** A sample older than this says nothing about now; two new ones are taken, this far apart. */
const STALE_MS = 120_000;
const FIRST_WINDOW_MS = 2_000;
const ANSWER_MS = 5_000;
const NODES_AT_ONCE = 64;
const log = logger("metrics");

/** Measures nodes on demand. */
export class NodeFigures implements MetricsSource {
  readonly #known = new Map<string, Known>();

  constructor(private readonly deps: MetricsDeps) {}

  async nodes(query: MetricsQuery): Promise<NodeMetrics[]> {
    const nodes = this.#stored<Node>(NODE, query);
    const usages = await this.#usages(new Set(nodes.map(({ metadata }) => metadata.name)));
    return nodes.flatMap((node) => {
      const usage = usages.get(node.metadata.name);
      return usage?.node ? [{ ...this.#head(NODE_METRICS, node, usage), usage: usage.node }] : [];
    });
  }

  async pods(query: MetricsQuery): Promise<PodMetrics[]> {
    const pods = this.#stored<Pod>(POD, query).filter(({ spec, status }) => spec?.nodeName && status?.phase === "Running");
    const usages = await this.#usages(new Set(pods.map(({ spec }) => spec?.nodeName ?? "")));
    return pods.flatMap((pod) => {
      const usage = usages.get(pod.spec?.nodeName ?? "");
      const own = usage?.pods.get(`${pod.metadata.namespace}/${pod.metadata.name}`);
      return usage && own?.uid === pod.metadata.uid ? [{ ...this.#head(POD_METRICS, pod, usage), containers: own.containers }] : [];
    });
  }

  #stored<T extends Node | Pod>(kind: KindInfo, { matcher = EVERYTHING, namespace, name }: MetricsQuery): Stored<T>[] {
    const all = cacheOf(this.deps.engine(), kind).entries(namespace).map(({ object }) => object as unknown as Stored<T>);
    return all.filter(({ metadata }) => (name === undefined || metadata.name === name) && matcher.matches(metadata.labels));
  }

  #head(kind: KindInfo, { metadata: { name, namespace, labels } }: Stored<Node | Pod>, { timeMs, windowMs }: NodeUsage): Omit<NodeMetrics, "usage"> {
    const creationTimestamp = timestamp(this.deps.clock.now());
    return { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata: { name, ...(namespace && { namespace }), creationTimestamp, ...(labels && { labels }) }, timestamp: timestamp(timeMs), window: `${windowMs / 1000}s` };
  }

  async #usages(names: ReadonlySet<string>): Promise<Map<string, NodeUsage>> {
    this.#forgetOld();
    const found = new Map<string, NodeUsage>();
    const waiting = [...names];
    const work = async (): Promise<void> => {
      for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
        const usage = await this.#usage(name);
        if (usage) found.set(name, usage);
      }
    };
    await Promise.all(Array.from({ length: Math.min(NODES_AT_ONCE, waiting.length) }, work));
    return found;
  }

  /** Everybody who asks about a node at once gets the same answer. */
  #usage(name: string): Promise<NodeUsage | undefined> {
    let known = this.#known.get(name);
    if (!known) this.#known.set(name, (known = {}));
    const { usage } = known;
    if (usage && this.deps.clock.now() - usage.timeMs < FRESH_MS) return Promise.resolve(usage);
    known.asking ??= this.#measure(name, known).catch((error: unknown) => {
      log.debug({ err: error, node: name }, "a node was not measured");
      return undefined;
    }).finally(() => { delete known.asking; });
    return known.asking;
  }

  async #measure(name: string, known: Known): Promise<NodeUsage> {
    const { clock } = this.deps;
    if (!known.last || clock.now() - known.last.timeMs > STALE_MS) {
      known.last = await this.#sample(name);
      await clock.sleep(FIRST_WINDOW_MS);
    }
    const sample = await this.#sample(name);
    const usage = usageBetween(known.last, sample);
    known.last = sample;
    known.usage = usage;
    return usage;
  }

  async #sample(name: string): Promise<Sample> {
    const { clock, page } = this.deps;
    const late = new AbortController();
    const timeout = clock.sleep(ANSWER_MS, late.signal).then(() => undefined);
    try {
      const text = await Promise.race([page(name, PAGE), timeout]);
      if (text === undefined) throw new Error(`node ${name} did not answer within ${ANSWER_MS} ms`);
      return sampleOf(JSON.parse(text) as Summary, clock.now());
    } finally {
      late.abort();
    }
  }

  #forgetOld(): void {
    const now = this.deps.clock.now();
    for (const [name, { last, asking }] of this.#known) if (!asking && (!last || now - last.timeMs > STALE_MS)) this.#known.delete(name);
  }
}
