// Sandboxes and containers on a Docker engine: a pause container holds a pod's namespaces, the others join it.
// Logs, networks and events have files of their own.
import { readFileSync, writeFileSync } from "node:fs";
import type Docker from "dockerode";
import type { ContainerInfo } from "dockerode";
import { logger } from "../../../lib/log.ts";
import { type ContainerConfig, type ContainerRecord, type ContainerStats, type LayerUsage, type LinuxResources, type PodRuntime, RuntimeError, type RuntimeEvent, type Sandbox, type SandboxConfig } from "../runtime.ts";
import { containerOptions, type ConvertFacts, resourceConfig, sandboxOptions, toContainer, toContainerStatus, toSandbox } from "./convert.ts";
import type { Creations } from "./creations.ts";
import { ask, askIfPresent, statusCode } from "./engine.ts";
import type { DockerLogs } from "./logs.ts";
import type { DockerNetworks } from "./networks.ts";
import { type ContainerLabel, decodeLabels, type SandboxLabel, TYPE_LABEL } from "./record.ts";
import { resolvConf, type ResolvFiles } from "./resolv.ts";
import type { Shims } from "./shims.ts";
import { type ContainerFigures, readLayer } from "./stats.ts";
import { setUnified } from "./unified.ts";

const log = logger("runtime");

export interface DockerPodsDeps {
  readonly docker: Docker;
  readonly logs: DockerLogs;
  readonly networks: DockerNetworks;
  readonly resolvFiles: ResolvFiles;
  readonly creations: Creations;
  readonly shims: Shims;
  readonly figures: ContainerFigures;
  readonly sandboxImage: string;
  /** The engine's own directory. */
  readonly rootDir: string;
  readonly minOomScoreAdj: number;
  readonly events: (signal: AbortSignal) => AsyncIterable<RuntimeEvent>;
}

/** PodRuntime on the Docker Engine's API. */
export class DockerPods implements PodRuntime {
  readonly #deps: DockerPodsDeps;
  readonly #docker: Docker;
  readonly #facts: ConvertFacts;
  readonly #imageIds = new Map<string, string>();
  /** Of the containers this process made. */
  readonly #logPaths = new Map<string, string>();
  /** By container: what its cgroup is set to once it runs. */
  readonly #unified = new Map<string, Readonly<Record<string, string>>>();

  constructor(deps: DockerPodsDeps) {
    this.#deps = deps;
    this.#docker = deps.docker;
    this.#facts = { minOomScoreAdj: deps.minOomScoreAdj, readFile: (path) => readFileSync(path, "utf8") };
  }

