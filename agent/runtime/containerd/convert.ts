// Pure translation between the kubelet's words and CRI messages.
// Calls and their errors are elsewhere.
import type { ContainerConfig, ContainerRecord, ContainerStats, ImageRecord, LinuxResources, Mount, NamespaceOptions, Sandbox, SandboxConfig, SecurityProfile } from "../runtime.ts";
import type { WireContainer, WireContainerState, WireContainerStats, WireContainerStatus, WireImage, WireSandbox, WireSandboxStatus } from "./messages.ts";
import { criSignal } from "./signals.ts";

const NANOS_PER_MS = 1e6;

/** CRI's PodSandboxConfig. */
export function toSandboxConfig(config: SandboxConfig): object {
  const { name, namespace, uid, attempt, logDirectory, dns, labels, annotations, cgroupParent, sysctls } = config;
  return {
    metadata: { name, namespace, uid, attempt },
    logDirectory, labels, annotations,
    // The host's network comes with the host's UTS namespace, whose name is not ours to set.
    hostname: config.namespaces.network === "node" ? "" : config.hostname,
    dnsConfig: dns,
    portMappings: config.portMappings.map(({ protocol, containerPort, hostPort, hostIP }) => ({ protocol, containerPort, hostPort, hostIp: hostIP })),
    linux: {
      cgroupParent, sysctls,
      securityContext: {
        namespaceOptions: toNamespaces(config.namespaces),
        privileged: config.privileged,
        ...(config.runAsUser !== undefined && { runAsUser: { value: config.runAsUser } }),
        ...(config.runAsGroup !== undefined && { runAsGroup: { value: config.runAsGroup } }),
        supplementalGroups: config.supplementalGroups ?? [],
        ...(config.seccomp && { seccomp: toProfile(config.seccomp) }),
      },
    },
  };
}

/** CRI's ContainerConfig. */
export function toContainerConfig(config: ContainerConfig): object {
  const { name, attempt, image, command, args, workingDir, devices, labels, annotations, logPath, stdin, stdinOnce, tty } = config;
  return {
    metadata: { name, attempt },
    image: { image, userSpecifiedImage: image },
    command, args, workingDir, devices, labels, annotations, logPath, stdin, stdinOnce, tty,
    envs: config.env.map(({ name, value }) => ({ key: name, value: Buffer.from(value) })),
    mounts: config.mounts.map((mount) => toMount(mount, config.security.namespaces)),
    linux: { resources: toResources(config.resources), securityContext: toSecurity(config.security) },
    ...(config.stopSignal && { stopSignal: criSignal(config.stopSignal) }),
  };
}

/** CRI's LinuxContainerResources; fields that are absent stay as they are. */
export function toResources(resources: LinuxResources): object {
  return {
    ...(resources.cpuPeriodUs !== undefined && { cpuPeriod: resources.cpuPeriodUs }),
    ...(resources.cpuQuotaUs !== undefined && { cpuQuota: resources.cpuQuotaUs }),
    ...(resources.cpuShares !== undefined && { cpuShares: resources.cpuShares }),
    ...(resources.memoryLimitBytes !== undefined && { memoryLimitInBytes: resources.memoryLimitBytes }),
    ...(resources.oomScoreAdj !== undefined && { oomScoreAdj: resources.oomScoreAdj }),
    ...(resources.cpusetCpus !== undefined && { cpusetCpus: resources.cpusetCpus }),
    ...(resources.cpusetMems !== undefined && { cpusetMems: resources.cpusetMems }),
    ...(resources.unified && { unified: resources.unified }),
    hugepageLimits: Object.entries(resources.hugepageLimits ?? {}).map(([pageSize, limit]) => ({ pageSize, limit })),
  };
}

function toSecurity(security: ContainerConfig["security"]): object {
  return {
    capabilities: { addCapabilities: security.addCapabilities, dropCapabilities: security.dropCapabilities },
    privileged: security.privileged,
    namespaceOptions: toNamespaces(security.namespaces),
    ...(security.runAsUser !== undefined && { runAsUser: { value: security.runAsUser } }),
    ...(security.runAsUsername !== undefined && { runAsUsername: security.runAsUsername }),
    ...(security.runAsGroup !== undefined && { runAsGroup: { value: security.runAsGroup } }),
    readonlyRootfs: security.readOnlyRootFilesystem,
    supplementalGroups: security.supplementalGroups,
    supplementalGroupsPolicy: security.supplementalGroupsPolicy ?? "Merge",
    noNewPrivs: security.noNewPrivileges,
    maskedPaths: security.maskedPaths ?? [],
    readonlyPaths: security.readonlyPaths ?? [],
    ...(security.seccomp && { seccomp: toProfile(security.seccomp) }),
    ...(security.apparmor && { apparmor: toProfile(security.apparmor) }),
  };
}

