// What a Job's policies say about a failed pod, and about the indexes that succeeded. Pure.
// Rules and messages: k8s.io/kubernetes/pkg/controller/job/{pod_failure_policy,success_policy}.go.
import type { ContainerStatus, Job, JobSpec, Pod } from "../../../api/types.ts";
import { IndexSet } from "./indexes.ts";

export type PodFailureAction = "Ignore" | "FailIndex" | "Count" | "FailJob";

/** The rule a failed pod fell under. */
export interface PodFailure {
  readonly action: PodFailureAction | undefined;
  /** Why the Job fails, when the action is FailJob. */
  readonly message?: string;
}

type Rule = NonNullable<JobSpec["podFailurePolicy"]>["rules"][number];

export function judgeFailure(job: Job, pod: Pod): PodFailure {
  for (const [index, rule] of (job.spec?.podFailurePolicy?.rules ?? []).entries()) {
    const message = matchRule(rule, pod);
    if (message !== undefined) return { action: rule.action as PodFailureAction, message: `${message} matching ${rule.action} rule at index ${index}` };
  }
  return { action: undefined };
}

/** Whether a pod's failure counts towards the back-off limit. */
export function countsAsFailure(job: Job, pod: Pod): boolean {
  return judgeFailure(job, pod).action !== "Ignore";
}

/** The message of the first success rule that is met; undefined when none is. */
export function successMessage(job: Job, succeeded: IndexSet): string | undefined {
  if (succeeded.size === 0) return undefined;
  for (const [index, { succeededIndexes, succeededCount }] of (job.spec?.successPolicy?.rules ?? []).entries()) {
    const required = succeededIndexes ? IndexSet.parse(succeededIndexes, job.spec?.completions ?? 0) : undefined;
    if (required?.size === 0) continue;
    const count = required ? succeeded.overlap(required) : succeeded.size;
    const isMet = (required && count === required.size) || (succeededCount !== undefined && count >= succeededCount);
    if (isMet) return `Matched rules at index ${index}`;
  }
  return undefined;
}

/** What matched, as the message begins. */
function matchRule({ onExitCodes, onPodConditions }: Rule, pod: Pod): string | undefined {
  const { namespace, name } = pod.metadata;
  if (onExitCodes) {
    const status = [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find((candidate) => exitMatches(onExitCodes, candidate));
    return status && `Container ${status.name} for pod ${namespace}/${name} failed with exit code ${status.state?.terminated?.exitCode}`;
  }
  const patterns = onPodConditions ?? [];
  const condition = pod.status?.conditions?.find(({ type, status }) => patterns.some((pattern) => pattern.type === type && (pattern.status ?? "True") === status));
  return condition && `Pod ${namespace}/${name} has condition ${condition.type}`;
}

function exitMatches({ containerName, operator, values }: NonNullable<Rule["onExitCodes"]>, { name, state }: ContainerStatus): boolean {
  const exitCode = state?.terminated?.exitCode;
  if (exitCode === undefined || exitCode === 0 || (containerName && containerName !== name)) return false;
  return operator === "In" ? values.includes(exitCode) : operator === "NotIn" && !values.includes(exitCode);
}