  /** Follows the logs of containers that were there before, and takes back what those that went or never came have left. */
  async adopt(): Promise<void> {
    void this.#deps.creations.tidy();
    const [sandboxes, containers] = await Promise.all([this.#list("sandbox"), this.#list("container")]);
    this.endShims([...sandboxes, ...containers]);
    this.#deps.logs.retain(new Set(containers.map(({ Id }) => Id)));
    this.#deps.resolvFiles.retain(new Set(sandboxes.map(({ Id }) => Id)));
    await this.#deps.networks.retain(new Set(sandboxes.map(({ Id }) => Id)));
    await Promise.allSettled(containers.map(async ({ Id, State }) => {
      await this.#follow(Id);
      if (State !== "running" && State !== "created") await this.#deps.logs.finish(Id);
    }));
  }

  /** Ends the shims of those that an engine's death has ended. */
  endShims(containers: readonly ContainerInfo[]): void {
    void this.#deps.shims.tidy(containers.filter(({ State }) => State !== "running").map(({ Id }) => Id)).catch((error: unknown) => log.debug({ err: error }, "could not look for shims that are left"));
  }

  async runSandbox(config: SandboxConfig): Promise<string> {
    const id = await this.#create("CreatePodSandboxError", sandboxOptions(config, this.#deps.sandboxImage, this.#facts));
    try {
      await ask("CreatePodSandboxError", () => this.#docker.getContainer(id).start());
      await this.#connect(id, config);
      return id;
    } catch (error) {
      await this.removeSandbox(id).catch(() => undefined);
      throw error instanceof RuntimeError ? error : new RuntimeError("CreatePodSandboxError", (error as Error).message, { cause: error });
    }
  }

  async #connect(id: string, config: SandboxConfig): Promise<void> {
    const info = await ask("CreatePodSandboxError", () => this.#docker.getContainer(id).inspect());
    if (config.namespaces.network === "node") {
      const text = resolvConf(config.dns);
      // Containers that join the sandbox's network share this file with it.
      if (text !== undefined) writeFileSync(info.ResolvConfPath, text);
      return;
    }
    this.#deps.resolvFiles.write(id, config.dns);
    const { name, namespace, uid, portMappings } = config;
    await this.#deps.networks.attach({ containerId: id, netnsPath: `/proc/${info.State.Pid}/ns/net`, portMappings, pod: { name, namespace, uid } });
  }

  async stopSandbox(id: string): Promise<void> {
    const containers = (await this.#list("container")).filter((info) => containerLabel(info).sandboxId === id);
    await Promise.all(containers.filter(({ State }) => State === "running").map(({ Id }) => this.stopContainer(Id, 0)));
    await this.#deps.networks.detach(id);
    await askIfPresent("Unavailable", () => this.#docker.getContainer(id).stop({ t: 10 }));
  }

  async removeSandbox(id: string): Promise<void> {
    await this.stopSandbox(id);
    const containers = (await this.#list("container")).filter((info) => containerLabel(info).sandboxId === id);
    await Promise.all(containers.map(({ Id }) => this.removeContainer(Id)));
    await this.#remove(id);
    this.#deps.resolvFiles.remove(id);
  }

  async listSandboxes(): Promise<Sandbox[]> {
    return (await this.#list("sandbox")).map((info) => this.#sandbox(info));
  }

  async sandboxStatus(id: string): Promise<Sandbox | undefined> {
    const info = (await this.#list("sandbox", { id: [id] })).find(({ Id }) => Id === id);
    return info && this.#sandbox(info);
  }

  async createContainer(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig): Promise<string> {
    const id = await this.#create("CreateContainerError", containerOptions(sandboxId, this.#deps.resolvFiles.mountInto(sandboxId, config), sandbox, this.#facts));
    this.#logPaths.set(id, `${sandbox.logDirectory}/${config.logPath}`);
    if (config.resources?.unified) this.#unified.set(id, config.resources.unified);
    return id;
  }

  async startContainer(id: string): Promise<void> {
    await this.#follow(id);
    await ask("RunContainerError", () => this.#docker.getContainer(id).start());
    const unified = this.#unified.get(id);
    if (!unified) return;
    const info = await askIfPresent("Unavailable", () => this.#docker.getContainer(id).inspect());
    if (info?.State.Running) await setUnified(info.State.Pid, unified);
  }

  async stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    const container = this.#docker.getContainer(id);
    await askIfPresent("Unavailable", () => (timeoutSeconds > 0 ? container.stop({ t: timeoutSeconds }) : container.stop({ t: 0, signal: "SIGKILL" })));
  }

  async removeContainer(id: string): Promise<void> {
    this.#unified.delete(id);
    await this.#remove(id);
    this.#logPaths.delete(id);
    await this.#deps.logs.remove(id);
  }

  async listContainers(): Promise<ContainerRecord[]> {
    const infos = await this.#list("container");
    return Promise.all(infos.map(async (info) => ({ ...toContainer(info, containerLabel(info)), imageId: await this.#imageId(info.ImageID) })));
  }

  async containerStatus(id: string): Promise<ContainerRecord | undefined> {
    const info = await askIfPresent("Unavailable", () => this.#docker.getContainer(id).inspect());
    const label = decodeLabels(info?.Config.Labels);
    if (!info || label?.type !== "container") return undefined;
    const record = toContainerStatus(info, label, await this.#imageId(info.Image));
    // Whoever is told of an end may read the log: all of it must be there.
    if (record.state === "exited") await this.#deps.logs.finish(id);
    return record;
  }

  async updateResources(id: string, resources: LinuxResources): Promise<void> {
    const { OomScoreAdj: _, ...update } = resourceConfig(resources, this.#facts);
    await ask("Unavailable", () => this.#docker.getContainer(id).update(update));
  }

  async reopenLog(id: string): Promise<void> {
    await this.#deps.logs.reopen(id);
  }

  async writableLayers(ids: readonly string[]): Promise<ReadonlyMap<string, LayerUsage>> {
    const found = await Promise.all(ids.map(async (id) => [id, await readLayer(this.#docker, id)] as const));
    return new Map(found.flatMap(([id, layer]) => (layer ? [[id, layer] as const] : [])));
  }

  async stats(): Promise<ContainerStats[]> {
    const running = (await this.#list("container")).filter(({ State }) => State === "running");
    return this.#deps.figures.read(running.map(({ Id }) => Id));
  }

  events(signal: AbortSignal): AsyncIterable<RuntimeEvent> {
    return this.#deps.events(signal);
  }

  async #create(reason: "CreatePodSandboxError" | "CreateContainerError", options: Docker.ContainerCreateOptions): Promise<string> {
    const create = async (): Promise<string> => (await this.#deps.creations.during(options.Image ?? "", () => this.#docker.createContainer(options))).id;
    try {
      return await create();
    } catch (error) {
      // The name is taken by an attempt whose answer never arrived: it never started, so it can go.
      if (statusCode(error) !== 409) return ask(reason, () => Promise.reject(error as Error));
      await this.#remove(options.name ?? "");
      return ask(reason, create);
    }
  }

  async #remove(id: string): Promise<void> {
    // 409: somebody else is removing it right now.
    await askIfPresent("Unavailable", () => this.#docker.getContainer(id).remove({ force: true, v: true }).catch((error: unknown) => (statusCode(error) === 409 ? undefined : Promise.reject(error as Error))));
  }

  async #follow(id: string): Promise<void> {
    const logPath = this.#logPaths.get(id) ?? (await this.#logPathOf(id));
    // The engine tells the file's name only once the container has started.
    if (logPath !== undefined) await this.#deps.logs.follow(id, `${this.#deps.rootDir}/containers/${id}/${id}-json.log`, logPath);
  }

  async #logPathOf(id: string): Promise<string | undefined> {
    const info = await askIfPresent("Unavailable", () => this.#docker.getContainer(id).inspect());
    const label = decodeLabels(info?.Config.Labels);
    return label?.type === "container" ? label.logPath : undefined;
  }

  /** A list of all costs the engine time for each; one by its id does not. */
  async #list(type: "sandbox" | "container", only: { readonly id?: string[] } = {}): Promise<ContainerInfo[]> {
    return ask("Unavailable", () => this.#docker.listContainers({ all: true, filters: { ...only, label: [`${TYPE_LABEL}=${type}`] } }));
  }

  #sandbox(info: ContainerInfo): Sandbox {
    return toSandbox(info, decodeLabels(info.Labels) as SandboxLabel, this.#deps.networks.ips(info.Id));
  }

  /** The digest form where the image has one. */
  async #imageId(id: string): Promise<string> {
    const known = this.#imageIds.get(id);
    if (known !== undefined) return known;
    const image = await askIfPresent("Unavailable", () => this.#docker.getImage(id).inspect());
    const imageId = image?.RepoDigests?.[0] ?? id;
    this.#imageIds.set(id, imageId);
    return imageId;
  }
}

function containerLabel(info: ContainerInfo): ContainerLabel {
  return decodeLabels(info.Labels) as ContainerLabel;
}
