// One scheduling decision: which nodes fit a pod and which of them is best. Synchronous and without side effects.
// Looks at as many nodes as the profile asks for, starting where the last decision stopped.
import type { Cluster } from "./cluster.ts";
import { Evaluations, type Evaluation } from "./evaluations.ts";
import { unresolvable, type EnabledPlugin, type PreparedFilter, type Reservation, type Status } from "./framework.ts";
import { NodeJudge } from "./memo.ts";
import type { NodeState } from "./nodestate.ts";
import type { PodInfo } from "./podinfo.ts";

/** Why no node took a pod. */
export interface Diagnosis {
  readonly nodeCount: number;
  /** Said before any node was looked at; then `byNode` is empty. */
  readonly preFilter: Status | undefined;
  readonly byNode: ReadonlyMap<NodeState, Status>;
  /** What stands for the nodes not in `byNode`. */
  readonly others: Status | undefined;
  /** Plugins that had a part in it. */
  readonly plugins: ReadonlySet<string>;
  /** The filters that were prepared, for what they can do about it. */
  readonly filters: readonly PreparedFilter[];
}

/** The node, and what else was taken for the pod; or why there is none. */
export type Decision = { readonly node: NodeState; readonly reservations: readonly Reservation[] } | { readonly failed: Diagnosis };

/** Pods that are to take a node soon, because room is being made for them there. */
export interface Nominations {
  /** Pods nominated to the node, other than this one, at least as important as it. */
  on(node: NodeState, pod: PodInfo): readonly PodInfo[];
}

/** What somebody outside said of a pod: the nodes it may go to, and what is added to their scores. */
export interface Outside {
  readonly only: ReadonlySet<string>;
  readonly scores: ReadonlyMap<string, number>;
}

export interface CycleOptions {
  readonly cluster: Cluster;
  readonly plugins: readonly EnabledPlugin[];
  /** 0: by the size of the cluster, as upstream. */
  readonly percentageOfNodesToScore: number;
  readonly nominations: Nominations;
  /** 0..1; which of equally good nodes is taken. */
  random(): number;
  /** Told how long one extension point took with all its plugins. */
  onPoint?(point: string, status: string, seconds: number): void;
}

const MIN_FEASIBLE = 100;
const MIN_PERCENTAGE = 5;

/** Decides for the pods of one profile. */
export class Cycle {
  readonly judge: NodeJudge;
  readonly #cluster: Cluster;
  readonly #cross: readonly EnabledPlugin[];
  readonly #crossScores: readonly EnabledPlugin[];
  readonly #evaluations = new Evaluations();
  #nextStart = 0;

