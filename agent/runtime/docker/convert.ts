// Pure translation between the kubelet's words and the Docker Engine's.
// Calls and files are elsewhere.
import type { ContainerCreateOptions, ContainerInfo, ContainerInspectInfo, HostConfig, MountSettings } from "dockerode";
import { RuntimeError, type ContainerConfig, type ContainerRecord, type LinuxResources, type Mount, type Sandbox, type SandboxConfig, type SecurityProfile } from "../runtime.ts";
import { JSON_LOG_FILES } from "./json-files.ts";
import { type ContainerLabel, containerLabels, type SandboxLabel, sandboxLabels } from "./record.ts";

/** What the machine allows and seccomp files say; found out by the caller. */
export interface ConvertFacts {
  /** The lowest oom_score_adj the kernel lets containers have. */
  readonly minOomScoreAdj: number;
  readonly readFile: (path: string) => string;
}

// Docker rotates its own file; ours is rotated by the kubelet.
const LOG_CONFIG = { Type: "json-file", Config: { "max-size": "10m", "max-file": String(JSON_LOG_FILES) } };
/** As the kubelet gives pause containers. */
const SANDBOX_OOM_SCORE = -998;
const SANDBOX_CPU_SHARES = 2;

/** The sandbox's container: the pause image, holding the pod's namespaces. */
export function sandboxOptions(config: SandboxConfig, image: string, facts: ConvertFacts): ContainerCreateOptions {
  const { network, pid, ipc } = config.namespaces;
  const hostNetwork = network === "node";
  return {
    name: `k8s_POD_${config.name}_${config.namespace}_${config.uid}_${config.attempt}`,
    Image: image,
    Labels: sandboxLabels(config),
    ...(!hostNetwork && config.hostname && { Hostname: config.hostname }),
    // The pod network is ours: an engine that looks after it starts itself twice more for every sandbox, only to find nothing to do.
    NetworkDisabled: !hostNetwork,
    ...(config.runAsUser !== undefined && { User: userOf(config.runAsUser, config.runAsGroup) }),
    HostConfig: {
      NetworkMode: hostNetwork ? "host" : "none",
      IpcMode: ipc === "node" ? "host" : "shareable",
      ...(pid === "node" && { PidMode: "host" }),
      ...(hostNetwork && { UTSMode: "host" }),
      ...(config.runtimeHandler && { Runtime: config.runtimeHandler }),
      CgroupParent: config.cgroupParent,
      CpuShares: SANDBOX_CPU_SHARES,
      OomScoreAdj: Math.max(SANDBOX_OOM_SCORE, facts.minOomScoreAdj),
      Privileged: config.privileged,
      Sysctls: { ...config.sysctls },
      GroupAdd: (config.supplementalGroups ?? []).map(String),
      SecurityOpt: ["no-new-privileges", ...seccomp(config.seccomp, facts)],
      LogConfig: { Type: "none", Config: {} },
    },
  };
}

/** An app container, joined to its sandbox's namespaces. */
export function containerOptions(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig, facts: ConvertFacts): ContainerCreateOptions {
  const { security } = config;
  return {
    name: `k8s_${config.name}_${sandbox.name}_${sandbox.namespace}_${sandbox.uid}_${config.attempt}`,
    Image: config.image,
    Labels: containerLabels(sandboxId, config, sandbox),
    ...(config.command.length > 0 && { Entrypoint: [...config.command] }),
    ...(config.args.length > 0 && { Cmd: [...config.args] }),
    Env: config.env.map(({ name, value }) => `${name}=${value}`),
    ...(config.workingDir && { WorkingDir: config.workingDir }),
    ...(security.runAsUser !== undefined ? { User: userOf(security.runAsUser, security.runAsGroup) } : security.runAsUsername && { User: security.runAsUsername }),
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    Tty: config.tty,
    ...(config.stopSignal && { StopSignal: config.stopSignal }),
    HostConfig: { ...isolation(sandboxId, config, sandbox, facts), ...resourceConfig(config.resources, facts), LogConfig: LOG_CONFIG },
  };
}

function isolation(sandboxId: string, config: ContainerConfig, sandbox: SandboxConfig, facts: ConvertFacts): HostConfig {
  const { security } = config;
  const { pid, network, ipc } = security.namespaces;
  const shared = `container:${sandboxId}`;
  return {
    NetworkMode: shared,
    IpcMode: ipc === "node" ? "host" : shared,
    ...(pid === "pod" && { PidMode: shared }),
    ...(pid === "node" && { PidMode: "host" }),
    ...(typeof pid === "object" && { PidMode: `container:${pid.targetContainerId}` }),
    ...(network === "node" && { UTSMode: "host" }),
    ...(sandbox.runtimeHandler && { Runtime: sandbox.runtimeHandler }),
    CgroupParent: sandbox.cgroupParent,
    Mounts: config.mounts.map(toMount),
    Devices: config.devices.map(({ hostPath, containerPath, permissions }) => ({ PathOnHost: hostPath, PathInContainer: containerPath, CgroupPermissions: permissions })),
    Privileged: security.privileged,
    ReadonlyRootfs: security.readOnlyRootFilesystem,
    CapAdd: [...security.addCapabilities],
    CapDrop: [...security.dropCapabilities],
    GroupAdd: security.supplementalGroups.map(String),
    SecurityOpt: [...(security.noNewPrivileges ? ["no-new-privileges"] : []), ...seccomp(security.seccomp, facts), ...apparmor(security.apparmor)],
    ...(security.maskedPaths && { MaskedPaths: [...security.maskedPaths] }),
    ...(security.readonlyPaths && { ReadonlyPaths: [...security.readonlyPaths] }),
  };
}

