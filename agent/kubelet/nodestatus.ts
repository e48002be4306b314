// The status of a node from the facts of its machine and runtime, in upstream's words. Pure.
// Reading the facts and sending the status is `node.ts`'s.
import { formatQuantity, quantityOf, parseQuantity } from "../../api/quantity.ts";
import type { Node, NodeCondition, NodeStatus } from "../../api/types.ts";
import { timestamp } from "../../lib/clock.ts";
import type { ImageRecord, Runtime } from "../runtime/runtime.ts";
import type { DiskFacts, MachineFacts } from "./machine.ts";

export interface NodeStatusInput {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly port: number;
  readonly version: string;
  readonly machine: MachineFacts;
  readonly disk: DiskFacts;
  readonly runtime: Awaited<ReturnType<Runtime["status"]>>;
  readonly images: readonly ImageRecord[];
  readonly pressure: Pressure;
  readonly maxPods: number;
  readonly reserved: Readonly<Record<string, string>>;
  /** What is kept free before pods are evicted. */
  readonly keptFree: { readonly memoryBytes: number; readonly diskBytes: number };
  readonly isShuttingDown?: boolean;
  /** -1 for all. */
  readonly maxImages?: number;
  readonly extendedResources?: Readonly<Record<string, string>>;
  readonly old: readonly NodeCondition[];
  readonly now: number;
}

export interface Pressure {
  readonly memory: boolean;
  readonly disk: boolean;
  readonly pid: boolean;
}

const MAX_IMAGES = 50;
/** What this node can do that not every node of a supported version can; the control plane asks before it relies on it. */
const DECLARED_FEATURES = ["ExtendWebSocketsToKubelet", "InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers", "RestartAllContainersOnContainerExits"];
const MAX_NAMES_PER_IMAGE = 5;

/** The whole status; conditions keep their transition times while they do not change. */
export function nodeStatus(input: NodeStatusInput): NodeStatus {
  const capacity = capacityOf(input);
  return {
    addresses: [{ type: "InternalIP", address: input.nodeIp }, { type: "Hostname", address: input.nodeName }],
    capacity,
    allocatable: allocatableOf(input, capacity),
    conditions: conditionsOf(input),
    daemonEndpoints: { kubeletEndpoint: { Port: input.port } },
    nodeInfo: nodeInfo(input),
    images: imagesOf(input.images, input.maxImages),
    runtimeHandlers: input.runtime.handlers.map(({ name, recursiveReadOnlyMounts, userNamespaces }) => ({ name, features: { recursiveReadOnlyMounts, userNamespaces } })),
    features: { supplementalGroupsPolicy: input.runtime.supplementalGroupsPolicy ?? false },
    declaredFeatures: [...DECLARED_FEATURES],
  };
}

/** Labels every node has. */
export function nodeLabels(nodeName: string, machine: MachineFacts, extra: Readonly<Record<string, string>>): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": machine.architecture,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": machine.architecture,
    "kubernetes.io/hostname": nodeName,
    "kubernetes.io/os": "linux",
    ...extra,
  };
}

