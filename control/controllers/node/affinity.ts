// Whether a node is one a pod asks for: node selector and required node affinity. Pure.
import { SelectorError } from "../../../api/selectors.ts";
import type { Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec } from "../../../api/types.ts";

/** Whether the pod's `nodeSelector` and required affinity accept the node. */
export function acceptsNode(spec: PodSpec | undefined, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  const isSelected = Object.entries(spec?.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return isSelected && (!required || matchesNodeSelector(required, node));
}

/** Any term is enough; a term without any requirement matches nothing. */
export function matchesNodeSelector(selector: NodeSelector, node: Node): boolean {
  return selector.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  return matchExpressions.every((requirement) => holds(requirement, node.metadata.labels?.[requirement.key]))
    && matchFields.every((requirement) => holds(requirement, requirement.key === "metadata.name" ? node.metadata.name : undefined));
}

function holds({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return value !== undefined && Number(value) > Number(values[0]);
    case "Lt":
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      throw new SelectorError(`${JSON.stringify(operator)} is not a valid node selector operator`);
  }
}
