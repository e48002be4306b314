// Compiled node selectors: the required and preferred node affinity of a pod as quick predicates over a node.
// Semantics: k8s.io/component-helpers/scheduling/corev1/nodeaffinity; terms are ORed, requirements ANDed.
import type { NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec } from "../../api/types.ts";

/** What a node selector can look at. */
export interface SelectableNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type NodePredicate = (node: SelectableNode) => boolean;

export interface WeightedTerm {
  readonly weight: number;
  readonly matches: NodePredicate;
}

export interface CompiledNodeAffinity {
  /** nodeSelector and required affinity together; undefined when the pod takes any node. */
  readonly required: NodePredicate | undefined;
  /** The only nodes that can match, when every required term names its nodes; undefined for all. */
  readonly nodeNames: ReadonlySet<string> | undefined;
  readonly preferred: readonly WeightedTerm[];
}

/** Compiles the node affinity of a pod; what cannot be parsed matches nothing, as upstream has it. */
export function compileNodeAffinity(spec: PodSpec): CompiledNodeAffinity {
  const affinity = spec.affinity?.nodeAffinity;
  const required = affinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const byLabels = Object.entries(spec.nodeSelector ?? {});
  const byTerms = required ? compileNodeSelector(required) : undefined;
  const preferred = (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
    .filter((p) => p.weight !== 0)
    .map((p) => ({ weight: p.weight, matches: compileTerm(p.preference) ?? (() => false) }));
  return { required: both(byLabels, byTerms), nodeNames: required ? namedNodes(required) : undefined, preferred };
}

/** A node selector as a predicate; an empty or absent term matches no node. */
export function compileNodeSelector(selector: NodeSelector): NodePredicate {
  const terms = selector.nodeSelectorTerms.map(compileTerm).filter((t): t is NodePredicate => t !== undefined);
  return (node) => terms.some((matches) => matches(node));
}

function both(labels: readonly (readonly [string, string])[], terms: NodePredicate | undefined): NodePredicate | undefined {
  if (labels.length === 0) return terms;
  const hasLabels: NodePredicate = (node) => labels.every(([key, value]) => node.labels[key] === value);
  return terms ? (node) => hasLabels(node) && terms(node) : hasLabels;
}

function compileTerm(term: NodeSelectorTerm): NodePredicate | undefined {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length === 0 && fields.length === 0) return undefined;
  return (node) =>
    expressions.every((r) => holds(r, node.labels[r.key])) && fields.every((r) => holds(r, r.key === "metadata.name" ? node.name : undefined));
}

function holds({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case "In": return value !== undefined && values.includes(value);
    case "NotIn": return value === undefined || !values.includes(value);
    case "Exists": return value !== undefined;
    case "DoesNotExist": return value === undefined;
    case "Gt": return isInteger(value) && isInteger(values[0]) && BigInt(value) > BigInt(values[0]);
    case "Lt": return isInteger(value) && isInteger(values[0]) && BigInt(value) < BigInt(values[0]);
    default: return false;
  }
}

function isInteger(text: string | undefined): text is string {
  return text !== undefined && /^[+-]?[0-9]+$/.test(text);
}

/** Terms are ORed, so the names add up; one term without a name opens it to all nodes. Within a term names intersect. */
function namedNodes(selector: NodeSelector): ReadonlySet<string> | undefined {
  const names = new Set<string>();
  for (const term of selector.nodeSelectorTerms) {
    let ofTerm: string[] | undefined;
    for (const { key, operator, values = [] } of term.matchFields ?? []) {
      if (key !== "metadata.name" || operator !== "In") continue;
      ofTerm = ofTerm ? ofTerm.filter((name) => values.includes(name)) : [...values];
    }
    if (!ofTerm) return undefined;
    for (const name of ofTerm) names.add(name);
  }
  return names;
}
