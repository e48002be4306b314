// A container runtime in memory: for kubelet tests and hollow nodes, with latencies and failures on demand.
// It keeps the promises of `runtime.ts` (the suite says so) and runs no process.
import { appendFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { Duplex, PassThrough } from "node:stream";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { Broadcast } from "./broadcast.ts";
import { formatLogEntry, nanoTimestamp } from "./cri-log.ts";
import { FakeImages, type FakeImagesOptions } from "./fake-images.ts";
import { type FakeProgram, interpret } from "./fake-program.ts";
import { type ContainerConfig, type ContainerRecord, type ContainerStats, type ImageRecord, type ImageService, type LinuxResources, type PodRuntime, type Runtime, type RuntimeEvent, RuntimeError, type Sandbox, type SandboxConfig, type StreamOptions, type Streaming } from "./runtime.ts";

/** The calls that can be slowed down or made to fail. */
export type FakeOperation = "runSandbox" | "stopSandbox" | "createContainer" | "startContainer" | "stopContainer" | "pull" | "execSync";

export interface FakeRuntimeOptions {
  readonly clock?: Clock;
  /** Milliseconds each operation takes; 0 where absent. */
  readonly latencyMs?: Partial<Record<FakeOperation, number>>;
  /** What a container runs; by default its command is interpreted, and an image's own command runs until stopped. */
  readonly program?: (config: ContainerConfig) => FakeProgram;
  /** The exit code and output of an exec; by default its command is interpreted. */
  readonly exec?: (container: ContainerRecord, command: readonly string[]) => { exitCode: number; output: string };
  readonly unpullable?: FakeImagesOptions["unpullable"];
  /** Prefix of pod addresses, as in `10.88`. */
  readonly ipPrefix?: string;
  /** Write what programs print to the CRI log files, as a real runtime does. */
  readonly writeLogs?: boolean;
}

interface FakeContainer {
  record: ContainerRecord;
  readonly config: ContainerConfig;
  resources: LinuxResources;
  /** Aborts when the process is to end with the code given as reason. */
  end: AbortController;
  program: FakeProgram;
}

interface FakeSandbox {
  record: Sandbox;
  readonly config: SandboxConfig;
}

/** A runtime whose containers are records. `exit` and `failNext` are how a test makes things happen. */
export class FakeRuntime implements Runtime {
  readonly name = "fake";
  readonly pods: PodRuntime;
  readonly images: ImageService;
  readonly streaming: Streaming;
  readonly #clock: Clock;
  readonly #options: FakeRuntimeOptions;
  readonly #sandboxes = new Map<string, FakeSandbox>();
  readonly #images: FakeImages;
  readonly #containers = new Map<string, FakeContainer>();
  readonly #failures = new Map<FakeOperation, RuntimeError[]>();
  readonly #events = new Broadcast<RuntimeEvent>();
  #counter = 0;

  constructor(options: FakeRuntimeOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.pods = this.#podRuntime();
    this.#images = new FakeImages({ unpullable: options.unpullable, beforePull: () => this.#step("pull") });
    this.images = this.#images.service();
    this.streaming = this.#streaming();
  }

  status(): ReturnType<Runtime["status"]> {
    return Promise.resolve({ version: "fake://1.0.0", runtimeReady: true, networkReady: true, message: "", cgroupDriver: "cgroupfs", handlers: [{ name: "", recursiveReadOnlyMounts: false, userNamespaces: false }] });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Ends a running container as if its process had exited. */
  exit(containerId: string, exitCode: number, reason?: string): void {
    this.#end(this.#container(containerId), exitCode, reason);
  }

  /** Takes a sandbox's process away, as a crash of the host's would. */
  killSandbox(sandboxId: string): void {
    const sandbox = this.#sandboxes.get(sandboxId);
    if (sandbox) this.#stopSandbox(sandbox);
  }

  /** Makes the next call of `operation` reject; calls queue up. */
  failNext(operation: FakeOperation, error: RuntimeError): void {
    this.#failures.set(operation, [...(this.#failures.get(operation) ?? []), error]);
  }

  /** The configuration a container was created with, and the resources it has now. */
  inspect(containerId: string): { config: ContainerConfig; resources: LinuxResources } {
    const { config, resources } = this.#container(containerId);
    return { config, resources };
  }

  /** The configuration a sandbox was made with. */
  inspectSandbox(sandboxId: string): SandboxConfig | undefined {
    return this.#sandboxes.get(sandboxId)?.config;
  }

  /** Makes an image present without a pull. */
  addImage(reference: string, overrides: Partial<ImageRecord> = {}): ImageRecord {
    return this.#images.add(reference, overrides);
  }

  #podRuntime(): PodRuntime {
    return {
      runSandbox: (config) => this.#runSandbox(config),
      stopSandbox: async (id) => {
        await this.#step("stopSandbox");
        const sandbox = this.#sandboxes.get(id);
        if (sandbox) this.#stopSandbox(sandbox);
      },
      removeSandbox: async (id) => {
        const sandbox = this.#sandboxes.get(id);
        if (!sandbox) return;
        this.#stopSandbox(sandbox);
        for (const container of this.#inSandbox(id)) this.#removeContainer(container);
        this.#sandboxes.delete(id);
        this.#publish("deleted", id, sandbox);
      },
      listSandboxes: () => Promise.resolve([...this.#sandboxes.values()].map((sandbox) => sandbox.record)),
      sandboxStatus: (id) => Promise.resolve(this.#sandboxes.get(id)?.record),
      createContainer: (sandboxId, config) => this.#createContainer(sandboxId, config),
      startContainer: (id) => this.#startContainer(id),
      stopContainer: (id, timeoutSeconds) => this.#stopContainer(id, timeoutSeconds),
      removeContainer: async (id) => {
        const container = this.#containers.get(id);
        if (container) this.#removeContainer(container);
      },
      listContainers: () => Promise.resolve([...this.#containers.values()].map((container) => container.record)),
      containerStatus: (id) => Promise.resolve(this.#containers.get(id)?.record),
      updateResources: async (id, resources) => {
        const container = this.#container(id);
        container.resources = { ...container.resources, ...resources };
      },
      reopenLog: async (id) => void this.#running(id),
      writableLayers: (ids) => Promise.resolve(new Map([...this.#containers.values()].filter(({ record }) => ids.includes(record.id)).map((container) => [container.record.id, { bytes: this.#stats(container).writableLayerBytes, inodes: 0 }]))),
      stats: () => Promise.resolve([...this.#containers.values()].filter(isRunning).map((container) => this.#stats(container))),
      events: (signal) => this.#events.subscribe(signal),
    };
  }

  #streaming(): Streaming {
    return {
      exec: (id, command, streams) => this.#exec(id, command, streams),
      execSync: async (id, command, { maxBytes }) => {
        await this.#step("execSync");
        const { exitCode, output } = this.#execResult(this.#running(id), command);
        return { exitCode, output: output.slice(0, maxBytes) };
      },
      attach: async (id, streams) => {
        this.#running(id);
        await echo(streams);
      },
      portForward: async (sandboxId) => {
        if (!this.#sandboxes.has(sandboxId)) throw new RuntimeError("NotFound", `sandbox "${sandboxId}" not found`);
        return Duplex.from(new PassThrough());
      },
    };
  }

  async #runSandbox(config: SandboxConfig): Promise<string> {
    await this.#step("runSandbox");
    const id = this.#id();
    const ips = config.namespaces.network === "node" ? [] : [this.#nextIp()];
    const { name, namespace, uid, attempt, labels, annotations } = config;
    const sandbox: FakeSandbox = { config, record: { id, name, namespace, uid, attempt, labels, annotations, ips, state: "ready", createdAt: this.#clock.now() } };
    this.#sandboxes.set(id, sandbox);
    this.#publish("started", id, sandbox);
    return id;
  }

  async #createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    await this.#step("createContainer");
    const sandbox = this.#sandboxes.get(sandboxId);
    if (!sandbox || sandbox.record.state !== "ready") throw new RuntimeError("CreateContainerError", `sandbox "${sandboxId}" is not ready`);
    const image = this.#images.find(config.image);
    if (!image) throw new RuntimeError("ImageNotFound", `image "${config.image}" not found`);
    const id = this.#id();
    const { name, attempt, labels, annotations } = config;
    const record: ContainerRecord = { id, sandboxId, name, attempt, labels, annotations, state: "created", image: config.image, imageId: image.repoDigests[0] ?? image.id, createdAt: this.#clock.now(), logPath: join(sandbox.config.logDirectory, config.logPath) };
    const program = this.#options.program?.(config) ?? interpret([...config.command, ...config.args]);
    this.#containers.set(id, { record, config, resources: config.resources, end: new AbortController(), program });
    this.#publish("created", id, sandbox);
    return id;
  }

  async #startContainer(id: string): Promise<void> {
    await this.#step("startContainer");
    const container = this.#container(id);
    if (container.record.state !== "created") throw new RuntimeError("RunContainerError", `container "${id}" is ${container.record.state}, not created`);
    container.record = { ...container.record, state: "running", startedAt: this.#clock.now() };
    this.#publish("started", id, this.#sandboxes.get(container.record.sandboxId));
    this.#log(container);
    const { exitCode, afterMs } = container.program;
    if (exitCode === undefined) return;
    void this.#clock.sleep(afterMs ?? 0, container.end.signal).then(() => this.#end(container, exitCode));
  }

  async #stopContainer(id: string, timeoutSeconds: number): Promise<void> {
    const container = this.#containers.get(id);
    if (!container || !isRunning(container)) return;
    await this.#step("stopContainer");
    if (container.program.ignoresStop) await this.#clock.sleep(timeoutSeconds * 1000, container.end.signal);
    this.#end(container, container.program.ignoresStop || timeoutSeconds === 0 ? 137 : 143);
  }

  async #exec(id: string, command: readonly string[], streams: StreamOptions): Promise<number> {
    const container = this.#running(id);
    if (!this.#options.exec && interpret(command).echoesStdin) {
      await echo(streams);
      return 0;
    }
    const { exitCode, output } = this.#execResult(container, command);
    streams.stdout?.write(output);
    return exitCode;
  }

  #execResult(container: FakeContainer, command: readonly string[]): { exitCode: number; output: string } {
    if (this.#options.exec) return this.#options.exec(container.record, command);
    const { exitCode = 0, output } = interpret(command);
    return { exitCode, output };
  }

  #end(container: FakeContainer, exitCode: number, reason = exitCode === 0 ? "Completed" : "Error"): void {
    if (!isRunning(container)) return;
    container.record = { ...container.record, state: "exited", exitCode, reason, finishedAt: this.#clock.now() };
    container.end.abort();
    this.#publish("stopped", container.record.id, this.#sandboxes.get(container.record.sandboxId));
  }

  #removeContainer(container: FakeContainer): void {
    this.#end(container, 137);
    this.#containers.delete(container.record.id);
    this.#publish("deleted", container.record.id, this.#sandboxes.get(container.record.sandboxId));
  }

  #stopSandbox(sandbox: FakeSandbox): void {
    for (const container of this.#inSandbox(sandbox.record.id)) this.#end(container, 137);
    if (sandbox.record.state === "notready") return;
    sandbox.record = { ...sandbox.record, state: "notready", ips: [] };
    this.#publish("stopped", sandbox.record.id, sandbox);
  }

  #inSandbox(sandboxId: string): FakeContainer[] {
    return [...this.#containers.values()].filter((container) => container.record.sandboxId === sandboxId);
  }

  #container(id: string): FakeContainer {
    const container = this.#containers.get(id);
    if (!container) throw new RuntimeError("NotFound", `container "${id}" not found`);
    return container;
  }

  #running(id: string): FakeContainer {
    const container = this.#container(id);
    if (!isRunning(container)) throw new RuntimeError("NotFound", `container "${id}" is not running`);
    return container;
  }

  #stats(container: FakeContainer): ContainerStats {
    const ranMs = this.#clock.now() - (container.record.startedAt ?? 0);
    return { id: container.record.id, timestampMs: this.#clock.now(), cpuNanoseconds: ranMs * 1000, memoryUsageBytes: 1 << 20, memoryWorkingSetBytes: 1 << 20, memoryRssBytes: 1 << 20, writableLayerBytes: 4096, writableLayerInodes: 1 };
  }

  #log({ record, program }: FakeContainer): void {
    if (!this.#options.writeLogs) return;
    mkdirSync(dirname(record.logPath), { recursive: true });
    const lines = program.output.split("\n").slice(0, -1);
    const entries = lines.map((line) => formatLogEntry({ timestamp: nanoTimestamp(this.#clock.now()), stream: "stdout", partial: false, content: Buffer.from(line) }));
    appendFileSync(record.logPath, Buffer.concat(entries));
  }

  #publish(type: RuntimeEvent["type"], id: string, sandbox: FakeSandbox | undefined): void {
    this.#events.publish({ type, id, sandboxId: sandbox?.record.id ?? id, podUid: sandbox?.record.uid ?? "" });
  }

  async #step(operation: FakeOperation): Promise<void> {
    const latencyMs = this.#options.latencyMs?.[operation] ?? 0;
    if (latencyMs > 0) await this.#clock.sleep(latencyMs);
    const failure = this.#failures.get(operation)?.shift();
    if (failure) throw failure;
  }

  #id(): string {
    return (++this.#counter).toString(16).padStart(64, "0");
  }

  #nextIp(): string {
    const n = ++this.#counter;
    return `${this.#options.ipPrefix ?? "10.88"}.${(n >> 8) & 255}.${n & 255}`;
  }
}

function isRunning(container: FakeContainer): boolean {
  return container.record.state === "running";
}

async function echo(streams: StreamOptions): Promise<void> {
  if (!streams.stdin) return;
  for await (const chunk of streams.stdin) streams.stdout?.write(chunk);
}
