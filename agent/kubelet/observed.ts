// What the runtime holds of one pod, as the plan and the status see it: immutable values, newest first.
// Who fills it in is `runtimecache.ts`; nothing here does I/O.
import type { Container, Pod } from "../../api/types.ts";
import type { ContainerRecord, Sandbox } from "../runtime/runtime.ts";

/** One pod as the runtime knows it. */
export interface ObservedPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** Newest attempt first. */
  readonly sandboxes: readonly Sandbox[];
  /** Newest first, over all sandboxes; dead ones included as long as the runtime keeps them. */
  readonly containers: readonly ContainerRecord[];
}

/** A pod the runtime knows nothing of. */
export function nothingObserved(pod: Pod): ObservedPod {
  return { uid: pod.metadata.uid ?? "", name: pod.metadata.name ?? "", namespace: pod.metadata.namespace ?? "", sandboxes: [], containers: [] };
}

/** Puts records into the order the rest relies on. */
export function observedPod(identity: { uid: string; name: string; namespace: string }, sandboxes: readonly Sandbox[], containers: readonly ContainerRecord[]): ObservedPod {
  return {
    ...identity,
    sandboxes: [...sandboxes].sort((a, b) => b.attempt - a.attempt || b.createdAt - a.createdAt),
    containers: [...containers].sort((a, b) => b.createdAt - a.createdAt || b.attempt - a.attempt),
  };
}

/** The newest instance of a container. */
export function latest(observed: ObservedPod, name: string): ContainerRecord | undefined {
  return observed.containers.find((container) => container.name === name);
}

/** Whether anything of the pod still runs or may still run. */
export function isRunning(observed: ObservedPod): boolean {
  return observed.containers.some((c) => c.state === "running" || c.state === "unknown") || observed.sandboxes.some((s) => s.state === "ready");
}

/** What the sandboxes say must happen before containers can start. */
export interface SandboxVerdict {
  readonly needsNew: boolean;
  readonly attempt: number;
  /** The newest sandbox, usable or not. */
  readonly id: string | undefined;
}

/** Whether the pod needs a new sandbox: none, several, the newest not ready, or one without an address. */
export function judgeSandbox(pod: Pod, observed: ObservedPod): SandboxVerdict {
  const newest = observed.sandboxes[0];
  if (!newest) return { needsNew: true, attempt: 0, id: undefined };
  const readyCount = observed.sandboxes.filter((sandbox) => sandbox.state === "ready").length;
  const isUsable = readyCount === 1 && newest.state === "ready" && (pod.spec?.hostNetwork === true || newest.ips.length > 0);
  return isUsable ? { needsNew: false, attempt: newest.attempt, id: newest.id } : { needsNew: true, attempt: newest.attempt + 1, id: newest.id };
}

/** A restartable init container, which upstream's users call a sidecar. */
export const isSidecar = (container: Container): boolean => container.restartPolicy === "Always";

/** Whether policy wants a container that exited with this code to run again. */
export function shouldRestart(pod: Pod, container: Container, exitCode: number): boolean {
  if (container.restartPolicy !== undefined) {
    const rule = ruleFor(container, exitCode);
    if (rule) return rule.action === "Restart" || rule.action === "RestartAllContainers";
    return followsPolicy(container.restartPolicy, exitCode);
  }
  return followsPolicy(pod.spec?.restartPolicy ?? "Always", exitCode);
}

/** Whether this instance ended in a way that its rules answer by restarting the whole pod in place. */
export function restartsAll(pod: Pod, record: ContainerRecord): boolean {
  if (record.state !== "exited") return false;
  const container = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].find(({ name }) => name === record.name);
  return container !== undefined && ruleFor(container, record.exitCode ?? 0)?.action === RESTART_ALL;
}

/** Whether any rule of the pod could ask for that. */
export function mayRestartAll(pod: Pod): boolean {
  return [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].some(({ restartPolicyRules }) => restartPolicyRules?.some(({ action }) => action === RESTART_ALL));
}

const RESTART_ALL = "RestartAllContainers";

function ruleFor({ restartPolicyRules = [] }: Container, exitCode: number): NonNullable<Container["restartPolicyRules"]>[number] | undefined {
  return restartPolicyRules.find((candidate) => ruleMatches(candidate.exitCodes, exitCode));
}

/** Whether a probe failure leads to a restart: exit codes are not known yet, so only the policies speak. */
export function restartsAfterProbeFailure(pod: Pod, container: Container): boolean {
  return (container.restartPolicy ?? pod.spec?.restartPolicy ?? "Always") !== "Never";
}

/** Whether the container should be started (again), judging by its newest instance. */
export function shouldBeStarted(pod: Pod, container: Container, observed: ObservedPod): boolean {
  if (pod.metadata.deletionTimestamp) return false;
  const record = latest(observed, container.name);
  if (!record) return true;
  if (record.state === "running") return false;
  if (record.state !== "exited") return true;
  return shouldRestart(pod, container, record.exitCode ?? 0);
}

function followsPolicy(policy: string, exitCode: number): boolean {
  if (policy === "Never") return false;
  return policy !== "OnFailure" || exitCode !== 0;
}

function ruleMatches(requirement: { operator: string; values?: number[] | undefined } | undefined, exitCode: number): boolean {
  if (!requirement) return false;
  const listed = requirement.values?.includes(exitCode) ?? false;
  return requirement.operator === "In" ? listed : !listed;
}