  constructor(private readonly options: CycleOptions) {
    const { cluster, plugins } = options;
    const scoring = plugins.filter((p) => p.weight > 0);
    const nodeScores = scoring.flatMap(({ plugin, weight }) => (plugin.nodeScore ? [{ weight, score: plugin.nodeScore, asked: this.#evaluations.of("Score", plugin.name) }] : []));
    this.#cluster = cluster;
    this.#cross = plugins.filter((p) => p.filters && p.plugin.prepareFilter);
    this.#crossScores = scoring.filter((p) => p.plugin.prepareScore);
    this.judge = new NodeJudge(cluster, {
      filters: plugins.filter((p) => p.filters && p.plugin.filterNode).map(({ plugin }) => ({ plugin, asked: this.#evaluations.of("Filter", plugin.name) })),
      absolute: nodeScores.filter((s) => !s.score.normalize),
      relative: nodeScores.filter((s) => s.score.normalize),
    });
  }

  /** How often each plugin was asked. */
  get evaluations(): readonly Evaluation[] {
    return this.#evaluations.all;
  }

  /** Finds the best node for a pod, of those others outside agreed to where they were asked. */
  decide(pod: PodInfo, outside?: Outside): Decision {
    const timer = new PointTimer(this.options);
    const prepared = this.prepare(pod);
    timer.end("PreFilter", "reject" in prepared ? prepared.reject.code : "Success");
    if ("reject" in prepared) return { failed: rejection(this.#cluster.nodes.length, prepared.reject) };
    const nominated = this.#nominatedNode(pod, prepared.filters, outside);
    if (nominated) return { node: nominated, reservations: reserve(nominated, prepared.filters) };

    const { feasible, failed } = this.#filter(pod, outside ? { ...prepared, nodeNames: narrow(prepared.nodeNames, outside.only, "") } : prepared);
    timer.end("Filter", feasible.length === 0 ? "Unschedulable" : "Success");
    if (feasible.length === 0) return { failed: diagnose(this.#cluster.nodes.length, failed, prepared) };
    const node = feasible.length === 1 ? (feasible[0] as NodeState) : this.#best(pod, feasible, outside?.scores);
    if (feasible.length > 1) timer.end("Score", "Success");
    const reservations = reserve(node, prepared.filters);
    timer.end("Reserve", "Success");
    return { node, reservations };
  }

  /** The nodes that fit a pod, for others outside to choose among. */
  candidates(pod: PodInfo): { readonly feasible: readonly NodeState[]; readonly diagnosis: Diagnosis } | { readonly failed: Diagnosis } {
    const prepared = this.prepare(pod);
    if ("reject" in prepared) return { failed: rejection(this.#cluster.nodes.length, prepared.reject) };
    const { feasible, failed } = this.#filter(pod, prepared);
    const nominated = this.#nominatedNode(pod, prepared.filters);
    if (nominated && !feasible.includes(nominated)) feasible.push(nominated);
    const diagnosis = diagnose(this.#cluster.nodes.length, failed, prepared);
    return feasible.length === 0 ? { failed: diagnosis } : { feasible, diagnosis };
  }

  /** Lets the plugins that look across nodes get ready for this pod. */
  prepare(pod: PodInfo): Prepared | { reject: Status } {
    const filters: PreparedFilter[] = [];
    let nodeNames: Prepared["nodeNames"];
    for (const { plugin } of this.#cross) {
      const preparation = plugin.prepareFilter?.(pod, this.#cluster);
      this.#evaluations.of("PreFilter", plugin.name).count++;
      if (!preparation) continue;
      if ("reject" in preparation) return preparation;
      if ("nodeNames" in preparation) nodeNames = narrow(nodeNames, preparation.nodeNames, plugin.name);
      if ("filter" in preparation) filters.push(preparation);
    }
    return { filters, nodeNames };
  }

  /** Why the pod does not fit this (possibly what-if) node, by all filters. */
  check(pod: PodInfo, node: NodeState, filters: readonly PreparedFilter[]): Status | undefined {
    return this.judge.judge(pod, node) ?? crossStatus(filters, node);
  }

  #nominatedNode(pod: PodInfo, filters: readonly PreparedFilter[], outside?: Outside): NodeState | undefined {
    const name = pod.pod.status?.nominatedNodeName;
    const node = name && (outside?.only.has(name) ?? true) ? this.#cluster.node(name) : undefined;
    return node && !this.#status(pod, node, filters) ? node : undefined;
  }

  #filter(pod: PodInfo, { filters, nodeNames }: Prepared): { feasible: NodeState[]; failed: Map<NodeState, Status> } {
    const nodes = nodeNames ? [...nodeNames.names].map((name) => this.#cluster.node(name)).filter((n): n is NodeState => n !== undefined) : this.#cluster.nodes;
    const wanted = enoughOf(nodes.length, this.options.percentageOfNodesToScore);
    const feasible: NodeState[] = [];
    const failed = new Map<NodeState, Status>();
    const start = nodes.length === 0 ? 0 : this.#nextStart % nodes.length;
    let seen = 0;
    for (; seen < nodes.length && feasible.length < wanted; seen++) {
      const node = nodes[(start + seen) % nodes.length] as NodeState;
      const status = this.#status(pod, node, filters);
      if (status) failed.set(node, status);
      else feasible.push(node);
    }
    this.#nextStart = this.#cluster.nodes.length === 0 ? 0 : (this.#nextStart + seen) % this.#cluster.nodes.length;
    return { feasible, failed };
  }

  /** Fits only when it does with the pods nominated to the node there, and without them: either may come true. */
  #status(pod: PodInfo, node: NodeState, filters: readonly PreparedFilter[]): Status | undefined {
    const nominated = this.options.nominations.on(node, pod);
    if (nominated.length > 0) {
      const crowded = node.clone();
      for (const other of nominated) {
        crowded.add(other);
        for (const filter of filters) filter.change?.(other, node, 1);
      }
      const status = this.check(pod, crowded, filters);
      for (const other of nominated) for (const filter of filters) filter.change?.(other, node, -1);
      if (status) return status;
    }
    return this.judge.status(pod, node) ?? crossStatus(filters, node);
  }

  #best(pod: PodInfo, nodes: readonly NodeState[], extra?: Outside["scores"]): NodeState {
    const totals = this.judge.scores(pod, nodes);
    if (extra) nodes.forEach(({ name }, i) => (totals[i] = (totals[i] as number) + (extra.get(name) ?? 0)));
    for (const { plugin, weight } of this.#crossScores) {
      const prepared = plugin.prepareScore?.(pod, this.#cluster, nodes);
      this.#evaluations.of("PreScore", plugin.name).count++;
      if (!prepared) continue;
      this.#evaluations.of("Score", plugin.name).count += nodes.length;
      const scores = nodes.map((node) => prepared.score(node));
      prepared.normalize?.(scores);
      for (let i = 0; i < scores.length; i++) totals[i] = (totals[i] as number) + weight * (scores[i] as number);
    }
    return pick(nodes, totals, this.options.random);
  }
}

/** Tells how long each part took, one after the other. */
class PointTimer {
  #since: number;

  constructor(private readonly options: CycleOptions) {
    this.#since = options.onPoint ? performance.now() : 0;
  }

  end(point: string, status: string): void {
    if (!this.options.onPoint) return;
    const now = performance.now();
    this.options.onPoint(point, status, (now - this.#since) / 1000);
    this.#since = now;
  }
}

/** What preparing gave: filters to run, and perhaps the only nodes to look at, by whose word. */
export interface Prepared {
  readonly filters: readonly PreparedFilter[];
  readonly nodeNames: { readonly names: ReadonlySet<string>; readonly plugins: readonly string[] } | undefined;
}

/** How many feasible nodes are enough to choose from; upstream's rule. */
export function enoughOf(nodeCount: number, percentage: number): number {
  if (nodeCount < MIN_FEASIBLE) return nodeCount;
  const percent = percentage > 0 ? percentage : Math.max(MIN_PERCENTAGE, 50 - Math.trunc(nodeCount / 125));
  return Math.max(MIN_FEASIBLE, Math.trunc((nodeCount * percent) / 100));
}

function reserve(node: NodeState, filters: readonly PreparedFilter[]): readonly Reservation[] {
  if (!filters.some((filter) => filter.reserve)) return NOTHING;
  return filters.map((filter) => filter.reserve?.(node)).filter((r): r is Reservation => r !== undefined);
}

const NOTHING: readonly Reservation[] = [];

function crossStatus(filters: readonly PreparedFilter[], node: NodeState): Status | undefined {
  for (const prepared of filters) {
    const status = prepared.filter(node);
    if (status) return status;
  }
  return undefined;
}

function narrow(known: Prepared["nodeNames"], names: ReadonlySet<string>, plugin: string): NonNullable<Prepared["nodeNames"]> {
  if (!known) return { names, plugins: [plugin] };
  return { names: new Set([...known.names].filter((name) => names.has(name))), plugins: [...known.plugins, plugin] };
}

function rejection(nodeCount: number, status: Status): Diagnosis {
  return { nodeCount, preFilter: status, byNode: new Map(), others: status, plugins: new Set([status.plugin]), filters: [] };
}

function diagnose(nodeCount: number, byNode: ReadonlyMap<NodeState, Status>, { nodeNames, filters }: Prepared): Diagnosis {
  const plugins = new Set(nodeNames?.plugins);
  for (const status of byNode.values()) plugins.add(status.plugin);
  const others = nodeNames && unresolvable("", `node(s) didn't satisfy plugin(s) [${[...nodeNames.plugins].sort().join(" ")}]`);
  return { nodeCount, preFilter: undefined, byNode, others, plugins, filters };
}

/** The best of them; one of the best when several are equally good. */
function pick(nodes: readonly NodeState[], scores: readonly number[], random: () => number): NodeState {
  let best = 0;
  let equal = 1;
  for (let i = 1; i < nodes.length; i++) {
    const score = scores[i] as number;
    const highest = scores[best] as number;
    if (score < highest) continue;
    equal = score > highest ? 1 : equal + 1;
    if (equal === 1 || random() * equal < 1) best = i;
  }
  return nodes[best] as NodeState;
}
