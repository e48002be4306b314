// Starts one container: its image, environment, files and mounts, then create, start and postStart.
// Every way to fail becomes a StartError whose reason is the word users see in the waiting state.
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nanoid } from "nanoid";
import type { Container, EphemeralContainer, Pod } from "../../api/types.ts";
import type { ContainerRecord, ImageRecord, Sandbox, SandboxConfig } from "../runtime/runtime.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import { effectiveResources } from "./allocation.ts";
import { containerConfig } from "./containerconfig.ts";
import { environment } from "./env.ts";
import { HookError, runHook } from "./hooks.ts";
import { ImageError } from "./images.ts";
import { killContainer } from "./kill.ts";
import { restartCountOf } from "./labels.ts";
import { linkLog } from "./loglinks.ts";
import { containerDevices, containerMounts } from "./mounts.ts";
import { latest, type ObservedPod } from "./observed.ts";
import { containerRef } from "./recorder.ts";
import { imageUser } from "./security.ts";
import type { NodeServices } from "./services.ts";

/** A container could not be started; the worker tries again at `retryAt` (ms since the epoch), or by its own back-off. */
export class StartError extends Error {
  override readonly name = "StartError";
  constructor(readonly reason: string, message: string, readonly retryAt?: number, options?: ErrorOptions) {
    super(message, options);
  }

  /** Whether an instance was made, which counts as a restart. */
  get hasRun(): boolean {
    return this.reason === "RunContainerError" || this.reason === "PostStartHookError";
  }
}

export interface StartInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly sandbox: Sandbox;
  readonly sandboxConfig: SandboxConfig;
  readonly observed: ObservedPod;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly image: Promise<ImageRecord>;
  readonly signal: AbortSignal;
}

/** Resolves once the container runs and its postStart hook is done; rejects with StartError. */
export async function startContainer(node: NodeServices, input: StartInput): Promise<void> {
  const { pod, container } = input;
  const about = containerRef(pod, container.name);
  const fail = (reason: string, error: unknown): never => {
    const message = (error as Error).message;
    node.recorder.event(about, "Warning", "Failed", `Error: ${message}`);
    throw new StartError(reason, message, undefined, { cause: error });
  };
  const failImage = (error: unknown): never => {
    if (error instanceof StartError) return fail(error.reason, error);
    if (!(error instanceof ImageError)) return fail("ErrImagePull", error);
    node.recorder.event(about, "Warning", "Failed", `Error: ${error.reason}`);
    throw new StartError(error.reason, error.message, error.retryAt, { cause: error });
  };
  const image = await input.image.catch(failImage);
  const volumes = await withImages(node, input).catch(failImage);
  const config = await prepare(node, { ...input, volumes }, image).catch((error: unknown) => fail("CreateContainerConfigError", error));
  const id = await node.runtime.pods.createContainer(input.sandbox.id, config, input.sandboxConfig).catch((error: unknown) => fail("CreateContainerError", error));
  await node.allocations.actuate(pod.metadata.uid ?? "", id, effectiveResources(pod, container));
  node.recorder.event(about, "Normal", "Created", "Container created");
  try {
    await node.runtime.pods.startContainer(id);
  } catch (error) {
    await node.cache.refreshContainer(id);
    fail("RunContainerError", error);
  }
  node.recorder.event(about, "Normal", "Started", "Container started");
  const record = await node.cache.refreshContainer(id);
  if (record) await linkLog(node.paths, record);
  if (record && container.lifecycle?.postStart) await runPostStart(node, input, record);
}

