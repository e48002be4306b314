// InterPodAffinity: pods near or far from other pods, judged by topology domain, in both directions:
// what the pod to place asks of placed ones, and what placed ones ask of it.
import type { Cluster } from "../cluster.ts";
import type { PodCounts } from "../counts.ts";
import { MAX_NODE_SCORE, unresolvable, unschedulable, type ClusterEvent, type Plugin, type PreparedFilter, type PreparedScore } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import { type AffinityTerm, type PodInfo } from "../podinfo.ts";
import type { Topologies, Topology } from "../topology.ts";
import { isOwnUpdate } from "./node.ts";

const NAME = "InterPodAffinity";
const NO_AFFINITY = unresolvable(NAME, "node(s) didn't match pod affinity rules");
const NO_ANTI_AFFINITY = unschedulable(NAME, "node(s) didn't match pod anti-affinity rules");
const EXISTING_ANTI_AFFINITY = unschedulable(NAME, "node(s) didn't satisfy existing pods anti-affinity rules");

export interface InterPodAffinityArgs {
  /** What a required affinity term of a placed pod that selects this one is worth, 0..100. */
  readonly hardPodAffinityWeight: number;
  readonly ignorePreferredTermsOfExistingPods: boolean;
}

export function interPodAffinity(args: InterPodAffinityArgs = { hardPodAffinityWeight: 1, ignorePreferredTermsOfExistingPods: false }): Plugin {
  return {
    name: NAME,
    prepareFilter: (pod, cluster) => prepareFilter(pod, cluster),
    prepareScore: (pod, cluster) => prepareScore(pod, cluster, args),
    hint: { on: ["NodeAdd", "NodeUpdate", "NamespaceUpdate", "AssignedPodAdd", "AssignedPodUpdate", "AssignedPodDelete", "PodUpdate"], helps },
  };
}

/** Sums per topology domain, over any number of topology keys. */
class DomainSums {
  readonly #byKey = new Map<string, KeySums>();

  constructor(private readonly topologies: Topologies) {}

