// Taints and tolerations: what conditions make of a node, and how long a pod may stay. Pure.
// Rules: k8s.io/component-helpers/scheduling/corev1, k8s.io/kubernetes/pkg/controller/{nodelifecycle,tainteviction}.
import type { Node, Pod, Taint, Toleration } from "../../../api/types.ts";
import { timestamp } from "../../../lib/clock.ts";

export const NOT_READY = "node.kubernetes.io/not-ready";
export const UNREACHABLE = "node.kubernetes.io/unreachable";
export const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";
const UNSCHEDULABLE = "node.kubernetes.io/unschedulable";

/** Which taint a condition in which status makes. */
const CONDITION_TAINTS: readonly (readonly [condition: string, status: string, taint: string])[] = [
  ["Ready", "False", NOT_READY],
  ["Ready", "Unknown", UNREACHABLE],
  ["MemoryPressure", "True", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "True", "node.kubernetes.io/disk-pressure"],
  ["NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"],
  ["PIDPressure", "True", "node.kubernetes.io/pid-pressure"],
];
const MANAGED = new Set([UNSCHEDULABLE, ...CONDITION_TAINTS.map(([, , key]) => key)]);

/** `True`, `False`, `Unknown`, or undefined when the node never said. */
export function readiness(node: Node): string | undefined {
  return node.status?.conditions?.find(({ type }) => type === "Ready")?.status;
}

/** The NoExecute taint an unhealthy node is due; undefined for a healthy one. */
export function evictionTaintOf(node: Node): string | undefined {
  const status = readiness(node);
  return status === "False" ? NOT_READY : status === "Unknown" ? UNREACHABLE : undefined;
}

export function hasTaint(node: Node, key: string, effect: string): boolean {
  return node.spec?.taints?.some((taint) => taint.key === key && taint.effect === effect) ?? false;
}

/**
 * The taints a node should carry: its own, those its conditions ask for, and `evictBy` as NoExecute
 * (undefined: none; "keep": whatever is there). Undefined when they are right already.
 */
export function wantedTaints(node: Node, evictBy: string | "keep" | undefined, now: number): Taint[] | undefined {
  const current = node.spec?.taints ?? [];
  const wanted = new Set(conditionTaints(node).map((key) => `${key}:NoSchedule`));
  if (evictBy !== undefined && evictBy !== "keep") wanted.add(`${evictBy}:NoExecute`);
  const isManaged = ({ key, effect }: Taint): boolean =>
    (effect === "NoSchedule" && MANAGED.has(key)) || (effect === "NoExecute" && evictBy !== "keep" && (key === NOT_READY || key === UNREACHABLE));
  const kept = current.filter((taint) => !isManaged(taint) || wanted.delete(`${taint.key}:${taint.effect}`));
  if (kept.length === current.length && wanted.size === 0) return undefined;
  const added = [...wanted].map((id): Taint => {
    const [key, effect] = id.split(":") as [string, string];
    return { key, effect, timeAdded: timestamp(now) };
  });
  return [...kept, ...added];
}

export function noExecuteTaints(node: Node): Taint[] {
  return (node.spec?.taints ?? []).filter(({ effect }) => effect === "NoExecute");
}

/** How long a pod may stay on a node with these NoExecute taints: milliseconds, 0 for not at all, undefined for ever. */
export function toleratedFor(pod: Pod, taints: readonly Taint[]): number | undefined {
  let shortest: number | undefined;
  for (const taint of taints) {
    const toleration = pod.spec?.tolerations?.find((candidate) => tolerates(candidate, taint));
    if (!toleration) return 0;
    const { tolerationSeconds } = toleration;
    if (tolerationSeconds !== undefined && tolerationSeconds !== null) shortest = Math.min(shortest ?? Infinity, Math.max(0, tolerationSeconds * 1000));
  }
  return shortest;
}

export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect && toleration.effect !== taint.effect) return false;
  if (toleration.key && toleration.key !== taint.key) return false;
  if (toleration.operator === "Exists") return true;
  return Boolean(toleration.key) && (toleration.value ?? "") === (taint.value ?? "");
}

function conditionTaints(node: Node): string[] {
  const keys = CONDITION_TAINTS.filter(([type, status]) => node.status?.conditions?.some((condition) => condition.type === type && condition.status === status)).map(([, , key]) => key);
  return node.spec?.unschedulable ? [...keys, UNSCHEDULABLE] : keys;
}
