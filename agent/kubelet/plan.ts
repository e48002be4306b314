// Decides what one sync of a running pod must do: pure, from the pod's spec and what the runtime holds of it.
// `syncpod.ts` carries the actions out; deletion and terminal pods never come here.
import type { Container, Pod, ResourceRequirements } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { changedResources, effectiveResources, isResized } from "./allocation.ts";
import { goDuration, MAX_MS, restartAt, type BackOff } from "./backoff.ts";
import { hashOf, recordedHash } from "./labels.ts";
import { isRunning, isSidecar, judgeSandbox, latest, restartsAfterProbeFailure, restartsAll, shouldBeStarted, shouldRestart, type ObservedPod } from "./observed.ts";

/** What the probes say of one running container; absent means not probed or not known yet. */
export interface ProbeVerdict {
  readonly liveness?: "success" | "failure";
  readonly startup?: "success" | "failure";
}

export interface PlanInput {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  /** By container id. */
  readonly probes: ReadonlyMap<string, ProbeVerdict>;
  /** By container name. */
  readonly backOffs: ReadonlyMap<string, BackOff>;
  /** By container name: when a start that failed is worth another try. */
  readonly notBefore: ReadonlyMap<string, number>;
  /** What running containers really have, by container id; absent means as the spec says. */
  readonly actuated: ReadonlyMap<string, ResourceRequirements>;
  /** What the pod as a whole really has. */
  readonly actuatedPod?: ResourceRequirements | undefined;
  readonly now: number;
}

export type ContainerRole = "ephemeral" | "init" | "regular";

/** Why a container is killed; decides its grace period. */
export type KillReason = "LivenessProbe" | "StartupProbe" | "DefinitionChanged" | "Resize" | "RestartAllContainers" | "Unknown";

export type Action =
  | { readonly type: "killPod" }
  | { readonly type: "killContainer"; readonly id: string; readonly container: string; readonly reason: KillReason; readonly message: string }
  | { readonly type: "removeContainer"; readonly id: string }
  /** Kills it where it still runs, and removes it; its log stays. */
  | { readonly type: "resetContainer"; readonly id: string; readonly container: string }
  | { readonly type: "createSandbox"; readonly attempt: number; readonly replaces: string | undefined }
  | { readonly type: "resize"; readonly id: string; readonly container: string }
  /** The pod's own limits, whatever its containers' are. */
  | { readonly type: "resizePod" }
  | { readonly type: "startContainer"; readonly role: ContainerRole; readonly container: string };

/** A container that must wait before it may start again. */
export interface Waiting {
  readonly container: string;
  /** Why, in CrashLoopBackOff's words; undefined when the reason already shown still holds. */
  readonly message: string | undefined;
  readonly until: number;
}

/** Actions in the order they must happen; each depends on the success of those before. */
export interface Plan {
  readonly actions: readonly Action[];
  readonly waiting: readonly Waiting[];
}

/** Whether the plan carries out a resize, in place or by a restart. */
export function isResizing({ actions }: Plan): boolean {
  return actions.some((action) => action.type === "resize" || action.type === "resizePod" || (action.type === "killContainer" && action.reason === "Resize"));
}

/** Decides the next actions. The same input gives the same plan; a converged pod gives none. */
export function plan(input: PlanInput): Plan {
  const reset = planReset(input);
  if (reset) return reset;
  const sandbox = judgeSandbox(input.pod, input.observed);
  if (sandbox.needsNew) return planNewSandbox(input, sandbox);

  const draft = emptyDraft();
  draft.start.push(...ephemeralToStart(input));
  const init = planInitContainers(input, draft);
  if (init === "failed") return stopIfRunning(input.observed);
  if (init === "initialized" && planRegularContainers(input, draft) === "finished") return stopIfRunning(input.observed);
  return finish(input, draft);
}

/** A container asked for all of them to begin again. It goes last: a reset that was cut short is begun again because of it. */
function planReset({ pod, observed }: PlanInput): Plan | undefined {
  const records = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].flatMap(({ name }) => observed.containers.filter((record) => record.name === name));
  const causes = records.filter((record) => restartsAll(pod, record));
  if (causes.length === 0) return undefined;
  const order = [...records.filter((record) => !causes.includes(record)), ...causes];
  return { actions: order.map(({ id, name }) => ({ type: "resetContainer", id, container: name })), waiting: [] };
}

