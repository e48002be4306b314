// Sandboxes and containers over CRI.
// Prompt news of changes is `events.ts`; images and streams have their own files.
import { type ContainerConfig, type ContainerRecord, type ContainerStats, type LayerUsage, type LinuxResources, type PodRuntime, type RuntimeEvent, type Sandbox, type SandboxConfig } from "../runtime.ts";
import { toContainer, toContainerConfig, toContainerStatus, toResources, toSandbox, toSandboxConfig, toStats } from "./convert.ts";
import type { CriClient } from "./cri.ts";
import type { WireContainerStats, WireContainerStatus, WireSandboxStatus } from "./messages.ts";
import type { Ownership } from "./ownership.ts";

const SANDBOX_TIMEOUT_MS = 240_000;
/** The runtime sends SIGKILL when the grace period is over; after that it still has this long to answer. */
const STOP_MARGIN_MS = 120_000;

/** PodRuntime on CRI. */
export class CriPods implements PodRuntime {
  readonly #cri: CriClient;
  readonly #ownership: Ownership;
  readonly #events: (signal: AbortSignal) => AsyncIterable<RuntimeEvent>;

  constructor(deps: { cri: CriClient; ownership: Ownership; events: (signal: AbortSignal) => AsyncIterable<RuntimeEvent> }) {
    this.#cri = deps.cri;
    this.#ownership = deps.ownership;
    this.#events = deps.events;
  }

  async runSandbox(config: SandboxConfig): Promise<string> {
    const request = { config: toSandboxConfig(config), runtimeHandler: config.runtimeHandler };
    return this.#ownership.makeSandbox(async () => (await this.#cri.call<{ podSandboxId: string }>("runPodSandbox", request, { timeoutMs: SANDBOX_TIMEOUT_MS })).podSandboxId, config.uid);
  }

  async stopSandbox(id: string): Promise<void> {
    await this.#cri.callIfPresent("stopPodSandbox", { podSandboxId: id }, { timeoutMs: SANDBOX_TIMEOUT_MS });
  }

  async removeSandbox(id: string): Promise<void> {
    await this.#cri.callIfPresent("removePodSandbox", { podSandboxId: id }, { timeoutMs: SANDBOX_TIMEOUT_MS });
  }

  async listSandboxes(): Promise<Sandbox[]> {
    return (await this.#ownership.listSandboxes()).map(toSandbox);
  }

  async sandboxStatus(id: string): Promise<Sandbox | undefined> {
    const response = await this.#cri.callIfPresent<{ status: WireSandboxStatus | null }>("podSandboxStatus", { podSandboxId: id });
    return response?.status ? toSandbox(response.status) : undefined;
  }

  async createContainer(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig): Promise<string> {
    const request = { podSandboxId: sandboxId, config: toContainerConfig(config), sandboxConfig: toSandboxConfig(sandbox) };
    return this.#ownership.makeContainer(async () => (await this.#cri.call<{ containerId: string }>("createContainer", request)).containerId, sandboxId);
  }

  async startContainer(id: string): Promise<void> {
    await this.#ownership.start(id, () => this.#cri.call("startContainer", { containerId: id }));
  }

  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    await this.#cri.callIfPresent("stopContainer", { containerId: id, timeout: timeoutSeconds }, { timeoutMs: timeoutSeconds * 1000 + STOP_MARGIN_MS });
  }

  async removeContainer(id: string): Promise<void> {
    await this.#cri.callIfPresent("removeContainer", { containerId: id });
  }

  async listContainers(): Promise<ContainerRecord[]> {
    return (await this.#ownership.listContainers()).map(toContainer);
  }

  async containerStatus(id: string): Promise<ContainerRecord | undefined> {
    const response = await this.#cri.callIfPresent<{ status: WireContainerStatus | null }>("containerStatus", { containerId: id });
    return response?.status ? toContainerStatus(response.status, await this.#ownership.sandboxOf(id)) : undefined;
  }

  async updateResources(id: string, resources: LinuxResources): Promise<void> {
    await this.#cri.call("updateContainerResources", { containerId: id, linux: toResources(resources) });
  }

  async reopenLog(id: string): Promise<void> {
    await this.#cri.call("reopenContainerLog", { containerId: id });
  }

  async stats(): Promise<ContainerStats[]> {
    const { stats } = await this.#cri.call<{ stats: WireContainerStats[] }>("listContainerStats");
    return stats.map(toStats).filter((each) => each !== undefined);
  }

  async writableLayers(ids: readonly string[]): Promise<ReadonlyMap<string, LayerUsage>> {
    const stats = await this.stats();
    return new Map(stats.filter(({ id }) => ids.includes(id)).map((each) => [each.id, { bytes: each.writableLayerBytes, inodes: each.writableLayerInodes }]));
  }

  events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.#events(signal);
  }
}
