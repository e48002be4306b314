// The container runtime as the kubelet needs it, in CRI's words: sandboxes, containers, images, streams.
// Implementations: `containerd/` (CRI over gRPC), `docker/` (Engine API), `fake.ts`; all pass `runtime.suite.ts`.
import type { Duplex, Readable, Writable } from "node:stream";

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly recursiveReadOnly?: boolean;
  readonly propagation: "private" | "hostToContainer" | "bidirectional";
  /** For image volumes: the image to mount instead of a host path. */
  readonly image?: string;
  readonly imageSubPath?: string;
}

export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIP: string;
}

export interface NamespaceOptions {
  readonly network: "pod" | "node";
  readonly pid: "pod" | "container" | "node" | { readonly targetContainerId: string };
  readonly ipc: "pod" | "node";
  /** A user namespace of the pod's own, when set. */
  readonly user?: { readonly hostId: number; readonly length: number };
}

export interface SecurityProfile {
  readonly type: "RuntimeDefault" | "Unconfined" | "Localhost";
  /** Absolute path (seccomp) or loaded profile name (AppArmor) for Localhost. */
  readonly localhostRef?: string;
}

export interface SandboxConfig {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
  readonly hostname: string;
  readonly logDirectory: string;
  readonly dns: { readonly servers: readonly string[]; readonly searches: readonly string[]; readonly options: readonly string[] };
  readonly portMappings: readonly PortMapping[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Path below the cgroup mount, or a systemd slice name, that all containers of the pod live under. */
  readonly cgroupParent: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly namespaces: NamespaceOptions;
  readonly privileged: boolean;
  readonly seccomp?: SecurityProfile;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly supplementalGroups?: readonly number[];
  readonly runtimeHandler: string;
}

export interface LinuxResources {
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  readonly memoryLimitBytes?: number;
  readonly oomScoreAdj?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly hugepageLimits?: Readonly<Record<string, number>>;
  /** Raw cgroup v2 keys, such as `memory.high`. */
  readonly unified?: Readonly<Record<string, string>>;
}

export interface ContainerConfig {
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  /** Empty: the image's own ENTRYPOINT / CMD. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly devices: readonly { readonly hostPath: string; readonly containerPath: string; readonly permissions: string }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** File name below the sandbox's log directory, written in CRI log format by either runtime. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly stopSignal?: string;
  readonly resources: LinuxResources;
  readonly security: {
    readonly privileged: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly noNewPrivileges: boolean;
    readonly addCapabilities: readonly string[];
    readonly dropCapabilities: readonly string[];
    readonly runAsUser?: number;
    readonly runAsUsername?: string;
    readonly runAsGroup?: number;
    readonly supplementalGroups: readonly number[];
    readonly supplementalGroupsPolicy?: "Merge" | "Strict";
    readonly seccomp?: SecurityProfile;
    readonly apparmor?: SecurityProfile;
    readonly maskedPaths?: readonly string[];
    readonly readonlyPaths?: readonly string[];
    readonly namespaces: NamespaceOptions;
  };
}

/** Times are milliseconds since the epoch. */
export interface Sandbox {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
  readonly state: "ready" | "notready";
  readonly createdAt: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Empty for host-network pods and sandboxes whose network is gone. First is the primary address. */
  readonly ips: readonly string[];
}

export interface ContainerRecord {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly attempt: number;
  readonly state: "created" | "running" | "exited" | "unknown";
  readonly image: string;
  /** Digest form, as `containerStatuses[].imageID` shows it. */
  readonly imageId: string;
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  readonly exitCode?: number;
  /** `OOMKilled`, `Completed`, `Error`, or the runtime's own word. */
  readonly reason?: string;
  readonly message?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly logPath: string;
  /** uid, gid and groups of the first process, where the runtime tells. */
  readonly user?: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] };
}

export interface ImageRecord {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  /** Numeric user or name the image runs as; empty when it says none. */
  readonly user: string;
  readonly pinned: boolean;
}

export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

/** Figures of one running container; counters are totals since its start. */
export interface ContainerStats {
  readonly id: string;
  readonly timestampMs: number;
  readonly cpuNanoseconds: number;
  readonly memoryUsageBytes: number;
  readonly memoryWorkingSetBytes: number;
  readonly memoryRssBytes: number;
  readonly writableLayerBytes: number;
  readonly writableLayerInodes: number;
}

export interface LayerUsage {
  readonly bytes: number;
  /** 0 where the runtime does not count them. */
  readonly inodes: number;
}

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** The streams of an exec or attach; whichever are absent are not connected. */
export interface StreamOptions {
  readonly stdin?: Readable | undefined;
  readonly stdout?: Writable | undefined;
  readonly stderr?: Writable | undefined;
  readonly tty: boolean;
  readonly resize?: AsyncIterable<TerminalSize> | undefined;
  readonly signal: AbortSignal;
}