/** The node as it registers itself. */
export function newNode(name: string, options: { labels: Record<string, string>; taints: NonNullable<Node["spec"]>["taints"]; status: NodeStatus; providerId?: string }): Node {
  return {
    apiVersion: "v1", kind: "Node",
    metadata: { name, labels: options.labels, annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true" } },
    spec: { ...(options.taints && options.taints.length > 0 && { taints: options.taints }), ...(options.providerId && { providerID: options.providerId }) },
    status: options.status,
  };
}

function capacityOf({ machine, disk, maxPods, extendedResources }: NodeStatusInput): Record<string, string> {
  return {
    cpu: String(machine.cores),
    "ephemeral-storage": kibibytes(disk.capacityBytes),
    ...Object.fromEntries(Object.entries(machine.hugepages).map(([name, bytes]) => [name, formatQuantity(quantityOf(bytes, "BinarySI"))])),
    memory: kibibytes(machine.memoryBytes),
    pods: String(maxPods),
    ...extendedResources,
  };
}

function allocatableOf({ machine, disk, reserved, keptFree }: NodeStatusInput, capacity: Record<string, string>): Record<string, string> {
  const left: Record<string, string> = { ...capacity, "ephemeral-storage": String(disk.capacityBytes - keptFree.diskBytes) };
  const hugepageBytes = Object.values(machine.hugepages).reduce((sum, bytes) => sum + bytes, 0);
  const memory = machine.memoryBytes - keptFree.memoryBytes - hugepageBytes;
  left["memory"] = kibibytes(Math.max(0, memory));
  for (const [name, amount] of Object.entries(reserved)) {
    const have = parseQuantity(left[name] ?? "0");
    const nano = have.nano - parseQuantity(amount).nano;
    left[name] = formatQuantity({ nano: nano > 0n ? nano : 0n, format: have.format });
  }
  return left;
}

const kibibytes = (bytes: number): string => `${Math.floor(bytes / 1024)}Ki`;

function conditionsOf({ pressure, runtime, old, now, isShuttingDown }: NodeStatusInput): NodeCondition[] {
  const problem = isShuttingDown ? "node is shutting down" : runtimeProblem(runtime);
  const verdicts: Omit<NodeCondition, "lastHeartbeatTime" | "lastTransitionTime">[] = [
    pressure.memory ? { type: "MemoryPressure", status: "True", reason: "KubeletHasInsufficientMemory", message: "kubelet has insufficient memory available" } : { type: "MemoryPressure", status: "False", reason: "KubeletHasSufficientMemory", message: "kubelet has sufficient memory available" },
    pressure.disk ? { type: "DiskPressure", status: "True", reason: "KubeletHasDiskPressure", message: "kubelet has disk pressure" } : { type: "DiskPressure", status: "False", reason: "KubeletHasNoDiskPressure", message: "kubelet has no disk pressure" },
    pressure.pid ? { type: "PIDPressure", status: "True", reason: "KubeletHasInsufficientPID", message: "kubelet has insufficient PID available" } : { type: "PIDPressure", status: "False", reason: "KubeletHasSufficientPID", message: "kubelet has sufficient PID available" },
    problem === undefined ? { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status" } : { type: "Ready", status: "False", reason: "KubeletNotReady", message: problem },
  ];
  return verdicts.map((verdict) => {
    const before = old.find((condition) => condition.type === verdict.type);
    return { ...verdict, lastHeartbeatTime: timestamp(now), lastTransitionTime: before?.status === verdict.status ? (before.lastTransitionTime ?? timestamp(now)) : timestamp(now) };
  });
}

function runtimeProblem({ runtimeReady, networkReady, message }: NodeStatusInput["runtime"]): string | undefined {
  if (!runtimeReady) return `[container runtime is down${message ? `: ${message}` : ""}]`;
  if (!networkReady) return `container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:${message}`;
  return undefined;
}

function nodeInfo({ machine, runtime, version }: NodeStatusInput): NonNullable<NodeStatus["nodeInfo"]> {
  return {
    machineID: machine.machineId,
    systemUUID: machine.systemUuid,
    bootID: machine.bootId,
    kernelVersion: machine.kernelVersion,
    osImage: machine.osImage,
    containerRuntimeVersion: runtime.version,
    kubeletVersion: version,
    kubeProxyVersion: "",
    operatingSystem: "linux",
    architecture: machine.architecture,
    ...(machine.swapBytes > 0 && { swap: { capacity: machine.swapBytes } }),
  };
}

/** The largest images, for the scheduler's image locality. */
function imagesOf(images: readonly ImageRecord[], max = MAX_IMAGES): NonNullable<NodeStatus["images"]> {
  // Runtimes list in no order, and another order would be a change to report.
  const ordered = images.map(({ repoDigests, repoTags, sizeBytes }) => ({ names: [...[...repoDigests].sort(), ...[...repoTags].sort()].slice(0, MAX_NAMES_PER_IMAGE), sizeBytes }));
  return ordered.sort((a, b) => b.sizeBytes - a.sizeBytes || ((a.names[0] ?? "") < (b.names[0] ?? "") ? -1 : 1)).slice(0, max < 0 ? Infinity : max);
}
