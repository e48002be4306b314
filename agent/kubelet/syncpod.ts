// One sync of a running pod: asks the plan what to do and does it, overlapping what does not depend on each other.
// Called by the pod's worker again and again until there is nothing left to do.
import { mkdir } from "node:fs/promises";
import type { Container, Pod, ResourceRequirements } from "../../api/types.ts";
import { logger } from "../../lib/log.ts";
import type { ImageRecord, Sandbox, SandboxConfig } from "../runtime/runtime.ts";
import { VolumeError, type MountedVolume } from "../volumes/volume.ts";
import { isResizing, podLabel, type Action, type Plan } from "./actions.ts";
import { raise } from "./backoff.ts";
import { pruneDead, removeContainer } from "./cleanup.ts";
import { containersOf } from "./containerstatus.ts";
import { podDns } from "./dns.ts";
import { killContainer, killPod } from "./kill.ts";
import { isSidecar, nothingObserved, type ObservedPod } from "./observed.ts";
import { plan } from "./plan.ts";
import type { PodState } from "./podstate.ts";
import { containerRef, podRef } from "./recorder.ts";
import { resizeMessage, resizePod } from "./resize.ts";
import { sandboxConfig } from "./sandboxconfig.ts";
import type { NodeServices } from "./services.ts";
import { StartError, startContainer } from "./start.ts";

const log = logger("sync-pod");
const FIRST_RETRY_MS = 500;
const MAX_SANDBOX_RETRY_MS = 10_000;
const MAX_VOLUME_RETRY_MS = 122_000;
const START_RETRY_MS = 10_000;

export interface SyncOptions {
  /** Aborts when the pod is to terminate: nothing more is started then. */
  readonly signal: AbortSignal;
  /** Called whenever the status may have changed. */
  readonly publish: () => void;
}

/** When to sync again without being told (ms since the epoch); undefined for never. */
export type NextSync = number | undefined;

/** Does what the plan says. Failures become events, waiting reasons and a time to try again. */
export async function syncPod(node: NodeServices, state: PodState, options: SyncOptions): Promise<NextSync> {
  const uid = state.pod.metadata.uid ?? "";
  const observed = node.cache.get(uid) ?? nothingObserved(state.pod);
  const decided = plan({ pod: state.pod, observed, probes: node.probes.verdicts(uid), backOffs: state.backOffs, notBefore: state.notBefore, actuated: actuatedOf(node, observed), actuatedPod: node.allocations.actuatedPod(uid), now: node.clock.now() });
  noteWaiting(node, state, decided);
  if (state.resize.inProgress && !isResizing(decided)) {
    state.resize = { pending: state.resize.pending };
    node.recorder.event(podRef(state.pod), "Normal", "ResizeCompleted", resizeMessage("Pod resize completed", state.pod));
  }
  options.publish();
  const wakeUps = decided.waiting.map((waiting) => waiting.until);
  if (decided.actions.length > 0) wakeUps.push(...(await new Run(node, state, { ...options, observed }).perform(decided.actions)));
  return wakeUps.length > 0 ? Math.min(...wakeUps) : undefined;
}

function actuatedOf(node: NodeServices, observed: ObservedPod): Map<string, ResourceRequirements> {
  return new Map(observed.containers.flatMap(({ id }) => {
    const resources = node.allocations.actuated(observed.uid, id);
    return resources ? [[id, resources] as const] : [];
  }));
}

function noteWaiting(node: NodeServices, state: PodState, { waiting }: Plan): void {
  for (const { container, message } of waiting) {
    if (message === undefined || state.reasons.get(container)?.message === message) continue;
    state.reasons.set(container, { reason: "CrashLoopBackOff", message });
    node.recorder.event(containerRef(state.pod, container), "Warning", "BackOff", `Back-off restarting failed container ${container} in pod ${podLabel(state.pod)}`);
  }
}

type Start = Extract<Action, { type: "startContainer" }>;

/** The actions of one plan being carried out. */
class Run {
  readonly #wakeUps: number[] = [];

  constructor(readonly node: NodeServices, readonly state: PodState, readonly options: SyncOptions & { readonly observed: ObservedPod }) {}