function stopIfRunning(observed: ObservedPod): Plan {
  return { actions: isRunning(observed) ? [{ type: "killPod" }] : [], waiting: [] };
}

type Start = Extract<Action, { type: "startContainer" }>;

interface Draft {
  readonly kill: Extract<Action, { type: "killContainer" }>[];
  readonly resize: Extract<Action, { type: "resize" }>[];
  readonly start: Start[];
}

const emptyDraft = (): Draft => ({ kill: [], resize: [], start: [] });
const start = (role: ContainerRole, container: Container): Start => ({ type: "startContainer", role, container: container.name });

function planNewSandbox(input: PlanInput, sandbox: { attempt: number; id: string | undefined }): Plan {
  const { pod, observed } = input;
  const spec = pod.spec;
  const isNeverRestarted = spec?.restartPolicy === "Never" && !(spec.containers.some((c) => c.restartPolicy !== undefined));
  // Without containers the first sandbox never got anywhere, so trying again restarts nothing.
  if (isNeverRestarted && sandbox.attempt !== 0 && observed.containers.length > 0) return stopIfRunning(observed);

  const toStart = (spec?.containers ?? []).filter((container) => !hasSucceededForGood(pod, container, observed));
  if (toStart.length === 0 && hasCreatedRegular(input)) return stopIfRunning(observed);

  // Even a dead sandbox holds an address until it is stopped.
  const kill: Action[] = observed.sandboxes.length > 0 ? [{ type: "killPod" }] : [];
  const create: Action = { type: "createSandbox", attempt: sandbox.attempt, replaces: sandbox.id };
  const firstInit = spec?.initContainers?.[0];
  // A new sandbox starts from the beginning: records of init containers would say they are done.
  const purge: Action[] = observed.containers.filter((c) => spec?.initContainers?.some((i) => i.name === c.name)).map((c) => ({ type: "removeContainer", id: c.id }));
  const starts = firstInit ? [start("init", firstInit)] : toStart.map((container) => start("regular", container));
  // Failures to start in the old sandbox say nothing about the new one.
  const { allowed, waiting } = holdBack({ ...input, notBefore: new Map() }, starts);
  return { actions: [...kill, ...purge, create, ...allowed], waiting };
}

function hasSucceededForGood(pod: Pod, container: Container, observed: ObservedPod): boolean {
  const record = latest(observed, container.name);
  const policy = container.restartPolicy ?? pod.spec?.restartPolicy;
  return policy === "OnFailure" && record?.state === "exited" && record.exitCode === 0;
}

function hasCreatedRegular({ pod, observed }: PlanInput): boolean {
  return (pod.spec?.containers ?? []).some((container) => latest(observed, container.name) !== undefined);
}

function ephemeralToStart({ pod, observed }: PlanInput): Start[] {
  return (pod.spec?.ephemeralContainers ?? []).filter((c) => !latest(observed, c.name)).map((c) => start("ephemeral", c as Container));
}

/** Walks the init containers from the last, because records of earlier ones may be gone by then. */
function planInitContainers(input: PlanInput, draft: Draft): "initialized" | "initializing" | "failed" {
  const containers = input.pod.spec?.initContainers ?? [];
  if (containers.length === 0) return "initialized";
  const started: number[] = [];
  let initialized = input.pod.spec?.containers.some((c) => ["created", "running"].includes(latest(input.observed, c.name)?.state ?? "")) ?? false;
  let isPast = initialized;

  for (let i = containers.length - 1; i >= 0; i--) {
    const container = containers[i] as Container;
    const record = latest(input.observed, container.name);
    if (!record) {
      if (isPast && isSidecar(container)) started.push(i);
      continue;
    }
    if (isPast && !isSidecar(container)) continue;
    const step = judgeInit(input, container, record);
    if (step.kill) draft.kill.push(step.kill);
    if (step.resize) draft.resize.push(step.resize);
    if (step.verdict === "failed") return "failed";
    if (step.verdict === "restart" || step.alsoRestart) started.push(i);
    if (step.verdict === "done") {
      if (i === containers.length - 1) initialized = true;
      else if (!isPast) started.push(i + 1);
    }
    isPast = true;
  }
  if (!isPast) started.push(0);
  draft.start.push(...[...new Set(started)].sort((a, b) => a - b).map((i) => start("init", containers[i] as Container)));
  return initialized ? "initialized" : "initializing";
}

