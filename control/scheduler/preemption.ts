// Preemption: where removing less important pods would let a pod in, which of them, and on which node it hurts least.
// Pure but for reading the cluster; the removing is done elsewhere. Rules: k8s.io/kubernetes/pkg/scheduler/framework/preemption.
import type { Pod, PodDisruptionBudget, Stored } from "../../api/types.ts";
import type { Cluster } from "./cluster.ts";
import type { Cycle, Diagnosis, Nominations } from "./cycle.ts";
import { unresolvable, type PreparedFilter, type Status } from "./framework.ts";
import { fitErrorMessage } from "./message.ts";
import type { NodeState } from "./nodestate.ts";
import { compileSelector, type PodInfo } from "./podinfo.ts";

const PLUGIN = "DefaultPreemption";
const NO_VICTIMS = unresolvable(PLUGIN, "No preemption victims found for incoming pod");
const NOT_HELPFUL = unresolvable(PLUGIN, "Preemption is not helpful for scheduling");

export interface PreemptionArgs {
  /** How many nodes are tried out: this share of them, but at least so many. */
  readonly minCandidateNodesPercentage: number;
  readonly minCandidateNodesAbsolute: number;
}

export const DEFAULT_PREEMPTION: PreemptionArgs = { minCandidateNodesPercentage: 10, minCandidateNodesAbsolute: 100 };

export interface PreemptionContext {
  readonly cluster: Cluster;
  readonly cycle: Cycle;
  readonly nominations: Nominations;
  readonly budgets: readonly Stored<PodDisruptionBudget>[];
  readonly args: PreemptionArgs;
  random(): number;
}

/** Why no room is made, and whether an earlier nomination is void. */
export interface NoPlan {
  readonly message: string;
  readonly clearsNomination: boolean;
}

/** Room to be made: these pods go from this node. */
export type PreemptionPlan = { readonly node: NodeState; readonly victims: readonly PodInfo[] } | NoPlan;

export interface Candidate {
  readonly node: NodeState;
  /** Most important first. */
  readonly victims: readonly PodInfo[];
  readonly violations: number;
}

/** What trying out gave: where room could be made, and why not elsewhere. */
export interface Trials {
  readonly candidates: readonly Candidate[];
  readonly statuses: ReadonlyMap<NodeState, Status>;
}

/** Tries out where room could be made; or says why none is to be made at all. */
export function tryPreemption(pod: PodInfo, diagnosis: Diagnosis, context: PreemptionContext): Trials | NoPlan {
  const ineligible = whyIneligible(pod, diagnosis, context.cluster);
  return ineligible ? { message: ineligible, clearsNomination: false } : tryNodes(pod, diagnosis, context);
}

/** The candidate where making room costs least. */
export function choosePlan(tried: Trials | NoPlan, diagnosis: Diagnosis): PreemptionPlan {
  if ("message" in tried) return tried;
  const { candidates, statuses } = tried;
  const best = cheapest(candidates);
  if (best) return { node: best.node, victims: best.victims };
  const message = fitErrorMessage({ nodeCount: diagnosis.nodeCount, preFilter: undefined, byNode: statuses, others: NOT_HELPFUL, plugins: new Set(), filters: [] });
  return { message, clearsNomination: true };
}

/** A pod that already made room waits for it, unless its node has become impossible. */
function whyIneligible(pod: PodInfo, diagnosis: Diagnosis, cluster: Cluster): string | undefined {
  if (pod.pod.spec?.preemptionPolicy === "Never") return "not eligible due to preemptionPolicy=Never.";
  const node = cluster.node(pod.pod.status?.nominatedNodeName ?? "");
  if (!node || (diagnosis.byNode.get(node) ?? diagnosis.others)?.code === "UnschedulableAndUnresolvable") return undefined;
  for (const other of node.pods.values()) {
    if (other.priority < pod.priority && isBeingPreempted(other.pod)) return "not eligible due to a terminating pod on the nominated node.";
  }
  return undefined;
}

function isBeingPreempted(pod: Pod): boolean {
  const target = pod.status?.conditions?.find((c) => c.type === "DisruptionTarget");
  return pod.metadata.deletionTimestamp !== undefined && target?.status === "True" && target.reason === "PreemptionByScheduler";
}

function tryNodes(pod: PodInfo, diagnosis: Diagnosis, context: PreemptionContext): Trials {
  const statuses = new Map<NodeState, Status>();
  const candidates: Candidate[] = [];
  const nodes = resolvable(diagnosis, context.cluster);
  const prepared = nodes.length > 0 ? context.cycle.prepare(pod) : undefined;
  if (!prepared || "reject" in prepared) return { candidates, statuses };
  const { minCandidateNodesAbsolute, minCandidateNodesPercentage } = context.args;
  const wanted = Math.min(nodes.length, Math.max(minCandidateNodesAbsolute, Math.trunc((nodes.length * minCandidateNodesPercentage) / 100)));
  const offset = Math.trunc(context.random() * nodes.length) % Math.max(1, nodes.length);
  const trial = { pod, filters: prepared.filters, context };
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[(offset + i) % nodes.length] as NodeState;
    const outcome = victimsOn(node, trial);
    if ("code" in outcome) statuses.set(node, outcome);
    else candidates.push(outcome);
    if (candidates.length >= wanted && candidates.some((c) => c.violations === 0)) break;
  }
  return { candidates, statuses };
}

