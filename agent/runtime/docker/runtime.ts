// A Docker engine as the kubelet's Runtime.
// Choosing it is `../create.ts`; dockerd itself is the machine's.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type Docker from "dockerode";
import { type Clock, systemClock } from "../../../lib/clock.ts";
import { type Exec, hostExec } from "../../../lib/exec.ts";
import { canLowerOomScore } from "../containerd/machine.ts";
import { pauseImage, pauseImageName } from "../pause/image.ts";
import { type Runtime, RuntimeError } from "../runtime.ts";
import { Creations } from "./creations.ts";
import { ask, askIfPresent, connectDocker, messageOf } from "./engine.ts";
import { DockerEvents } from "./events.ts";
import { DockerImages } from "./images.ts";
import { DockerLogs } from "./logs.ts";
import { DockerNetworks, type SandboxNetwork } from "./networks.ts";
import { rememberEndpoint } from "./remove.ts";
import { ResolvFiles } from "./resolv.ts";
import { DockerPods } from "./pods.ts";
import { Shims } from "./shims.ts";
import { ContainerFigures } from "./stats.ts";
import { DockerStreaming } from "./streaming.ts";

export interface DockerRuntimeOptions {
  readonly socketPath: string;
  /** Where log positions and sandbox addresses are kept. */
  readonly dataDir: string;
  readonly network: SandboxNetwork;
  readonly clock?: Clock;
  readonly exec?: Exec;
  /** False for a process beside the agent: it looks after no logs and no networks. */
  readonly adopt?: boolean;
}

interface EngineInfo {
  readonly DockerRootDir: string;
  readonly CgroupDriver: string;
}

function notAnswering(socketPath: string, error: unknown): RuntimeError {
  return new RuntimeError("Unavailable", `Docker does not answer on ${socketPath} (${messageOf(error)}); start it with: systemctl start docker`, { cause: error });
}

const MIN_OOM_SCORE = -1000;

/** What an engine is: it stays so until it is started anew. */
interface About {
  readonly version: Docker.DockerVersion;
  readonly driver: "cgroupfs" | "systemd";
}

const ABOUT_MS = 300_000;

/** Runtime on one Docker engine. `connect` makes it. */
export class DockerRuntime implements Runtime {
  readonly name = "docker";
  readonly pods: DockerPods;
  readonly images: DockerImages;
  readonly streaming: DockerStreaming;
  readonly #docker: Docker;
  readonly #logs: DockerLogs;
  readonly #network: SandboxNetwork;
  readonly #clock: Clock;
  #known: (About & { readonly at: number }) | undefined;
  readonly #stop = new AbortController();

  /** Rejects with RuntimeError when no engine answers; adopts what runs, and brings the sandbox image. */
  static async connect(options: DockerRuntimeOptions): Promise<DockerRuntime> {
    const docker = connectDocker(options.socketPath);
    const info = (await docker.info().catch((error: unknown) => Promise.reject(notAnswering(options.socketPath, error)))) as EngineInfo;
    const runtime = new DockerRuntime(docker, info, options);
    await runtime.#loadPauseImage();
    if (options.adopt === false) return runtime;
    rememberEndpoint(options);
    await runtime.pods.adopt();
    return runtime;
  }

  private constructor(docker: Docker, info: EngineInfo, { dataDir, network, clock = systemClock, exec = hostExec }: DockerRuntimeOptions) {
    this.#docker = docker;
    this.#network = network;
    this.#clock = clock;
    this.#logs = new DockerLogs(join(dataDir, "docker", "logs"));
    const events = new DockerEvents(docker, clock, (containers) => this.pods.endShims(containers));
    this.pods = new DockerPods({
      docker, logs: this.#logs,
      resolvFiles: new ResolvFiles(join(dataDir, "docker", "resolv")),
      networks: new DockerNetworks(join(dataDir, "docker", "networks"), network),
      creations: new Creations({ directory: join(dataDir, "docker", "creations"), docker, rootDir: info.DockerRootDir, exec, clock, signal: this.#stop.signal }),
      figures: new ContainerFigures({ docker, clock }),
      shims: new Shims({ file: join(dataDir, "docker", "shims"), clock, signal: this.#stop.signal, isRunning: async (id) => (await askIfPresent("Unavailable", () => docker.getContainer(id).inspect()))?.State.Running ?? false }),
      sandboxImage: pauseImageName(), rootDir: info.DockerRootDir,
      minOomScoreAdj: canLowerOomScore() ? MIN_OOM_SCORE : Number(readFileSync("/proc/self/oom_score_adj", "utf8")),
      events: (signal) => events.subscribe(signal),
    });
    this.images = new DockerImages(docker, { pinned: pauseImageName(), filesDir: join(dataDir, "docker", "image-files") });
    this.streaming = new DockerStreaming(docker);
    void events.run(this.#stop.signal);
  }

  async status(): ReturnType<Runtime["status"]> {
    const { version, driver } = await this.#about();
    const networkReady = this.#network.isReady?.() ?? true;
    return {
      version: `docker://${version.Version.replace(/\+.*$/, "")}`,
      runtimeReady: true, networkReady, message: networkReady ? "" : "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:the pod network is not configured yet",
      cgroupDriver: driver,
      handlers: [{ name: "", recursiveReadOnlyMounts: canMountRecursively(version), userNamespaces: false }],
    };
  }

  /** An engine says its version by starting four programs to ask for theirs: asked for now and then, and again after it did not answer. */
  async #about(): Promise<About> {
    const now = this.#clock.monotonic();
    try {
      await ask("Unavailable", () => this.#docker.ping());
      if (!this.#known || now - this.#known.at > ABOUT_MS) {
        const [version, info] = await Promise.all([ask("Unavailable", () => this.#docker.version()), ask("Unavailable", () => this.#docker.info())]);
        this.#known = { version, driver: (info as EngineInfo).CgroupDriver === "systemd" ? "systemd" : "cgroupfs", at: now };
      }
      return this.#known;
    } catch (error) {
      this.#known = undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#logs.close();
  }

  async #loadPauseImage(): Promise<void> {
    if (await this.images.status(pauseImageName())) return;
    const directory = mkdtempSync(join(tmpdir(), "minik8s-pause-"));
    try {
      const path = join(directory, "pause.tar");
      writeFileSync(path, pauseImage());
      await this.images.load(path);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

/** API 1.44 brought the word, Linux 5.12 the deed. */
function canMountRecursively({ ApiVersion, KernelVersion = "" }: { readonly ApiVersion: string; readonly KernelVersion?: string }): boolean {
  return isAtLeast(ApiVersion, 1, 44) && isAtLeast(KernelVersion, 5, 12);
}

function isAtLeast(version: string, major: number, minor: number): boolean {
  const [haveMajor = 0, haveMinor = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return haveMajor > major || (haveMajor === major && haveMinor >= minor);
}
