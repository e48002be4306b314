// PodTopologySpread: pods of one kind spread over the domains of a topology, as a must or as a wish.
// Pods that say nothing are spread over hosts and zones by what owns and selects them, unless configured otherwise.
import { NOTHING, type LabelMatcher } from "../../../api/selectors.ts";
import type { TopologySpreadConstraint } from "../../../api/types.ts";
import type { Cluster } from "../cluster.ts";
import type { PodCounts } from "../counts.ts";
import { MAX_NODE_SCORE, unresolvable, unschedulable, type ClusterEvent, type Plugin, type PreparedFilter, type PreparedScore, type Status } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import { compileSelector, withLabels, type PodInfo } from "../podinfo.ts";
import { untoleratedTaint } from "../tolerations.ts";
import type { Topology } from "../topology.ts";
import { isOwnUpdate } from "./node.ts";

const NAME = "PodTopologySpread";
const HOSTNAME = "kubernetes.io/hostname";
const SKEWED = unschedulable(NAME, "node(s) didn't match pod topology spread constraints");
const NO_LABEL = unresolvable(NAME, "node(s) didn't match pod topology spread constraints (missing required label)");

export type DefaultConstraint = Pick<TopologySpreadConstraint, "maxSkew" | "topologyKey" | "whenUnsatisfiable">;

/** What upstream spreads by when neither the pod nor the configuration says anything. */
export const SYSTEM_DEFAULTS: readonly DefaultConstraint[] = [
  { topologyKey: HOSTNAME, whenUnsatisfiable: "ScheduleAnyway", maxSkew: 3 },
  { topologyKey: "topology.kubernetes.io/zone", whenUnsatisfiable: "ScheduleAnyway", maxSkew: 5 },
];

export interface SpreadArgs {
  readonly defaults: readonly DefaultConstraint[];
  /** System defaults also score nodes that lack one of the labels. */
  readonly isSystemDefault: boolean;
  /** What selects the pods a pod is spread with, by the Services and the owner it has. */
  defaultSelector(pod: PodInfo): LabelMatcher;
}

interface Constraint {
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly topology: Topology;
  readonly counts: PodCounts;
  readonly selectsItself: boolean;
  readonly honorsAffinity: boolean;
  readonly honorsTaints: boolean;
}

export function podTopologySpread(args: SpreadArgs): Plugin {
  return {
    name: NAME,
    prepareFilter: (pod, cluster) => {
      const constraints = constraintsOf({ pod, cluster, args, action: "DoNotSchedule" });
      return constraints.length === 0 ? undefined : prepareFilter(pod, cluster, constraints);
    },
    prepareScore: (pod, cluster, nodes) => {
      const constraints = constraintsOf({ pod, cluster, args, action: "ScheduleAnyway" });
      const needsAllLabels = !args.isSystemDefault || hasOwn(pod);
      return constraints.length === 0 ? undefined : prepareScore({ pod, cluster, nodes, constraints, needsAllLabels });
    },
    hint: { on: ["NodeAdd", "NodeDelete", "NodeUpdate", "AssignedPodAdd", "AssignedPodUpdate", "AssignedPodDelete", "PodUpdate"], helps },
  };
}

function hasOwn(pod: PodInfo): boolean {
  return (pod.pod.spec?.topologySpreadConstraints ?? []).length > 0;
}

function constraintsOf(o: { pod: PodInfo; cluster: Cluster; args: SpreadArgs; action: string }): Constraint[] {
  const { pod, cluster } = o;
  const own = pod.pod.spec?.topologySpreadConstraints ?? [];
  if (own.length > 0) {
    return own.filter((c) => c.whenUnsatisfiable === o.action)
      .map((c) => constraint(pod, cluster, c, withLabels(compileSelector(c.labelSelector), pod.identity.labels, c.matchLabelKeys ?? [])));
  }
  const defaults = o.args.defaults.filter((c) => c.whenUnsatisfiable === o.action);
  if (defaults.length === 0) return [];
  const selector = o.args.defaultSelector(pod);
  return selector.isEmpty ? [] : defaults.map((c) => constraint(pod, cluster, c, selector));
}