/** Something happened to a sandbox or container; a hint to look, never the truth itself. What the reader's own process creates need not be told. */
export interface RuntimeEvent {
  readonly type: "created" | "started" | "stopped" | "deleted";
  readonly id: string;
  readonly sandboxId: string;
  readonly podUid: string;
}

/** A runtime failure the kubelet must tell apart; `reason` is the word upstream puts in the waiting state. */
export class RuntimeError extends Error {
  override readonly name = "RuntimeError";
  constructor(readonly reason: "ErrImagePull" | "InvalidImageName" | "ImageNotFound" | "RegistryUnavailable" | "NotFound" | "CreateContainerError" | "RunContainerError" | "CreatePodSandboxError" | "Unavailable" | "Timeout", message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** Sandboxes and containers. Stops and removals succeed on absence; every call rejects with RuntimeError. */
export interface PodRuntime {
  runSandbox(config: SandboxConfig): Promise<string>;
  stopSandbox(id: string): Promise<void>;
  removeSandbox(id: string): Promise<void>;
  /** Cheap: names, states and ids of all sandboxes; `ips` may be missing. */
  listSandboxes(): Promise<Sandbox[]>;
  /** Everything about one, its addresses included; undefined when it does not exist. */
  sandboxStatus(id: string): Promise<Sandbox | undefined>;
  createContainer(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** Sends the stop signal, then SIGKILL after `timeoutSeconds`; resolves once the process is gone. */
  stopContainer(id: string, timeoutSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  /** Cheap: names, states and ids of all containers; `exitCode` and times may be missing. */
  listContainers(): Promise<ContainerRecord[]>;
  /** Everything about one; undefined when it does not exist. */
  containerStatus(id: string): Promise<ContainerRecord | undefined>;
  updateResources(id: string, resources: LinuxResources): Promise<void>;
  /** Makes the runtime open its log file anew after rotation. */
  reopenLog(id: string): Promise<void>;
  stats(): Promise<ContainerStats[]>;
  /** What these containers have written over their images, by id. Where the runtime has to walk the files for that, it does. */
  writableLayers(ids: readonly string[]): Promise<ReadonlyMap<string, LayerUsage>>;
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>;
}

/** A mount that shows an image's files, read only. */
export interface ImageFiles {
  readonly type: "bind" | "overlay" | "native";
  readonly source: string;
  readonly options: readonly string[];
}

/** Images. References are as the user wrote them; implementations normalise. */
export interface ImageService {
  pull(reference: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<string>;
  /** undefined when not present. */
  status(reference: string): Promise<ImageRecord | undefined>;
  list(): Promise<ImageRecord[]>;
  remove(id: string): Promise<void>;
  /** Imports a `docker save` or OCI layout tar; how the sandbox image and air-gapped images get in. */
  load(tarPath: string): Promise<void>;
  usage(): Promise<{ readonly usedBytes: number; readonly inodesUsed: number; readonly path: string }>;
  /** Makes the files of a present image mountable on this machine until `releaseFiles` of the same key; undefined where the runtime mounts images into containers itself. */
  files(id: string, key: string): Promise<ImageFiles | undefined>;
  releaseFiles(key: string): Promise<void>;
}

/** Live connections into containers. */
export interface Streaming {
  /** Resolves with the exit code. */
  exec(id: string, command: readonly string[], streams: StreamOptions): Promise<number>;
  /** Runs without streams, for probes and hooks: at most `maxBytes` of combined output is kept. */
  execSync(id: string, command: readonly string[], options: { readonly timeoutMs: number; readonly maxBytes: number }): Promise<{ exitCode: number; output: string }>;
  attach(id: string, streams: StreamOptions): Promise<void>;
  /** A byte stream to `port` on the pod's loopback. */
  portForward(sandboxId: string, port: number): Promise<Duplex>;
}

/** One container runtime. */
export interface Runtime {
  readonly name: "containerd" | "docker" | "cri-o" | "fake";
  readonly pods: PodRuntime;
  readonly images: ImageService;
  readonly streaming: Streaming;
  /** Version as nodeInfo shows it (`containerd://1.7.2`) and whether runtime and network are ready, with the reason when not. */
  status(): Promise<{ readonly version: string; readonly runtimeReady: boolean; readonly networkReady: boolean; readonly message: string; readonly cgroupDriver: "cgroupfs" | "systemd"; readonly supplementalGroupsPolicy?: boolean; /** Where it looks for its network plugins; undefined where it starts none. */ readonly cni?: { readonly binDir: string; readonly confDir: string }; readonly handlers: readonly { readonly name: string; readonly recursiveReadOnlyMounts: boolean; readonly userNamespaces: boolean }[] }>;
  close(): Promise<void>;
}
