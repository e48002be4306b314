// Decides what one sync of a running pod must do: pure, from the pod's spec and what the runtime holds of it.
// `syncpod.ts` carries the actions out; deletion and terminal pods never come here.
import type { Container, Pod } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { emptyDraft, killOf, podLabel, start, type Action, type Draft, type Plan, type PlanInput, type Start, type Waiting } from "./actions.ts";
import { isResized } from "./allocation.ts";
import { goDuration, MAX_MS, restartAt } from "./backoff.ts";
import { isOutdated, judgeResize } from "./judge.ts";
import { isRunning, isSidecar, judgeSandbox, latest, restartsAfterProbeFailure, restartsAll, shouldBeStarted, type ObservedPod } from "./observed.ts";
import { planInitContainers } from "./planinit.ts";

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
