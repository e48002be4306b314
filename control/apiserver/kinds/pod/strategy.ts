// The behaviour of pods: what the server fills in, what may change through which door, how long a delete waits.
import type { Pod, PodCondition, PodSpec } from "../../../../api/types.ts";
import { define } from "../define.ts";
import type { StrategyContext } from "../strategy.ts";
import { warnOfDottedName } from "../validation/warnings.ts";
import { warnOfPod } from "./warnings.ts";
import { defaultPod } from "./defaults.ts";
import { keepIdentity } from "./identity.ts";
import { podPrinter } from "./printer.ts";
import { qosClass } from "../../../../api/qos.ts";
import { keepAllButResources } from "./resize.ts";
import { validateEphemeralContainers, validateResize } from "./validate/doors.ts";
import { validatePod, validatePodCreate } from "./validate/pod.ts";
import { validatePodStatus } from "./validate/status.ts";
import { validatePodUpdate } from "./validate/update.ts";

/** Pods. */
export const podStrategy = define<Pod>({
  group: "", kind: "Pod",
  applyDefaults: defaultPod,
  prepareForCreate,
  validateCreate: validatePodCreate,
  validate: validatePod,
  validateUpdate: validatePodUpdate,
  subresources: {
    status: { prepareForUpdate: prepareStatus, validateUpdate: validatePodStatus },
    ephemeralcontainers: { prepareForUpdate: keepAllButEphemeralContainers, validateUpdate: validateEphemeralContainers },
    resize: { prepareForUpdate: keepAllButResources, validateUpdate: validateResize },
  },
  gracePeriodSeconds,
  selectableFields,
  printer: podPrinter,
});

function prepareForCreate(pod: Pod, context: StrategyContext): void {
  const spec = pod.spec as PodSpec | undefined;
  const { now } = context;
  warnOfDottedName(pod, context, "the Pod's hostname");
  warnOfPod(spec, pod.metadata, context);
  if (!spec) return;
  pod.status = { phase: "Pending", qosClass: qosClass(spec) };
  if (spec.schedulingGates?.length) {
    pod.status.conditions = [{ type: "PodScheduled", status: "False", lastTransitionTime: now, reason: "SchedulingGated", message: "Scheduling is blocked due to non-empty scheduling gates" }];
  }
  mergeMatchLabelKeys(pod, spec);
}

/** `matchLabelKeys` become part of the selectors once the pod's own labels are known. */
function mergeMatchLabelKeys({ metadata: { labels = {} } }: Pod, { affinity, topologySpreadConstraints = [] }: PodSpec): void {
  const add = (term: { labelSelector?: { matchExpressions?: { key: string; operator: string; values?: string[] | undefined }[] | undefined } | undefined }, keys: readonly string[] | undefined, operator: string): void => {
    if (!term.labelSelector) return;
    for (const key of keys ?? []) {
      const value = labels[key];
      if (value !== undefined) term.labelSelector.matchExpressions = [...(term.labelSelector.matchExpressions ?? []), { key, operator, values: [value] }];
    }
  };
  for (const constraint of topologySpreadConstraints) add(constraint, constraint.matchLabelKeys, "In");
  for (const side of [affinity?.podAffinity, affinity?.podAntiAffinity]) {
    const terms = [...(side?.requiredDuringSchedulingIgnoredDuringExecution ?? []), ...(side?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ podAffinityTerm }) => podAffinityTerm)];
    for (const term of terms) {
      add(term, term.matchLabelKeys, "In");
      add(term, term.mismatchLabelKeys, "NotIn");
    }
  }
}

function prepareStatus(pod: Pod, old: Pod): void {
  keepIdentity(pod, old, ["ownerReferences"]);
  pod.status ??= {};
  const { status } = pod;
  if (!status.qosClass && old.status?.qosClass) status.qosClass = old.status.qosClass;
  if (!status.observedGeneration && old.status?.observedGeneration) status.observedGeneration = old.status.observedGeneration;
  const oldByType = new Map<string, PodCondition[]>();
  for (const condition of old.status?.conditions ?? []) oldByType.set(condition.type, [...(oldByType.get(condition.type) ?? []), condition]);
  for (const condition of status.conditions ?? []) {
    const before = oldByType.get(condition.type)?.shift()?.observedGeneration;
    if (!condition.observedGeneration && before) condition.observedGeneration = before;
  }
}

function keepAllButEphemeralContainers(pod: Pod, old: Pod): void {
  const { ephemeralContainers } = pod.spec ?? {};
  pod.spec = { ...(old.spec as PodSpec) };
  if (ephemeralContainers) pod.spec.ephemeralContainers = ephemeralContainers;
  else delete pod.spec.ephemeralContainers;
  if (old.status) pod.status = old.status;
  keepIdentity(pod, old);
}

/** A pod that no node runs, or that has finished, goes at once. */
function gracePeriodSeconds({ spec, status }: Pod, requested: number | undefined): number {
  if (!spec?.nodeName || status?.phase === "Failed" || status?.phase === "Succeeded") return 0;
  const period = requested ?? spec.terminationGracePeriodSeconds ?? 0;
  return period < 0 ? 1 : period;
}

function selectableFields({ spec, status }: Pod): Record<string, string> {
  return {
    "spec.nodeName": spec?.nodeName ?? "",
    "spec.restartPolicy": spec?.restartPolicy ?? "",
    "spec.schedulerName": spec?.schedulerName ?? "",
    "spec.serviceAccountName": spec?.serviceAccountName ?? "",
    "spec.hostNetwork": String(spec?.hostNetwork ?? false),
    "status.phase": status?.phase ?? "",
    "status.podIP": status?.podIPs?.[0]?.ip ?? "",
    "status.nominatedNodeName": status?.nominatedNodeName ?? "",
  };
}
