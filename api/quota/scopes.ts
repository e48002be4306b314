// Which objects a resource quota is about: the scopes of its spec, as predicates.
import { qosClass } from "../qos.ts";
import type { AnyObject, PersistentVolumeClaim, Pod, PodAffinityTerm, PodSpec, ResourceQuota } from "../types.ts";
import type { ResourceType } from "./usage.ts";

type Selector = NonNullable<NonNullable<NonNullable<ResourceQuota["spec"]>["scopeSelector"]>["matchExpressions"]>[number];

/** Whether a quota counts this object, going by its scopes alone. */
export function isInScope(spec: ResourceQuota["spec"], type: ResourceType, object: AnyObject): boolean {
  const scopes = (spec?.scopes ?? []).map((scopeName): Selector => ({ scopeName, operator: "Exists" }));
  return [...scopes, ...(spec?.scopeSelector?.matchExpressions ?? [])].every((selector) => matches(selector, type, object));
}

/** Whether a pod has a deadline, which is what the scopes call terminating. */
export function hasDeadline({ spec }: Pod): boolean {
  return (spec?.activeDeadlineSeconds ?? -1) >= 0;
}

function matches(selector: Selector, { group, plural }: ResourceType, object: AnyObject): boolean {
  if (group !== "") return false;
  if (plural === "pods") return podMatches(selector, object as Pod);
  return plural === "persistentvolumeclaims" && selector.scopeName === "VolumeAttributesClass" && claimMatches(selector, object as PersistentVolumeClaim);
}

function podMatches(selector: Selector, pod: Pod): boolean {
  const spec = pod.spec as PodSpec;
  switch (selector.scopeName) {
    case "Terminating": return hasDeadline(pod);
    case "NotTerminating": return !hasDeadline(pod);
    case "BestEffort": return classOf(pod) === "BestEffort";
    case "NotBestEffort": return classOf(pod) !== "BestEffort";
    case "PriorityClass": return holds(selector, spec.priorityClassName ? [spec.priorityClassName] : []);
    case "CrossNamespacePodAffinity": return looksElsewhere(spec);
    default: return false;
  }
}

function classOf({ spec, status }: Pod): string {
  return status?.qosClass ?? qosClass(spec as PodSpec);
}

function claimMatches(selector: Selector, { spec, status }: PersistentVolumeClaim): boolean {
  const names = [spec?.volumeAttributesClassName, status?.currentVolumeAttributesClassName, status?.modifyVolumeStatus?.targetVolumeAttributesClassName];
  return holds(selector, names.filter((name) => name !== undefined && name !== ""));
}

/** Whether a selector accepts the values an object has. */
function holds({ operator, values = [] }: Selector, own: readonly (string | undefined)[]): boolean {
  switch (operator) {
    case "Exists": return own.length > 0;
    case "DoesNotExist": return own.length === 0;
    case "In": return own.some((value) => values.includes(value as string));
    default: return own.length === 0 || own.some((value) => !values.includes(value as string));
  }
}

function looksElsewhere({ affinity }: PodSpec): boolean {
  const terms: PodAffinityTerm[] = [affinity?.podAffinity, affinity?.podAntiAffinity].flatMap((side) => [
    ...(side?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(side?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm),
  ]);
  return terms.some(({ namespaces, namespaceSelector }) => (namespaces?.length ?? 0) > 0 || namespaceSelector !== undefined);
}