interface InitStep {
  readonly verdict: "wait" | "restart" | "done" | "failed";
  readonly kill?: Extract<Action, { type: "killContainer" }>;
  readonly resize?: Extract<Action, { type: "resize" }>;
  /** Done with initialising, yet the container itself must be replaced. */
  readonly alsoRestart?: boolean;
}

function judgeInit(input: PlanInput, container: Container, record: ContainerRecord): InitStep {
  switch (record.state) {
    case "created":
      return { verdict: "restart" };
    case "running":
      return isSidecar(container) ? judgeRunningSidecar(input, container, record) : waitForInit(input, container, record);
    case "exited":
      if (isSidecar(container)) return { verdict: "restart" };
      if (record.exitCode === 0) return { verdict: "done" };
      return { verdict: shouldRestart(input.pod, container, record.exitCode ?? 1) ? "restart" : "failed" };
    default:
      if (!isSidecar(container) && !restartsAfterProbeFailure(input.pod, container)) return { verdict: "failed" };
      return { verdict: "restart", kill: killOf(record, "Unknown", `Init container is in "unknown" state, try killing it before restart`) };
  }
}

/** One that runs to its end is resized, too, but never restarted for it. */
function waitForInit(input: PlanInput, container: Container, record: ContainerRecord): InitStep {
  const resize = judgeResize(input, container, record);
  return resize === undefined || resize === "restart" ? { verdict: "wait" } : { verdict: "wait", resize };
}

function judgeRunningSidecar(input: PlanInput, container: Container, record: ContainerRecord): InitStep {
  const probes = input.probes.get(record.id);
  if (container.startupProbe) {
    if (probes?.startup === "failure") return { verdict: "restart", kill: killOf(record, "StartupProbe", `Init container ${container.name} failed startup probe`) };
    if (probes?.startup !== "success") return { verdict: "wait" };
  }
  if (isOutdated(container, record)) return { verdict: "done", alsoRestart: true, kill: killOf(record, "DefinitionChanged", `Init container ${container.name} definition changed`) };
  if (probes?.liveness === "failure") return { verdict: "done", alsoRestart: true, kill: killOf(record, "LivenessProbe", `Init container ${container.name} failed liveness probe`) };
  const resize = judgeResize(input, container, record);
  if (resize === "restart") return { verdict: "done", alsoRestart: true, kill: killOf(record, "Resize", `Container ${container.name} resize requires restart`) };
  return resize ? { verdict: "done", resize } : { verdict: "done" };
}

/** "finished" when nothing runs and nothing will: the pod can be stopped. */
function planRegularContainers(input: PlanInput, draft: Draft): "live" | "finished" {
  let kept = 0;
  const starts: Start[] = [];
  for (const container of input.pod.spec?.containers ?? []) {
    const record = latest(input.observed, container.name);
    if (record?.state !== "running") {
      if (!shouldBeStarted(input.pod, container, input.observed)) continue;
      starts.push(start("regular", container));
      if (record?.state === "unknown") draft.kill.push(killOf(record, "Unknown", `Container is in "unknown" state, try killing it before restart`));
      continue;
    }
    const verdict = judgeRunning(input, container, record);
    if (verdict === "keep" || "resize" in verdict) {
      if (verdict !== "keep") draft.resize.push(verdict.resize);
      kept++;
      continue;
    }
    if (verdict.restart) starts.push(start("regular", container));
    draft.kill.push(verdict.kill);
  }
  if (kept === 0 && starts.length === 0 && draft.kill.length === 0) return "finished";
  draft.start.push(...starts);
  return "live";
}