/** Nodes that pods being there made impossible. */
function resolvable({ preFilter, byNode, others }: Diagnosis, cluster: Cluster): readonly NodeState[] {
  if (preFilter) return preFilter.code === "Unschedulable" ? cluster.nodes : [];
  return cluster.nodes.filter((node) => (byNode.get(node) ?? others)?.code === "Unschedulable");
}

interface Trial {
  readonly pod: PodInfo;
  readonly filters: readonly PreparedFilter[];
  readonly context: PreemptionContext;
}

/** The fewest, least important pods to remove from a node; a status when removing all of them would not do. */
function victimsOn(node: NodeState, { pod, filters, context }: Trial): Candidate | Status {
  const potential = [...node.pods.values()].filter((other) => other.priority < pod.priority);
  if (potential.length === 0) return NO_VICTIMS;
  const whatIf = new WhatIf(node, filters);
  try {
    for (const nominated of context.nominations.on(node, pod)) whatIf.add(nominated);
    for (const victim of potential) whatIf.remove(victim);
    const status = context.cycle.check(pod, whatIf.node, filters);
    if (status) return status;
    potential.sort(byImportance);
    const { violating, others } = byBudget(potential, context.budgets);
    const victims: PodInfo[] = [];
    let violations = 0;
    for (const victim of [...violating, ...others]) {
      // Given back one by one, the important first: whoever still fits stays.
      whatIf.add(victim);
      if (!context.cycle.check(pod, whatIf.node, filters)) continue;
      whatIf.remove(victim);
      victims.push(victim);
      if (violating.includes(victim)) violations++;
    }
    return { node, victims: victims.sort(byImportance), violations };
  } finally {
    whatIf.undo();
  }
}

/** A node and the cross-node filters as they would be after some changes; `undo` puts the filters back. */
class WhatIf {
  readonly node: NodeState;
  readonly #changes: { pod: PodInfo; by: 1 | -1 }[] = [];

  constructor(private readonly real: NodeState, private readonly filters: readonly PreparedFilter[]) {
    this.node = real.clone();
  }

  add(pod: PodInfo): void {
    this.node.add(pod);
    this.#change(pod, 1);
  }

  remove(pod: PodInfo): void {
    this.node.remove(pod);
    this.#change(pod, -1);
  }

  undo(): void {
    for (const { pod, by } of this.#changes.splice(0)) for (const filter of this.filters) filter.change?.(pod, this.real, by === 1 ? -1 : 1);
  }

  #change(pod: PodInfo, by: 1 | -1): void {
    this.#changes.push({ pod, by });
    for (const filter of this.filters) filter.change?.(pod, this.real, by);
  }
}

/** Higher priority first, then whoever runs longer. */
function byImportance(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startOf(a) - startOf(b);
}

/** A pod that has not started is the newest of all. */
function startOf({ pod }: PodInfo): number {
  return pod.status?.startTime === undefined ? Number.MAX_SAFE_INTEGER : Date.parse(pod.status.startTime);
}

/** Splits pods into those whose going a disruption budget does not allow, and the rest; order is kept. */
function byBudget(pods: readonly PodInfo[], budgets: readonly Stored<PodDisruptionBudget>[]): { violating: PodInfo[]; others: PodInfo[] } {
  const allowed = budgets.map((budget) => ({ budget, selector: compileSelector(budget.spec?.selector), left: budget.status?.disruptionsAllowed ?? 0 }));
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const pod of pods) {
    const { namespace, labels } = pod.identity;
    let violates = false;
    for (const entry of allowed) {
      if (entry.budget.metadata.namespace !== namespace || Object.keys(labels).length === 0) continue;
      // Upstream: a budget that selects everything or nothing protects nothing here.
      if (entry.selector.isEmpty || !entry.selector.matches(labels)) continue;
      if (entry.budget.status?.disruptedPods?.[pod.pod.metadata.name] !== undefined) continue;
      if (--entry.left < 0) violates = true;
    }
    (violates ? violating : others).push(pod);
  }
  return { violating, others };
}

/** Compared in this order: budgets violated, the most important victim, the sum of priorities, how many, how lately they started. */
function cheapest(candidates: readonly Candidate[]): Candidate | undefined {
  const measures: ((c: Candidate) => number)[] = [
    (c) => c.violations,
    (c) => c.victims[0]?.priority ?? 0,
    (c) => c.victims.reduce((sum, v) => sum + v.priority + 2 ** 31, 0),
    (c) => c.victims.length,
    (c) => -earliestStart(c.victims),
  ];
  let left = candidates.filter((c) => c.victims.length > 0);
  for (const measure of measures) {
    const costs = left.map(measure);
    const least = Math.min(...costs);
    left = left.filter((_candidate, i) => costs[i] === least);
    if (left.length <= 1) break;
  }
  return left[0];
}

/** When the first of the most important victims started. */
function earliestStart(victims: readonly PodInfo[]): number {
  const highest = victims[0]?.priority;
  return Math.min(...victims.filter((v) => v.priority === highest).map(startOf));
}