  /** Times at which failed steps should be tried again. */
  async perform(actions: readonly Action[]): Promise<number[]> {
    await this.#clear(actions);
    await this.#reset(actions.filter((action) => action.type === "resetContainer"));
    await this.#resize(actions.filter((action) => action.type === "resize" || action.type === "resizePod"));
    const starts = actions.filter((action) => action.type === "startContainer");
    const create = actions.find((action) => action.type === "createSandbox");
    if (this.options.signal.aborted || (starts.length === 0 && !create)) return this.#wakeUps;

    await this.#prepareNode();
    const volumes = this.#setupVolumes();
    // After a failure, one step at a time: a broken network must not have images pulled over and over.
    const images = this.state.sandboxFailures === 0 ? this.#ensureImages(starts) : undefined;
    const sandbox = create ? await this.#createSandbox(create) : await this.#currentSandbox();
    const mounted = await volumes;
    if (!sandbox || !mounted || this.options.signal.aborted) return this.#wakeUps;
    this.options.publish();
    await this.#startAll(starts, { ...sandbox, volumes: mounted, images: images ?? this.#ensureImages(starts) });
    return this.#wakeUps;
  }

  /** Stops and removes what is in the way. */
  async #clear(actions: readonly Action[]): Promise<void> {
    const { node, state, options } = this;
    if (actions.some((action) => action.type === "killPod")) await killPod(node, state.pod, options.observed, { signal: options.signal });
    await Promise.all(actions.map(async (action) => {
      if (action.type !== "killContainer") return;
      const record = options.observed.containers.find((c) => c.id === action.id);
      if (record) await killContainer(node, { pod: state.pod, record, observed: options.observed, reason: action.reason, message: action.message }, { signal: options.signal });
    }));
    for (const action of actions) if (action.type === "removeContainer") await removeContainer(node, action.id);
  }

  /** One after the other, in the plan's order; the next look starts them again. */
  async #reset(actions: readonly Extract<Action, { type: "resetContainer" }>[]): Promise<void> {
    const { node, state, options } = this;
    if (actions.length === 0) return;
    for (const { id, container } of actions) {
      const record = options.observed.containers.find((candidate) => candidate.id === id);
      if (record && record.state !== "exited") await killContainer(node, { pod: state.pod, record, observed: options.observed, reason: "RestartAllContainers", message: `Container ${container} is restarted with all others` }, { signal: options.signal });
      if (options.signal.aborted) return;
      await removeContainer(node, id, { keepLog: true });
    }
    state.backOffs.clear();
    state.reasons.clear();
    state.notBefore.clear();
    state.isRestartingAll = true;
    this.options.publish();
    state.isRestartingAll = false;
    this.#wakeUps.push(node.clock.now());
  }

  async #resize(actions: readonly Extract<Action, { type: "resize" | "resizePod" }>[]): Promise<void> {
    const { node, state } = this;
    if (actions.length === 0) return;
    const containers = [...containersOf(state.pod, "init"), ...containersOf(state.pod, "regular")];
    const resized = actions.flatMap((action) => (action.type === "resize" ? containers.filter(({ name }) => name === action.container).map((container) => ({ id: action.id, container })) : []));
    state.resize = { ...state.resize, inProgress: { error: state.resize.inProgress?.error } };
    this.options.publish();
    const begin = node.clock.monotonic();
    const done = (success: boolean): void => node.figures.observe("kubelet_pod_resize_duration_milliseconds", node.clock.monotonic() - begin, { success: String(success) });
    try {
      await resizePod(node, state.pod, resized);
      done(true);
      state.resize = { ...state.resize, inProgress: {} };
      // The next look finds nothing left to resize, and says so.
      this.#wakeUps.push(node.clock.now());
    } catch (error) {
      done(false);
      const message = (error as Error).message;
      if (state.resize.inProgress?.error !== message) node.recorder.event(podRef(state.pod), "Warning", "ResizeError", resizeMessage("Pod resize error", state.pod, message));
      state.resize = { ...state.resize, inProgress: { error: message } };
      this.#wakeUps.push(node.clock.now() + START_RETRY_MS);
    }
    this.options.publish();
  }

  async #prepareNode(): Promise<void> {
    const { node, state } = this;
    const { uid = "" } = state.pod.metadata;
    await Promise.all([
      mkdir(node.paths.pod(uid), { recursive: true, mode: 0o750 }),
      mkdir(node.paths.podLogDirectory(state.pod), { recursive: true }),
      node.cgroups.ensure(state.pod),
    ]);
  }

  /** undefined when a volume is missing; the event says which. */
  async #setupVolumes(): Promise<ReadonlyMap<string, MountedVolume> | undefined> {
    const { node, state, options } = this;
    try {
      const mounted = await node.volumes.setup(state.pod, options.signal);
      state.volumesReady = true;
      state.volumeFailures = 0;
      return mounted;
    } catch (error) {
      if (options.signal.aborted) return undefined;
      const prefix = error instanceof VolumeError ? `MountVolume.SetUp failed for volume "${error.volume}" : ` : "";
      node.recorder.event(podRef(state.pod), "Warning", "FailedMount", `${prefix}${(error as Error).message}`);
      this.#retryAfter(FIRST_RETRY_MS * 2 ** state.volumeFailures++, MAX_VOLUME_RETRY_MS);
      return undefined;
    }
  }

  #ensureImages(starts: readonly Start[]): Map<string, Promise<ImageRecord>> {
    const { node, state, options } = this;
    const pulls = new Map<string, Promise<ImageRecord>>();
    for (const start of starts) {
      const container = containerOf(state.pod, start);
      const reference = container.image ?? "";
      const pull = node.images.ensure({ pod: state.pod, about: containerRef(state.pod, container.name), reference, policy: container.imagePullPolicy ?? "IfNotPresent", credentials: () => node.credentials(state.pod, reference), signal: options.signal });
      // Its failure is told when the container's turn comes, which may be never.
      pull.catch(() => undefined);
      pulls.set(container.name, pull);
    }
    return pulls;
  }

  async #createSandbox({ attempt, replaces }: Extract<Action, { type: "createSandbox" }>): Promise<{ sandbox: Sandbox; config: SandboxConfig } | undefined> {
    const { node, state } = this;
    if (replaces !== undefined) node.recorder.event(podRef(state.pod), "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
    const seccomp = await node.pauseProfile.choose({ failures: state.sandboxFailures, runtimeHandler: node.runtimeHandler(state.pod) });
    try {
      if (state.pod.spec?.hostUsers === false && !node.supportsUserNamespaces(state.pod)) throw new Error(noUserNamespaces(node.runtimeHandler(state.pod)));
      await node.userNamespaces.of(state.pod);
      const config = { ...this.#sandboxConfig(attempt, true), seccomp };
      const sandbox = await node.cache.refreshSandbox(await node.runtime.pods.runSandbox(config));
      if (!sandbox) throw new Error("the new sandbox is gone");
      node.pauseProfile.worked(seccomp);
      state.sandboxFailures = 0;
      node.figures.count("kubelet_started_pods_total");
      if (state.pod.spec?.hostUsers === false) node.figures.count("kubelet_started_user_namespaced_pods_total");
      return { sandbox, config };
    } catch (error) {
      if (this.options.signal.aborted) return undefined;
      node.pauseProfile.failed(seccomp, (error as Error).message);
      node.figures.count("kubelet_started_pods_errors_total");
      if (state.pod.spec?.hostUsers === false) node.figures.count("kubelet_started_user_namespaced_pods_errors_total");
      log.warn({ err: error, pod: podLabel(state.pod) }, "creating a sandbox failed");
      node.recorder.event(podRef(state.pod), "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${(error as Error).message}`);
      this.#retryAfter(FIRST_RETRY_MS * 2 ** state.sandboxFailures++, MAX_SANDBOX_RETRY_MS);
      return undefined;
    }
  }

  async #currentSandbox(): Promise<{ sandbox: Sandbox; config: SandboxConfig } | undefined> {
    const sandbox = this.options.observed.sandboxes[0];
    return sandbox && { sandbox, config: this.#sandboxConfig(sandbox.attempt, false) };
  }

  #sandboxConfig(attempt: number, isNew: boolean): SandboxConfig {
    const { node, state: { pod } } = this;
    const { config, warnings } = podDns({ pod, clusterDns: node.clusterDns, clusterDomain: node.clusterDomain, host: node.hostDns() });
    if (isNew) for (const warning of warnings) node.recorder.event(podRef(pod), "Warning", "DNSConfigForming", warning);
    return sandboxConfig({ pod, attempt, dns: config, clusterDomain: node.clusterDomain, logDirectory: node.paths.podLogDirectory(pod), cgroupParent: node.cgroups.parentOf(pod), runtimeHandler: node.runtimeHandler(pod), user: node.userNamespaces.known(pod) });
  }

  async #startAll(starts: readonly Start[], prepared: { sandbox: Sandbox; config: SandboxConfig; volumes: ReadonlyMap<string, MountedVolume>; images: ReadonlyMap<string, Promise<ImageRecord>> }): Promise<void> {
    for (const start of starts) {
      if (this.options.signal.aborted) return;
      const container = containerOf(this.state.pod, start);
      const isStarted = await this.#start(container, prepared);
      // The next init container may not run before this one has.
      if (!isStarted && start.role === "init" && !isSidecar(container)) return;
    }
  }

  async #start(container: Container, { sandbox, config, volumes, images }: { sandbox: Sandbox; config: SandboxConfig; volumes: ReadonlyMap<string, MountedVolume>; images: ReadonlyMap<string, Promise<ImageRecord>> }): Promise<boolean> {
    const { node, state, options } = this;
    const { pod } = state;
    const observed = node.cache.get(pod.metadata.uid ?? "") ?? options.observed;
    try {
      await startContainer(node, { pod, container, sandbox, sandboxConfig: config, observed, volumes, image: images.get(container.name) as Promise<ImageRecord>, signal: options.signal });
      node.figures.count("kubelet_started_containers_total", { container_type: typeOf(pod, container) });
      state.reasons.delete(container.name);
      state.notBefore.delete(container.name);
      this.#raiseBackOff(container.name);
    } catch (error) {
      if (options.signal.aborted) return false;
      if (error instanceof StartError && error.hasRun) this.#raiseBackOff(container.name);
      const { reason, message, retryAt } = error instanceof StartError ? error : new StartError("CreateContainerError", (error as Error).message);
      node.figures.count("kubelet_started_containers_errors_total", { container_type: typeOf(pod, container), code: reason });
      log.warn({ pod: podLabel(pod), container: container.name, reason, message }, "starting a container failed");
      state.reasons.set(container.name, { reason, message });
      state.notBefore.set(container.name, retryAt ?? node.clock.now() + START_RETRY_MS);
      this.#wakeUps.push(state.notBefore.get(container.name) as number);
      options.publish();
      return false;
    }
    options.publish();
    await pruneDead(node, observed, container.name);
    return true;
  }

  /** Judged by what was there when the plan was made: a container killed just now restarts at once. */
  #raiseBackOff(name: string): void {
    const { node, state } = this;
    const dead = this.options.observed.containers.find((c) => c.name === name && c.state === "exited");
    if (!dead) return;
    const finishedAt = dead.finishedAt ?? dead.createdAt;
    state.backOffs.set(name, raise(state.backOffs.get(name), { finishedAt, now: node.clock.now(), maxMs: node.settings.maxRestartDelayMs }));
  }

  #retryAfter(delayMs: number, maxMs: number): void {
    this.#wakeUps.push(this.node.clock.now() + Math.min(delayMs, maxMs));
  }
}

function typeOf(pod: Pod, { name }: Container): string {
  if (pod.spec?.initContainers?.some((container) => container.name === name)) return "init_container";
  return pod.spec?.containers.some((container) => container.name === name) ? "container" : "ephemeral_container";
}

function noUserNamespaces(handler: string): string {
  return handler === "" ? "can't set `spec.hostUsers: false`, runtime does not support user namespaces" : `can't set \`spec.hostUsers: false\`, RuntimeClass handler "${handler}" does not support user namespaces`;
}

function containerOf(pod: Pod, { role, container }: Start): Container {
  return containersOf(pod, role).find((candidate) => candidate.name === container) as Container;
}