type RunningVerdict = "keep" | { readonly resize: Extract<Action, { type: "resize" }> } | { readonly restart: boolean; readonly kill: Extract<Action, { type: "killContainer" }> };

function judgeRunning(input: PlanInput, container: Container, record: ContainerRecord): RunningVerdict {
  const probes = input.probes.get(record.id);
  const found = isOutdated(container, record)
    ? { reason: "DefinitionChanged" as const, message: `Container ${container.name} definition changed`, restart: true }
    : probes?.liveness === "failure"
      ? { reason: "LivenessProbe" as const, message: `Container ${container.name} failed liveness probe`, restart: restartsAfterProbeFailure(input.pod, container) }
      : probes?.startup === "failure"
        ? { reason: "StartupProbe" as const, message: `Container ${container.name} failed startup probe`, restart: restartsAfterProbeFailure(input.pod, container) }
        : undefined;
  if (!found) {
    const resize = judgeResize(input, container, record);
    if (resize === "restart") return { restart: true, kill: killOf(record, "Resize", `Container ${container.name} resize requires restart`) };
    return resize ? { resize } : "keep";
  }
  return { restart: found.restart, kill: killOf(record, found.reason, found.restart ? `${found.message}, will be restarted` : found.message) };
}

/** undefined when the container has what it should. */
function judgeResize(input: PlanInput, container: Container, record: ContainerRecord): "restart" | Extract<Action, { type: "resize" }> | undefined {
  const have = input.actuated.get(record.id);
  const changed = have ? changedResources(effectiveResources(input.pod, container), have) : [];
  if (changed.length === 0) return undefined;
  const needsRestart = container.resizePolicy?.some(({ resourceName, restartPolicy }) => restartPolicy === "RestartContainer" && changed.some((name) => name === resourceName));
  return needsRestart ? "restart" : { type: "resize", id: record.id, container: container.name };
}

function isOutdated(container: Container, record: ContainerRecord): boolean {
  const hash = recordedHash(record);
  return hash !== undefined && hash !== hashOf(container);
}

function killOf(record: ContainerRecord, reason: KillReason, message: string): Extract<Action, { type: "killContainer" }> {
  return { type: "killContainer", id: record.id, container: record.name, reason, message };
}

function finish(input: PlanInput, draft: Draft): Plan {
  const { allowed, waiting } = holdBack(input, draft.start);
  const ofPod: Action[] = isResized(input.pod.spec?.resources, input.actuatedPod) ? [{ type: "resizePod" }] : [];
  return { actions: [...draft.kill, ...draft.resize, ...ofPod, ...allowed], waiting };
}

/** Takes out the starts whose container is in back-off; an init container that waits holds up all after it. */
function holdBack(input: PlanInput, starts: readonly Start[]): { allowed: Start[]; waiting: Waiting[] } {
  const allowed: Start[] = [];
  const waiting: Waiting[] = [];
  for (const candidate of starts) {
    const hold = heldUntil(input, candidate.container);
    if (!hold) {
      allowed.push(candidate);
      continue;
    }
    waiting.push({ container: candidate.container, ...hold });
    if (candidate.role === "init" && !input.pod.spec?.initContainers?.some((c) => c.name === candidate.container && isSidecar(c))) break;
  }
  return { allowed, waiting };
}

function heldUntil(input: PlanInput, container: string): Omit<Waiting, "container"> | undefined {
  const dead = input.observed.containers.find((c) => c.name === container && c.state === "exited");
  const backOff = input.backOffs.get(container);
  const until = dead && restartAt(backOff, dead.finishedAt ?? dead.createdAt, input.now);
  if (until !== undefined) return { until, message: `back-off ${goDuration(backOff?.delayMs ?? 0)} restarting failed container=${container} pod=${podLabel(input.pod)}` };
  const notBefore = input.notBefore.get(container) ?? 0;
  // Further ahead than any delay: the date was set back.
  return notBefore > input.now && notBefore - input.now <= 2 * MAX_MS ? { until: notBefore, message: undefined } : undefined;
}

/** `name_namespace(uid)`, as upstream's messages name a pod. */
export function podLabel(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
}
