// Which nodes a DaemonSet wants, and what its pods get beyond their template. Pure.
// Rules: k8s.io/kubernetes/pkg/controller/daemon.
import type { Affinity, DaemonSet, Node, Pod, PodTemplateSpec, Toleration } from "../../../api/types.ts";
import { POD_REVISION } from "../history.ts";
import { acceptsNode } from "../node/affinity.ts";
import { tolerates } from "../node/taints.ts";

/** `runs`: a pod belongs there; `stays`: one that is there may stay. */
export interface Verdict {
  readonly runs: boolean;
  readonly stays: boolean;
}

const GENERATION_LABEL = "pod-template-generation";
const GENERATION_ANNOTATION = "deprecated.daemonset.template.generation";

/** What nodes going bad must not do to a daemon. */
const TOLERATIONS: readonly Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];
const HOST_NETWORK_TOLERATION: Toleration = { key: "node.kubernetes.io/network-unavailable", operator: "Exists", effect: "NoSchedule" };

export function verdictOn(set: DaemonSet, node: Node): Verdict {
  const spec = set.spec?.template?.spec;
  if (spec?.nodeName && spec.nodeName !== node.metadata.name) return { runs: false, stays: false };
  if (!acceptsNode(spec, node)) return { runs: false, stays: false };
  const tolerations = daemonTolerations(set);
  const untolerated = (node.spec?.taints ?? []).filter((taint) => !tolerations.some((toleration) => tolerates(toleration, taint)));
  return { runs: !untolerated.some(({ effect }) => effect === "NoSchedule" || effect === "NoExecute"), stays: !untolerated.some(({ effect }) => effect === "NoExecute") };
}

/** The template of the pod for one node: bound by affinity, so that the scheduler still has its say on room. */
export function templateFor(set: DaemonSet, nodeName: string, hash: string): PodTemplateSpec {
  const template = set.spec?.template as PodTemplateSpec;
  const generation = set.metadata.annotations?.[GENERATION_ANNOTATION];
  return {
    ...template,
    metadata: { ...template.metadata, labels: { ...template.metadata?.labels, ...(generation && { [GENERATION_LABEL]: generation }), [POD_REVISION]: hash } },
    spec: { ...template.spec, tolerations: daemonTolerations(set), affinity: boundTo(template.spec?.affinity, nodeName) } as PodTemplateSpec["spec"],
  };
}

/** The node a daemon pod is on or is meant for; undefined when it says neither. */
export function targetNode(pod: Pod): string | undefined {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const { matchFields } of terms) {
    const field = matchFields?.find(({ key, operator }) => key === "metadata.name" && operator === "In");
    if (field?.values?.length === 1) return field.values[0];
  }
  return undefined;
}

/** Whether the pod is of the present template. */
export function isUpdated(set: DaemonSet, pod: Pod, hash: string): boolean {
  const generation = set.metadata.annotations?.[GENERATION_ANNOTATION];
  const { labels } = pod.metadata;
  return labels?.[POD_REVISION] === hash || (generation !== undefined && labels?.[GENERATION_LABEL] === generation);
}

function daemonTolerations(set: DaemonSet): Toleration[] {
  const spec = set.spec?.template?.spec;
  const own = spec?.tolerations ?? [];
  const wanted = spec?.hostNetwork ? [...TOLERATIONS, HOST_NETWORK_TOLERATION] : TOLERATIONS;
  return [...own.filter((toleration) => !wanted.some((other) => isSameKind(toleration, other))), ...wanted];
}

/** Whether two tolerations differ in their seconds at most. */
function isSameKind(a: Toleration, b: Toleration): boolean {
  return a.key === b.key && a.operator === b.operator && a.effect === b.effect && !a.value;
}

function boundTo(affinity: Affinity | undefined, nodeName: string): Affinity {
  const nodeSelectorTerms = [{ matchFields: [{ key: "metadata.name", operator: "In", values: [nodeName] }] }];
  return { ...affinity, nodeAffinity: { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } } };
}