function constraint(pod: PodInfo, cluster: Cluster, c: TopologySpreadConstraint | DefaultConstraint, selector: LabelMatcher): Constraint {
  const full: Partial<TopologySpreadConstraint> = c;
  return {
    maxSkew: c.maxSkew,
    minDomains: full.minDomains ?? 1,
    topology: cluster.topologies.get(c.topologyKey),
    // As upstream, an empty selector counts nothing, though it selects the pod itself.
    counts: cluster.counters.get({ terms: [{ namespaces: [pod.identity.namespace], selector: selector.isEmpty ? NOTHING : selector }], skipTerminating: true }),
    selectsItself: selector.matches(pod.identity.labels),
    honorsAffinity: full.nodeAffinityPolicy !== "Ignore",
    honorsTaints: full.nodeTaintsPolicy === "Honor",
  };
}

/** Whether a node's pods count for the constraint at all. */
function isIncluded(c: Constraint, pod: PodInfo, node: NodeState): boolean {
  const { required } = pod.shape.affinity;
  if (c.honorsAffinity && required && !required(node)) return false;
  return !c.honorsTaints || node.hardTaints.length === 0 || !untoleratedTaint(pod.shape.tolerations, node.hardTaints);
}

const hasAllLabels = (constraints: readonly Constraint[], node: NodeState): boolean => constraints.every((c) => (c.topology.domainOf[node.index] ?? -1) >= 0);

function prepareFilter(pod: PodInfo, cluster: Cluster, constraints: readonly Constraint[]): PreparedFilter {
  const totals = totalsOf(pod, cluster, constraints);
  const self = constraints.map((c) => (c.selectsItself ? 1 : 0));
  let least = constraints.map((c, i) => leastOf(c, totals[i] as Map<number, number>));
  return {
    filter: (node) => skewOf({ constraints, totals, least, self }, node),
    change: (other, node, by) => {
      if (!hasAllLabels(constraints, node)) return;
      constraints.forEach((c, i) => {
        if (other.isTerminating || !c.counts.selects(other.identity) || !isIncluded(c, pod, node)) return;
        const domain = c.topology.domainOf[node.index] as number;
        const total = totals[i] as Map<number, number>;
        total.set(domain, (total.get(domain) ?? 0) + by);
      });
      least = constraints.map((c, i) => leastOf(c, totals[i] as Map<number, number>));
    },
  };
}

/** By domain, what counts on the nodes that count; domains where nothing does are in it too. */
function totalsOf(pod: PodInfo, cluster: Cluster, constraints: readonly Constraint[]): Map<number, number>[] {
  const countsEverywhere = constraints.every((c) => c.topology.nodeCount === cluster.nodes.length && includesAll(c, pod));
  if (countsEverywhere) return constraints.map(wholeTotals);
  const totals = constraints.map(() => new Map<number, number>());
  for (const node of cluster.nodes) {
    if (!hasAllLabels(constraints, node)) continue;
    constraints.forEach((c, i) => {
      if (!isIncluded(c, pod, node)) return;
      const domain = c.topology.domainOf[node.index] as number;
      const total = totals[i] as Map<number, number>;
      total.set(domain, (total.get(domain) ?? 0) + (c.counts.byNode.get(node.index) ?? 0));
    });
  }
  return totals;
}

/** As they are kept anyway, without a look at any node. */
function wholeTotals({ topology, counts }: Constraint): Map<number, number> {
  const kept = counts.totals(topology);
  const totals = new Map<number, number>();
  for (const domain of topology.domains) totals.set(domain, kept.get(domain) ?? 0);
  return totals;
}

/** Whether no node can be left out of the constraint. */
function includesAll({ honorsAffinity, honorsTaints }: Constraint, { shape }: PodInfo): boolean {
  return !honorsTaints && !(honorsAffinity && shape.affinity.required);
}

/** The fewest in any domain; too few domains count as one that is empty. */
function leastOf(c: Constraint, totals: ReadonlyMap<number, number>): number {
  if (totals.size < c.minDomains) return 0;
  let least = Number.MAX_SAFE_INTEGER;
  for (const total of totals.values()) if (total < least) least = total;
  return least;
}

interface FilterState {
  readonly constraints: readonly Constraint[];
  readonly totals: readonly ReadonlyMap<number, number>[];
  readonly least: readonly number[];
  readonly self: readonly number[];
}