/** Fields for create and for update; what is absent stays as it is. */
export function resourceConfig(resources: LinuxResources, facts: Pick<ConvertFacts, "minOomScoreAdj">): HostConfig {
  return {
    ...(resources.cpuShares !== undefined && { CpuShares: resources.cpuShares }),
    ...(resources.cpuQuotaUs !== undefined && { CpuQuota: resources.cpuQuotaUs }),
    ...(resources.cpuPeriodUs !== undefined && { CpuPeriod: resources.cpuPeriodUs }),
    // The same limit for memory and swap together means no swap.
    ...(resources.memoryLimitBytes !== undefined && { Memory: resources.memoryLimitBytes, MemorySwap: resources.memoryLimitBytes || -1 }),
    ...(resources.oomScoreAdj !== undefined && { OomScoreAdj: Math.max(resources.oomScoreAdj, facts.minOomScoreAdj) }),
    ...(resources.cpusetCpus && { CpusetCpus: resources.cpusetCpus }),
    ...(resources.cpusetMems && { CpusetMems: resources.cpusetMems }),
  };
}

/** Private is the engine's own default, and only unsaid can it be something else where it must: for what holds the engine's own directory, such as `/`. */
const PROPAGATION = { private: undefined, hostToContainer: "rslave", bidirectional: "rshared" } as const;

/** The engine makes read-only mounts recursive by itself where it can, which Kubernetes promises nobody; older engines know neither word. */
function toMount({ hostPath, containerPath, readOnly, recursiveReadOnly, propagation }: Mount): MountSettings {
  const recursion = readOnly ? (recursiveReadOnly ? { ReadOnlyForceRecursive: true } : { ReadOnlyNonRecursive: true }) : {};
  return { Type: "bind", Source: hostPath, Target: containerPath, ReadOnly: readOnly, BindOptions: { ...(PROPAGATION[propagation] && { Propagation: PROPAGATION[propagation] }), ...recursion } as NonNullable<MountSettings["BindOptions"]> };
}

/** Kubernetes' default is Unconfined, Docker's its own profile. */
function seccomp(profile: SecurityProfile | undefined, { readFile }: ConvertFacts): string[] {
  if (profile?.type === "RuntimeDefault") return [];
  if (profile?.type === "Localhost" && profile.localhostRef) return [`seccomp=${readProfile(profile.localhostRef, readFile)}`];
  return ["seccomp=unconfined"];
}

function readProfile(path: string, readFile: ConvertFacts["readFile"]): string {
  try {
    return readFile(path);
  } catch (error) {
    throw new RuntimeError("CreateContainerError", `cannot load seccomp profile "${path}": ${(error as NodeJS.ErrnoException).code === "ENOENT" ? `open ${path}: no such file or directory` : (error as Error).message}`, { cause: error });
  }
}

function apparmor(profile: SecurityProfile | undefined): string[] {
  if (profile?.type === "Unconfined") return ["apparmor=unconfined"];
  return profile?.type === "Localhost" && profile.localhostRef ? [`apparmor=${profile.localhostRef}`] : [];
}

function userOf(user: number, group: number | undefined): string {
  return group === undefined ? String(user) : `${user}:${group}`;
}

/** From a list entry and the addresses kept for it. */
export function toSandbox(info: ContainerInfo, label: SandboxLabel, ips: readonly string[]): Sandbox {
  const isReady = info.State === "running";
  const { name, namespace, uid, attempt, labels, annotations } = label;
  return { id: info.Id, name, namespace, uid, attempt, labels, annotations, state: isReady ? "ready" : "notready", createdAt: info.Created * 1000, ips: isReady ? ips : [] };
}

/** From a list entry: neither times nor exit code. */
export function toContainer(info: ContainerInfo, label: ContainerLabel): ContainerRecord {
  const { name, attempt, sandboxId, image, labels, annotations, logPath } = label;
  return { id: info.Id, name, attempt, sandboxId, image, imageId: info.ImageID, labels, annotations, logPath, state: stateOf(info.State), createdAt: info.Created * 1000 };
}

/** From an inspection; `imageId` is the digest form of its image. */
export function toContainerStatus(info: ContainerInspectInfo, label: ContainerLabel, imageId: string): ContainerRecord {
  const { name, attempt, sandboxId, image, labels, annotations, logPath } = label;
  const createdAt = Date.parse(info.Created);
  // One that could not be started stays "created" to the engine, with the code that says so.
  const couldNotRun = info.State.Status === "created" && !info.State.Running && info.State.ExitCode !== 0;
  const state = info.State.Running ? "running" : couldNotRun ? "exited" : stateOf(info.State.Status);
  const startedAt = couldNotRun ? createdAt : Date.parse(info.State.StartedAt);
  const finishedAt = couldNotRun ? createdAt : Date.parse(info.State.FinishedAt);
  return {
    id: info.Id, name, attempt, sandboxId, image, imageId, labels, annotations, logPath, state,
    createdAt,
    ...(startedAt > 0 && { startedAt }),
    ...(state === "exited" && {
      finishedAt: Math.max(finishedAt, startedAt),
      exitCode: info.State.ExitCode,
      reason: couldNotRun ? "ContainerCannotRun" : info.State.OOMKilled ? "OOMKilled" : info.State.ExitCode === 0 ? "Completed" : "Error",
    }),
    ...(info.State.Error && { message: info.State.Error }),
  };
}

function stateOf(state: string): ContainerRecord["state"] {
  switch (state) {
    case "created": return "created";
    case "running":
    case "paused":
    case "restarting": return "running";
    case "exited":
    case "dead":
    case "removing": return "exited";
    default: return "unknown";
  }
}