/** The volumes, those that are images mounted, or by the id of the pulled image where the runtime mounts it. */
async function withImages(node: NodeServices, { pod, container, volumes, signal }: StartInput): Promise<ReadonlyMap<string, MountedVolume>> {
  const result = new Map(volumes);
  for (const { name } of container.volumeMounts ?? []) {
    const volume = volumes.get(name);
    if (volume?.image === undefined) continue;
    const policy = pod.spec?.volumes?.find((candidate) => candidate.name === name)?.image?.pullPolicy ?? "IfNotPresent";
    const reference = volume.image;
    const image = await node.images.ensure({ pod, about: containerRef(pod, container.name), reference, policy, credentials: () => node.credentials(pod, reference), signal });
    node.figures.count("kubelet_image_volume_requested_total");
    const hostPath = await node.volumes.mountImage(pod, name, image.id).catch((error: unknown) => {
      node.figures.count("kubelet_image_volume_mounted_errors_total");
      throw new StartError("CreateContainerError", `failed to mount image volume "${name}": ${(error as Error).message}`, undefined, { cause: error });
    });
    node.figures.count("kubelet_image_volume_mounted_succeed_total");
    result.set(name, hostPath === undefined ? { ...volume, image: image.id } : { hostPath, readOnly: true });
  }
  return result;
}

async function prepare(node: NodeServices, input: StartInput, image: ImageRecord): Promise<ReturnType<typeof containerConfig>> {
  const { pod, container, observed } = input;
  const podIps = pod.spec?.hostNetwork ? [node.nodeIp] : input.sandbox.ips;
  const facts = { podIps, nodeIp: node.nodeIp, allocatable: node.allocatable() };
  const restartCount = await nextRestartCount(node, pod, latest(observed, container.name) ?? container.name);
  const [env, terminationFile] = await Promise.all([
    environment({ pod, container, facts, objects: node.objects, services: node.services() }),
    makeTerminationFile(node, pod, container),
    mkdir(join(node.paths.podLogDirectory(pod), container.name), { recursive: true }),
  ]);
  const mounts = await containerMounts({ node, pod, container, volumes: input.volumes, env, podIps, terminationFile });
  return containerConfig({
    pod, container, restartCount, env, mounts, terminationFile,
    devices: containerDevices(container, input.volumes),
    imageId: image.id,
    image: imageUser(image.user),
    machine: node.machine,
    seccompRoot: node.paths.seccomp,
    isSeccompDefault: node.settings.isSeccompDefault,
    user: node.userNamespaces.known(pod),
    targetContainerId: targetOf(container, observed),
  });
}

/** One more than the last instance's; without one, than what its logs on disk tell of. */
async function nextRestartCount(node: NodeServices, pod: Pod, last: ContainerRecord | string): Promise<number> {
  if (typeof last !== "string") return restartCountOf(last) + 1;
  const files = await readdir(join(node.paths.podLogDirectory(pod), last)).catch(() => []);
  return Math.max(0, ...files.flatMap((file) => (/^\d+\.log/.test(file) ? Number.parseInt(file, 10) + 1 : [])));
}

/** Every instance has a file of its own, or the last words of one would be read as the next one's. */
async function makeTerminationFile(node: NodeServices, pod: Pod, container: Container): Promise<string> {
  const dir = node.paths.container(pod.metadata.uid ?? "", container.name);
  const file = join(dir, nanoid(8));
  await mkdir(dir, { recursive: true });
  await writeFile(file, "", { mode: 0o666 });
  return file;
}

function targetOf(container: Container, observed: ObservedPod): string | undefined {
  const target = (container as EphemeralContainer).targetContainerName;
  if (!target) return undefined;
  const record = latest(observed, target);
  if (!record) throw new Error(`unable to find target container ${target}`);
  return record.id;
}

async function runPostStart(node: NodeServices, { pod, container, observed, sandbox, signal }: StartInput, record: ContainerRecord): Promise<void> {
  const handler = container.lifecycle?.postStart;
  if (!handler) return;
  try {
    await runHook({ streaming: node.runtime.streaming, clock: node.clock }, { handler, container, containerId: record.id, podIp: sandbox.ips[0] ?? node.nodeIp, signal });
  } catch (error) {
    if (signal.aborted) return;
    node.recorder.event(containerRef(pod, container.name), "Warning", "FailedPostStartHook", "PostStartHook failed");
    await killContainer(node, { pod, record, observed, reason: "FailedPostStartHook", message: "FailedPostStartHook" }, { signal });
    throw new StartError("PostStartHookError", error instanceof HookError ? error.message : String(error), undefined, { cause: error });
  }
}