function toNamespaces({ network, pid, ipc, user }: NamespaceOptions): object {
  const userns = user && { mode: "POD", uids: idMapping(user), gids: idMapping(user) };
  return {
    network: network === "node" ? "NODE" : "POD",
    ipc: ipc === "node" ? "NODE" : "POD",
    ...(typeof pid === "object" ? { pid: "TARGET", targetId: pid.targetContainerId } : { pid: pid.toUpperCase() }),
    ...(userns && { usernsOptions: userns }),
  };
}

function idMapping({ hostId, length }: { hostId: number; length: number }): object[] {
  return [{ hostId, containerId: 0, length }];
}

function toProfile({ type, localhostRef }: SecurityProfile): object {
  return { profileType: type, localhostRef: localhostRef ?? "" };
}

const PROPAGATION = { private: "PROPAGATION_PRIVATE", hostToContainer: "PROPAGATION_HOST_TO_CONTAINER", bidirectional: "PROPAGATION_BIDIRECTIONAL" } as const;

function toMount(mount: Mount, { user }: NamespaceOptions): object {
  return {
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readonly: mount.readOnly,
    recursiveReadOnly: mount.recursiveReadOnly ?? false,
    propagation: PROPAGATION[mount.propagation],
    ...(user && { uidMappings: idMapping(user), gidMappings: idMapping(user) }),
    ...(mount.image && { image: { image: mount.image }, imageSubPath: mount.imageSubPath ?? "" }),
  };
}

/** From a list entry (without addresses) or a status. */
export function toSandbox(wire: WireSandbox | WireSandboxStatus): Sandbox {
  const { name = "", namespace = "", uid = "", attempt = 0 } = wire.metadata ?? {};
  const network = "network" in wire ? wire.network : null;
  const ips = network?.ip ? [network.ip, ...network.additionalIps.map(({ ip }) => ip)] : [];
  return { id: wire.id, name, namespace, uid, attempt, state: wire.state === "SANDBOX_READY" ? "ready" : "notready", createdAt: milliseconds(wire.createdAt), labels: wire.labels, annotations: wire.annotations, ips };
}

const STATES: Record<WireContainerState, ContainerRecord["state"]> = { CONTAINER_CREATED: "created", CONTAINER_RUNNING: "running", CONTAINER_EXITED: "exited", CONTAINER_UNKNOWN: "unknown" };

/** From a list entry: neither times nor exit code. */
export function toContainer(wire: WireContainer): ContainerRecord {
  return { ...containerBase(wire), sandboxId: wire.podSandboxId, logPath: "" };
}

/** From a status; `sandboxId` is not in it and is looked up by the caller. */
export function toContainerStatus(wire: WireContainerStatus, sandboxId: string): ContainerRecord {
  const user = wire.user?.linux;
  return {
    ...containerBase(wire),
    sandboxId,
    logPath: wire.logPath,
    ...(wire.startedAt > 0 && { startedAt: milliseconds(wire.startedAt) }),
    // A process may end before its start is recorded.
    ...(wire.finishedAt > 0 && { finishedAt: milliseconds(Math.max(wire.finishedAt, wire.startedAt)) }),
    ...(wire.state === "CONTAINER_EXITED" && { exitCode: wire.exitCode }),
    ...(wire.reason && { reason: wire.reason }),
    ...(wire.message && { message: wire.message }),
    ...(user && { user: { uid: user.uid, gid: user.gid, supplementalGroups: user.supplementalGroups } }),
  };
}

function containerBase(wire: WireContainer | WireContainerStatus): Omit<ContainerRecord, "sandboxId" | "logPath"> {
  const image = wire.image?.userSpecifiedImage || wire.image?.image || "";
  return { id: wire.id, name: wire.metadata?.name ?? "", attempt: wire.metadata?.attempt ?? 0, state: STATES[wire.state], image, imageId: wire.imageRef, createdAt: milliseconds(wire.createdAt), labels: wire.labels, annotations: wire.annotations };
}

/** An image. */
export function toImage(wire: WireImage): ImageRecord {
  const user = wire.uid ? String(wire.uid.value) : wire.username;
  return { id: wire.id, repoTags: wire.repoTags, repoDigests: wire.repoDigests, sizeBytes: wire.size, user, pinned: wire.pinned };
}

/** Stats; a container that just ended has none. */
export function toStats({ attributes, cpu, memory, writableLayer }: WireContainerStats): ContainerStats | undefined {
  if (!attributes || !cpu) return undefined;
  return {
    id: attributes.id,
    timestampMs: milliseconds(cpu.timestamp),
    cpuNanoseconds: cpu.usageCoreNanoSeconds?.value ?? 0,
    memoryUsageBytes: memory?.usageBytes?.value ?? 0,
    memoryWorkingSetBytes: memory?.workingSetBytes?.value ?? 0,
    memoryRssBytes: memory?.rssBytes?.value ?? 0,
    writableLayerBytes: writableLayer?.usedBytes?.value ?? 0,
    writableLayerInodes: writableLayer?.inodesUsed?.value ?? 0,
  };
}

function milliseconds(nanoseconds: number): number {
  return Math.floor(nanoseconds / NANOS_PER_MS);
}
