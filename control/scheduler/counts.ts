// How many pods a selector selects on each node, kept in step pod by pod instead of counted for every decision.
// The mirror image too: which affinity terms the pods already placed bring, and on which nodes.
import type { LabelMatcher } from "../../api/selectors.ts";
import { selectorKey, type AffinityTerm, type Identity, type PodInfo } from "./podinfo.ts";
import type { NodeState } from "./nodestate.ts";
import type { Topology } from "./topology.ts";

/** Pods of some namespaces that a selector selects. */
export interface PodTerm {
  /** undefined: every namespace. */
  readonly namespaces: readonly string[] | undefined;
  readonly selector: LabelMatcher;
}

/** Which pods are counted: those all the terms select. */
export interface PodQuery {
  readonly terms: readonly PodTerm[];
  /** Spreading leaves out pods that are going away; affinity counts them. */
  readonly skipTerminating: boolean;
}

/** The pods a query selects, by node index. */
export interface PodCounts {
  readonly query: PodQuery;
  readonly byNode: ReadonlyMap<number, number>;
  selects(identity: Identity): boolean;
  /** Sums by domain, over all nodes that have one. */
  totals(topology: Topology): ReadonlyMap<number, number>;
}

/** Numbers by node, and their sums by domain for the topologies somebody asks about, kept in step with each other. */
class NodeCounts {
  readonly byNode = new Map<number, number>();
  readonly #totals = new Map<Topology, { version: number; sums: Map<number, number> }>();

  add(index: number, by: number): void {
    bump(this.byNode, index, by);
    for (const [topology, { sums }] of this.#totals) {
      const domain = topology.domainOf[index] ?? -1;
      if (domain >= 0) bump(sums, domain, by);
    }
  }

  /** The same map until a node comes to another domain. */
  totals(topology: Topology): ReadonlyMap<number, number> {
    const known = this.#totals.get(topology);
    if (known?.version === topology.version) return known.sums;
    const sums = new Map<number, number>();
    for (const [index, count] of this.byNode) {
      const domain = topology.domainOf[index] ?? -1;
      if (domain >= 0) bump(sums, domain, count);
    }
    this.#totals.set(topology, { version: topology.version, sums });
    return sums;
  }
}

class Counter extends NodeCounts implements PodCounts {
  readonly #known = new Map<number, boolean>();
  lastUsed = 0;

  constructor(readonly query: PodQuery) {
    super();
  }

  selects(identity: Identity): boolean {
    let selected = this.#known.get(identity.id);
    if (selected === undefined) {
      if (this.#known.size > 10_000) this.#known.clear();
      selected = this.query.terms.every((t) => (t.namespaces === undefined || t.namespaces.includes(identity.namespace)) && t.selector.matches(identity.labels));
      this.#known.set(identity.id, selected);
    }
    return selected;
  }

  change(pod: PodInfo, node: NodeState, by: 1 | -1): void {
    if ((this.query.skipTerminating && pod.isTerminating) || !this.selects(pod.identity)) return;
    this.add(node.index, by);
  }
}

const MAX_COUNTERS = 2_000;

/** The counters in use; the ones unused the longest go first when there are too many. */
export class PodCounters {
  readonly #counters = new Map<string, Counter>();
  #uses = 0;

  constructor(private readonly nodes: () => Iterable<NodeState>) {}

  /** The counts of a query; the first time costs a look at every pod. */
  get(query: PodQuery): PodCounts {
    const key = `${query.skipTerminating ? "live" : "all"}|${query.terms.map((t) => `${t.namespaces?.join(",") ?? "*"}|${selectorKey(t.selector)}`).join("&")}`;
    let counter = this.#counters.get(key);
    if (!counter) {
      counter = new Counter(query);
      for (const node of this.nodes()) for (const pod of node.pods.values()) counter.change(pod, node, 1);
      if (this.#counters.size >= MAX_COUNTERS) this.#evict();
      this.#counters.set(key, counter);
    }
    counter.lastUsed = ++this.#uses;
    return counter;
  }

  change(pod: PodInfo, node: NodeState, by: 1 | -1): void {
    for (const counter of this.#counters.values()) counter.change(pod, node, by);
  }

  #evict(): void {
    const oldest = [...this.#counters].sort(([, a], [, b]) => a.lastUsed - b.lastUsed).slice(0, MAX_COUNTERS / 4);
    for (const [key] of oldest) this.#counters.delete(key);
  }
}

/** One term carried by pods already placed, and on how many of them on each node. */
export interface PlacedTerm {
  readonly term: AffinityTerm;
  readonly counts: Pick<PodCounts, "byNode" | "totals">;
}

/** Terms of one sort by the namespaces they can select; terms with a namespace selector are under "". */
export class PlacedTerms {
  readonly #byNamespace = new Map<string, Map<string, { term: AffinityTerm; counts: NodeCounts }>>();

  /** Terms that may select pods of this namespace. */
  *for(namespace: string): Iterable<PlacedTerm> {
    const own = this.#byNamespace.get(namespace);
    if (own) yield* own.values();
    const any = this.#byNamespace.get("");
    if (any) yield* any.values();
  }

  change(terms: readonly AffinityTerm[], node: NodeState, by: 1 | -1): void {
    for (const term of terms) {
      // A term with a selector may also list namespaces: it stands once, under "".
      for (const namespace of term.namespaceSelector ? [""] : term.namespaces) this.#changeOne(namespace, term, node.index, by);
    }
  }

  #changeOne(namespace: string, term: AffinityTerm, index: number, by: 1 | -1): void {
    let terms = this.#byNamespace.get(namespace);
    if (!terms) this.#byNamespace.set(namespace, (terms = new Map()));
    let placed = terms.get(term.key);
    if (!placed) terms.set(term.key, (placed = { term, counts: new NodeCounts() }));
    placed.counts.add(index, by);
    if (placed.counts.byNode.size > 0) return;
    terms.delete(term.key);
    if (terms.size === 0) this.#byNamespace.delete(namespace);
  }
}

function bump(counts: Map<number, number>, key: number, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