  get isEmpty(): boolean {
    for (const sums of this.#byKey.values()) if (!sums.isEmpty) return false;
    return true;
  }

  /** Adds what is kept by domain anyway; it is read, never copied or changed. */
  addAll(topologyKey: string, counts: Pick<PodCounts, "totals">, factor: number): void {
    const sums = this.#of(topologyKey);
    sums.parts.push({ sums: counts.totals(sums.topology), factor });
  }

  add(topologyKey: string, nodeIndex: number, amount: number): void {
    this.#of(topologyKey).change(nodeIndex, amount);
  }

  at(topologyKey: string, node: NodeState): number {
    return this.#byKey.get(topologyKey)?.at(node) ?? 0;
  }

  has(topologyKey: string, node: NodeState): boolean {
    return (this.topologies.get(topologyKey).domainOf[node.index] ?? -1) >= 0;
  }

  /** Over all keys. */
  total(node: NodeState): number {
    let total = 0;
    for (const sums of this.#byKey.values()) total += sums.at(node);
    return total;
  }

  isPositiveAnywhere(node: NodeState): boolean {
    for (const sums of this.#byKey.values()) if (sums.at(node) > 0) return true;
    return false;
  }

  #of(topologyKey: string): KeySums {
    let sums = this.#byKey.get(topologyKey);
    if (!sums) this.#byKey.set(topologyKey, (sums = new KeySums(this.topologies.get(topologyKey))));
    return sums;
  }
}

/** The sums of one topology key: parts that are kept elsewhere, and changes for a what-if. */
class KeySums {
  readonly parts: { readonly sums: ReadonlyMap<number, number>; readonly factor: number }[] = [];
  readonly #changes = new Map<number, number>();

  constructor(readonly topology: Topology) {}

  get isEmpty(): boolean {
    if (this.#changes.size === 0) return this.parts.every(({ sums }) => sums.size === 0);
    const domains = new Set([...this.#changes.keys(), ...this.parts.flatMap(({ sums }) => [...sums.keys()])]);
    for (const domain of domains) if (this.#sum(domain) !== 0) return false;
    return true;
  }

  change(nodeIndex: number, amount: number): void {
    const domain = this.topology.domainOf[nodeIndex] ?? -1;
    if (domain >= 0) this.#changes.set(domain, (this.#changes.get(domain) ?? 0) + amount);
  }

  at(node: NodeState): number {
    const domain = this.topology.domainOf[node.index] ?? -1;
    return domain < 0 ? 0 : this.#sum(domain);
  }

  #sum(domain: number): number {
    let sum = this.#changes.get(domain) ?? 0;
    for (const { sums, factor } of this.parts) sum += (sums.get(domain) ?? 0) * factor;
    return sum;
  }
}

function prepareFilter(pod: PodInfo, cluster: Cluster): PreparedFilter | undefined {
  const affinityTerms = pod.terms?.requiredAffinity ?? [];
  const antiTerms = pod.terms?.requiredAntiAffinity ?? [];
  const existing = new DomainSums(cluster.topologies);
  for (const { term, counts } of cluster.placedAntiAffinity.for(pod.identity.namespace)) {
    if (cluster.termSelects(term, pod)) existing.addAll(term.topologyKey, counts, 1);
  }
  if (existing.isEmpty && affinityTerms.length === 0 && antiTerms.length === 0) return undefined;

  const affinity = new DomainSums(cluster.topologies);
  const attracted = affinityTerms.length > 0 ? selectedBy(affinityTerms, cluster) : undefined;
  for (const term of affinityTerms) if (attracted) affinity.addAll(term.topologyKey, attracted, 1);
  const anti = new DomainSums(cluster.topologies);
  const selectsItself = attracted?.selects(pod.identity) ?? false;
  const repelled = antiTerms.map((term) => ({ term, counts: selectedBy([term], cluster) }));
  for (const { term, counts } of repelled) anti.addAll(term.topologyKey, counts, 1);
  return {
    filter: (node) => {
      if (affinityTerms.length > 0 && !hasAffinity(affinityTerms, affinity, selectsItself, node)) return NO_AFFINITY;
      if (antiTerms.some((term) => anti.at(term.topologyKey, node) > 0)) return NO_ANTI_AFFINITY;
      return existing.isPositiveAnywhere(node) ? EXISTING_ANTI_AFFINITY : undefined;
    },
    change: (other, node, by) => {
      for (const term of other.terms?.requiredAntiAffinity ?? []) if (cluster.termSelects(term, pod)) existing.add(term.topologyKey, node.index, by);
      if (attracted?.selects(other.identity)) for (const term of affinityTerms) affinity.add(term.topologyKey, node.index, by);
      for (const { term, counts } of repelled) if (counts.selects(other.identity)) anti.add(term.topologyKey, node.index, by);
    },
  };
}

/** The first pod of a group that wants to be together has nobody to join: it may go anywhere its topology exists. */
function hasAffinity(terms: readonly AffinityTerm[], affinity: DomainSums, selectsItself: boolean, node: NodeState): boolean {
  if (!terms.every((term) => affinity.has(term.topologyKey, node))) return false;
  if (terms.every((term) => affinity.at(term.topologyKey, node) > 0)) return true;
  return affinity.isEmpty && selectsItself;
}

/** Placed pods that all the terms select. */
function selectedBy(terms: readonly AffinityTerm[], cluster: Cluster): PodCounts {
  return cluster.counters.get({ terms: terms.map((t) => ({ namespaces: cluster.namespacesOf(t), selector: t.selector })), skipTerminating: false });
}

function prepareScore(pod: PodInfo, cluster: Cluster, args: InterPodAffinityArgs): PreparedScore | undefined {
  const preferred = pod.terms?.preferred ?? [];
  if (args.ignorePreferredTermsOfExistingPods && preferred.length === 0) return undefined;
  const sums = new DomainSums(cluster.topologies);
  for (const term of preferred) sums.addAll(term.topologyKey, selectedBy([term], cluster), term.weight);
  const { namespace } = pod.identity;
  if (args.hardPodAffinityWeight > 0) {
    for (const { term, counts } of cluster.placedAffinity.for(namespace)) {
      if (cluster.termSelects(term, pod)) sums.addAll(term.topologyKey, counts, args.hardPodAffinityWeight);
    }
  }
  for (const { term, counts } of cluster.placedPreferences.for(namespace)) {
    if (cluster.termSelects(term, pod)) sums.addAll(term.topologyKey, counts, term.weight);
  }
  return sums.isEmpty ? undefined : { score: (node) => sums.total(node), normalize };
}

function normalize(scores: number[]): void {
  let lowest = Number.MAX_SAFE_INTEGER;
  let highest = -Number.MAX_SAFE_INTEGER;
  for (const score of scores) {
    lowest = Math.min(lowest, score);
    highest = Math.max(highest, score);
  }
  const range = highest - lowest;
  for (let i = 0; i < scores.length; i++) scores[i] = range > 0 ? Math.trunc(MAX_NODE_SCORE * (((scores[i] as number) - lowest) / range)) : 0;
}

function helps(event: ClusterEvent, pod: PodInfo, cluster: Cluster): boolean {
  switch (event.type) {
    case "NodeAdd":
    case "NamespaceUpdate":
      return true;
    case "NodeUpdate":
      return event.node.labels !== event.old.labels;
    case "AssignedPodAdd":
    case "AssignedPodUpdate":
      return isAttractedBy(pod, event.pod, cluster);
    case "AssignedPodDelete":
      return isRepelledBy(pod, event.pod, cluster);
    default:
      return isOwnUpdate(event, pod);
  }
}

function isAttractedBy(pod: PodInfo, other: PodInfo, cluster: Cluster): boolean {
  const terms = pod.terms?.requiredAffinity ?? [];
  return terms.length > 0 && selectedBy(terms, cluster).selects(other.identity);
}

/** A pod that left may have been in the way in either direction, or was the last of a group this pod would now begin. */
function isRepelledBy(pod: PodInfo, other: PodInfo, cluster: Cluster): boolean {
  if ((pod.terms?.requiredAntiAffinity ?? []).some((term) => selectedBy([term], cluster).selects(other.identity))) return true;
  if ((other.terms?.requiredAntiAffinity ?? []).some((term) => cluster.termSelects(term, pod))) return true;
  return isAttractedBy(pod, other, cluster);
}
