// Stops containers gracefully: preStop, then the stop signal, then SIGKILL, within the grace period.
// Sidecars go after the containers they serve, the last started first.
import type { Container, Pod } from "../../api/types.ts";
import { logger } from "../../lib/log.ts";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { runHook } from "./hooks.ts";
import { unlessAborted } from "./interrupt.ts";
import { restoreSpec } from "./labels.ts";
import { isSidecar, type ObservedPod } from "./observed.ts";
import type { KillReason } from "./actions.ts";
import { containerRef } from "./recorder.ts";
import type { NodeServices } from "./services.ts";

const log = logger("kill");
/** Even a forced stop lets a process notice. */
const MIN_GRACE_SECONDS = 2;
const DEFAULT_GRACE_SECONDS = 30;

export interface KillOptions {
  /** Overrides what pod and probes say, in seconds. */
  readonly graceSeconds?: number | undefined;
  /** Gives up waiting (a shorter grace period has come); what was begun goes on in the runtime. */
  readonly signal: AbortSignal;
}

/** Stops every running container of the pod, then its sandboxes. Safe to run twice. */
export async function killPod(node: NodeServices, pod: Pod | undefined, observed: ObservedPod, options: KillOptions): Promise<void> {
  const running = observed.containers.filter((c) => c.state === "running" || c.state === "unknown");
  const turns = new Turns(pod, running.map((c) => c.name));
  await Promise.all(running.map(async (record) => {
    try {
      await killContainer(node, { pod, record, observed, turns }, options);
    } finally {
      turns.finished(record.name);
    }
  }));
  if (options.signal.aborted) return;
  await Promise.all(observed.sandboxes.map(async (sandbox) => {
    await node.runtime.pods.stopSandbox(sandbox.id);
    await node.cache.refreshSandbox(sandbox.id);
  }));
}

export interface Victim {
  /** Absent when the pod is gone from the API: what is needed is on the container then. */
  readonly pod: Pod | undefined;
  readonly record: ContainerRecord;
  readonly observed: ObservedPod;
  readonly turns?: Turns;
  readonly reason?: KillReason | "FailedPostStartHook";
  readonly message?: string;
}

/** Stops one container within its grace period. */
export async function killContainer(node: NodeServices, victim: Victim, options: KillOptions): Promise<void> {
  const { record, pod } = victim;
  const restored = restoreSpec(record);
  const container = (pod && specOf(pod, record.name)) ?? restored.container;
  const seconds = options.graceSeconds ?? (pod ? gracePeriod(pod, container, victim.reason) : restored.graceSeconds);
  const message = victim.message || `Stopping container ${record.name}`;
  const about = pod ? containerRef(pod, record.name) : { apiVersion: "v1", kind: "Pod", name: victim.observed.name, namespace: victim.observed.namespace, uid: victim.observed.uid, fieldPath: `spec.containers{${record.name}}` };
  node.recorder.event(about, "Normal", "Killing", message);

  const deadline = node.clock.monotonic() + seconds * 1000;
  if (container.lifecycle?.preStop && seconds > 0) await runPreStop(node, victim, { container, deadline, signal: options.signal });
  if (victim.turns && seconds > 0) await before(node, deadline, { work: victim.turns.turnOf(record.name), signal: options.signal });
  if (options.signal.aborted) return;
  const left = Math.max(MIN_GRACE_SECONDS, Math.ceil((deadline - node.clock.monotonic()) / 1000));
  await unlessAborted(node.runtime.pods.stopContainer(record.id, left), options.signal);
  if (!options.signal.aborted) await node.cache.refreshContainer(record.id);
}

async function runPreStop(node: NodeServices, victim: Victim, { container, deadline, signal }: { container: Container; deadline: number; signal: AbortSignal }): Promise<void> {
  const handler = container.lifecycle?.preStop;
  if (!handler) return;
  const ended = new AbortController();
  const podIp = victim.observed.sandboxes[0]?.ips[0] ?? node.nodeIp;
  const hook = runHook({ streaming: node.runtime.streaming, clock: node.clock }, { handler, container, containerId: victim.record.id, podIp, signal: AbortSignal.any([signal, ended.signal]) }).catch((error: unknown) => {
    if (signal.aborted || ended.signal.aborted) return;
    log.warn({ err: error, container: container.name }, "preStop hook failed");
    if (victim.pod) node.recorder.event(containerRef(victim.pod, container.name), "Warning", "FailedPreStopHook", "PreStopHook failed");
  });
  await before(node, deadline, { work: hook, signal });
  ended.abort();
}

/** Waits for the work, the deadline or the signal, whichever comes first. */
async function before(node: NodeServices, deadline: number, { work, signal }: { work: Promise<void>; signal: AbortSignal }): Promise<void> {
  const timer = new AbortController();
  await Promise.race([work, node.clock.sleep(Math.max(0, deadline - node.clock.monotonic()), AbortSignal.any([signal, timer.signal]))]);
  timer.abort();
}

/** Seconds between asking a container to stop and forcing it. */
export function gracePeriod(pod: Pod, container: Container, reason: Victim["reason"]): number {
  if (pod.metadata.deletionGracePeriodSeconds !== undefined) return pod.metadata.deletionGracePeriodSeconds;
  if (reason === "RestartAllContainers") return 0;
  const ofProbe = reason === "StartupProbe" ? container.startupProbe?.terminationGracePeriodSeconds : reason === "LivenessProbe" ? container.livenessProbe?.terminationGracePeriodSeconds : undefined;
  return ofProbe ?? pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
}

function specOf(pod: Pod, name: string): Container | undefined {
  const spec = pod.spec;
  return [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...((spec?.ephemeralContainers ?? []) as Container[])].find((c) => c.name === name);
}

/** Whose turn it is to stop: sidecars wait for all regular containers and for the sidecars after them. */
export class Turns {
  readonly #done = new Map<string, { promise: Promise<void>; resolve: () => void }>();
  readonly #sidecars: string[];

  constructor(pod: Pod | undefined, running: readonly string[]) {
    for (const name of running) this.#done.set(name, Promise.withResolvers<void>());
    this.#sidecars = (pod?.spec?.initContainers ?? []).filter((c) => isSidecar(c) && running.includes(c.name)).map((c) => c.name);
  }

  /** Resolves when everything that must stop first has stopped. */
  async turnOf(name: string): Promise<void> {
    const position = this.#sidecars.indexOf(name);
    if (position < 0) return;
    const later = new Set(this.#sidecars.slice(position + 1));
    const first = [...this.#done].filter(([other]) => later.has(other) || !this.#sidecars.includes(other));
    await Promise.all(first.map(([, { promise }]) => promise));
  }

  finished(name: string): void {
    this.#done.get(name)?.resolve();
  }
}
