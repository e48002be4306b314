// The plugins that look at one node's own words: unschedulable, its name, its taints, its labels, its ports.
import type { NodeAffinity } from "../../../api/types.ts";
import { unresolvable, unschedulable, type ClusterEvent, type Plugin } from "../framework.ts";
import { compileNodeAffinity, type SelectableNode } from "../nodeaffinity.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";
import { tolerates, untoleratedTaint } from "../tolerations.ts";

const UNSCHEDULABLE_TAINT = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };
const UNSCHEDULABLE = unresolvable("NodeUnschedulable", "node(s) were unschedulable");
const OTHER_NAME = unresolvable("NodeName", "node(s) didn't match the requested node name");
const TAINTED = unresolvable("TaintToleration", "node(s) had untolerated taint(s)");
const NO_AFFINITY = unresolvable("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
const NOT_ENFORCED = unresolvable("NodeAffinity", "node(s) didn't match scheduler-enforced node affinity");
const NO_PORTS = unschedulable("NodePorts", "node(s) didn't have free ports for the requested pod ports");

/** Cordoned nodes take only pods that tolerate it. */
export const nodeUnschedulable: Plugin = {
  name: "NodeUnschedulable",
  filterNode: (pod, node) => (node.isUnschedulable && !tolerates(pod.shape.tolerations, UNSCHEDULABLE_TAINT) ? UNSCHEDULABLE : undefined),
  hint: {
    on: ["NodeAdd", "NodeUpdate", "PodUpdate"],
    helps: (event, pod) => {
      if (event.type === "NodeUpdate") return !event.node.isUnschedulable && event.old.isUnschedulable;
      return event.type === "NodeAdd" ? !event.node.isUnschedulable : isOwnUpdate(event, pod);
    },
  },
};

/** A pod that names its node goes nowhere else. */
export const nodeName: Plugin = {
  name: "NodeName",
  filterNode: (pod, node) => (pod.pod.spec?.nodeName && pod.pod.spec.nodeName !== node.name ? OTHER_NAME : undefined),
  hint: { on: ["NodeAdd"], helps: (event, pod) => event.type === "NodeAdd" && event.node.name === pod.pod.spec?.nodeName },
};

/** NoSchedule and NoExecute taints keep pods out, PreferNoSchedule ones count against a node. */
export const taintToleration: Plugin = {
  name: "TaintToleration",
  filterNode: (pod, node) => (node.hardTaints.length > 0 && untoleratedTaint(pod.shape.tolerations, node.hardTaints) ? TAINTED : undefined),
  nodeScore: {
    applies: (_pod, cluster) => cluster.softTaintedNodes > 0,
    score: (pod, node) => intolerableSoftTaints(pod, node),
    normalize: "reverse",
  },
  hint: {
    on: ["NodeAdd", "NodeUpdate", "PodUpdate"],
    helps: (event, pod) => {
      const isTolerated = (taints: NodeState["hardTaints"]): boolean => !untoleratedTaint(pod.shape.tolerations, taints);
      if (event.type === "NodeUpdate") return isTolerated(event.node.hardTaints) && !isTolerated(event.old.hardTaints);
      return event.type === "NodeAdd" ? isTolerated(event.node.hardTaints) : isOwnUpdate(event, pod);
    },
  },
};

/** nodeSelector and node affinity; `added` is what the configuration demands and wishes of every pod besides. */
export function nodeAffinity(added?: NodeAffinity): Plugin {
  const { required: enforced, preferred: wished } = compileNodeAffinity({ containers: [], ...(added && { affinity: { nodeAffinity: added } }) });
  return {
    name: "NodeAffinity",
    filterNode: ({ shape }, node) => {
      if (enforced && !enforced(node)) return NOT_ENFORCED;
      return shape.affinity.required && !shape.affinity.required(node) ? NO_AFFINITY : undefined;
    },
    prepareFilter: ({ shape }) => {
      const { nodeNames } = shape.affinity;
      if (!nodeNames) return undefined;
      return nodeNames.size > 0 ? { nodeNames } : { reject: unresolvable("NodeAffinity", "pod affinity terms conflict") };
    },
    nodeScore: {
      applies: ({ shape }) => shape.affinity.preferred.length + wished.length > 0,
      score: ({ shape }, node) => [...wished, ...shape.affinity.preferred].reduce((sum, term) => sum + (term.matches(node) ? term.weight : 0), 0),
      normalize: "highest",
    },
    hint: {
      on: ["NodeAdd", "NodeUpdate", "PodUpdate"],
      helps: (event, pod) => {
        const matches = (node: SelectableNode): boolean => (enforced?.(node) ?? true) && (pod.shape.affinity.required?.(node) ?? true);
        if (event.type === "NodeUpdate") return matches(event.node) && !matches(event.old);
        return event.type === "NodeAdd" ? matches(event.node) : isOwnUpdate(event, pod);
      },
    },
  };
}

/** Host ports are free. */
export const nodePorts: Plugin = {
  name: "NodePorts",
  filterNode: ({ shape }, node) => (shape.ports.length > 0 && node.hasPortConflict(shape.ports) ? NO_PORTS : undefined),
  hint: {
    on: ["NodeAdd", "AssignedPodDelete"],
    helps: (event, pod) => {
      if (event.type !== "AssignedPodDelete") return event.type === "NodeAdd";
      return event.pod.shape.ports.some((a) => pod.shape.ports.some((b) => a.port === b.port && a.protocol === b.protocol));
    },
  },
};

/** A change of the waiting pod itself is always worth another look. */
export function isOwnUpdate(event: ClusterEvent, pod: PodInfo): boolean {
  return event.type === "PodUpdate" && event.pod.uid === pod.uid;
}

function intolerableSoftTaints({ shape }: PodInfo, { softTaints }: NodeState): number {
  const tolerations = shape.tolerations.filter((t) => !t.effect || t.effect === "PreferNoSchedule");
  return softTaints.filter((taint) => !tolerates(tolerations, taint)).length;
}
