// What the init containers of a running pod need: one after the other, sidecars among them staying.
// The containers after them are `plan.ts`'s.
import type { Container } from "../../api/types.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { killOf, start, type Action, type Draft, type PlanInput } from "./actions.ts";
import { isOutdated, judgeResize } from "./judge.ts";
import { isSidecar, latest, restartsAfterProbeFailure, shouldRestart } from "./observed.ts";

/** Walks the init containers from the last, because records of earlier ones may be gone by then. */
export function planInitContainers(input: PlanInput, draft: Draft): "initialized" | "initializing" | "failed" {
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