function skewOf({ constraints, totals, least, self }: FilterState, node: NodeState): Status | undefined {
  for (let i = 0; i < constraints.length; i++) {
    const c = constraints[i] as Constraint;
    const domain = c.topology.domainOf[node.index] ?? -1;
    if (domain < 0) return NO_LABEL;
    const matching = totals[i]?.get(domain) ?? 0;
    if (matching + (self[i] as number) - (least[i] as number) > c.maxSkew) return SKEWED;
  }
  return undefined;
}

interface ScoreInput {
  readonly pod: PodInfo;
  readonly cluster: Cluster;
  readonly nodes: readonly NodeState[];
  readonly constraints: readonly Constraint[];
  readonly needsAllLabels: boolean;
}

function prepareScore(input: ScoreInput): PreparedScore {
  const { nodes, constraints, needsAllLabels } = input;
  const isIgnored = (node: NodeState): boolean => needsAllLabels && !hasAllLabels(constraints, node);
  const totals = constraints.map((c) => (c.topology.key === HOSTNAME ? undefined : domainTotals(c, input)));
  const scored = needsAllLabels ? nodes.filter((n) => !isIgnored(n)) : nodes;
  const weights = constraints.map((c) => Math.log(domainCount(c, scored) + 2));
  const ignored: boolean[] = [];
  return {
    score: (node) => {
      const skip = isIgnored(node);
      ignored.push(skip);
      if (skip) return 0;
      let score = 0;
      for (let i = 0; i < constraints.length; i++) {
        const c = constraints[i] as Constraint;
        const domain = c.topology.domainOf[node.index] ?? -1;
        if (domain < 0) continue;
        const total = totals[i];
        const count = total ? (total.get(domain) ?? 0) : (c.counts.byNode.get(node.index) ?? 0);
        score += count * (weights[i] as number) + (c.maxSkew - 1);
      }
      return Math.round(score);
    },
    normalize: (scores) => normalize(scores, ignored),
  };
}

/** Pods per domain over all nodes, not only those the pod fits. */
function domainTotals(c: Constraint, { pod, cluster, constraints, needsAllLabels }: ScoreInput): ReadonlyMap<number, number> {
  const countsEveryNode = !c.honorsTaints && !pod.shape.affinity.required && (!needsAllLabels || constraints.length === 1);
  if (countsEveryNode) return c.counts.totals(c.topology);
  const totals = new Map<number, number>();
  for (const [index, count] of c.counts.byNode) {
    const domain = c.topology.domainOf[index] ?? -1;
    const node = cluster.nodeAt(index);
    if (domain < 0 || !node?.node || !isIncluded(c, pod, node) || (needsAllLabels && !hasAllLabels(constraints, node))) continue;
    totals.set(domain, (totals.get(domain) ?? 0) + count);
  }
  return totals;
}

/** A domain weighs by how many there are, so that zones are not drowned by hosts; nodes without the label are one more. */
function domainCount(c: Constraint, nodes: readonly NodeState[]): number {
  if (c.topology.key === HOSTNAME) return nodes.length;
  const domains = new Set<number>();
  for (const node of nodes) domains.add(c.topology.domainOf[node.index] ?? -1);
  return domains.size;
}

function normalize(scores: number[], ignored: readonly boolean[]): void {
  let lowest = Number.MAX_SAFE_INTEGER;
  let highest = 0;
  for (let i = 0; i < scores.length; i++) {
    if (ignored[i]) continue;
    lowest = Math.min(lowest, scores[i] as number);
    highest = Math.max(highest, scores[i] as number);
  }
  for (let i = 0; i < scores.length; i++) {
    if (ignored[i]) scores[i] = 0;
    else scores[i] = highest === 0 ? MAX_NODE_SCORE : Math.trunc((MAX_NODE_SCORE * (highest + lowest - (scores[i] as number))) / highest);
  }
}

/** Domains come and go with nodes and labels; counts change with pods of the same namespace. */
function helps(event: ClusterEvent, pod: PodInfo): boolean {
  switch (event.type) {
    case "NodeAdd":
    case "NodeDelete":
      return true;
    case "NodeUpdate":
      return event.node.labels !== event.old.labels || event.node.hardTaints.length !== event.old.hardTaints.length;
    case "AssignedPodAdd":
    case "AssignedPodUpdate":
    case "AssignedPodDelete":
      return event.pod.identity.namespace === pod.identity.namespace;
    default:
      return isOwnUpdate(event, pod);
  }
}
