// The plugins that weigh resources: whether a pod fits, how full and how even it leaves a node.
// Amounts of node and pod are sums kept elsewhere; everything here is arithmetic on them.
import { MAX_NODE_SCORE, type ClusterEvent, type NodeSummary, type Plugin, type Status } from "../framework.ts";
import type { NodeState } from "../nodestate.ts";
import type { PodInfo } from "../podinfo.ts";
import { isOwnUpdate } from "./node.ts";

const FIT = "NodeResourcesFit";

/** How a node's fullness turns into a score. */
export interface FitArgs {
  readonly strategy: "LeastAllocated" | "MostAllocated" | "RequestedToCapacityRatio";
  readonly resources: readonly { readonly name: string; readonly weight: number }[];
  /** RequestedToCapacityRatio: score (0..10) at utilisation (0..100), in ascending order. */
  readonly shape?: readonly { readonly utilization: number; readonly score: number }[];
  readonly ignoredResources?: readonly string[];
  readonly ignoredResourceGroups?: readonly string[];
}

export const DEFAULT_FIT: FitArgs = { strategy: "LeastAllocated", resources: [{ name: "cpu", weight: 1 }, { name: "memory", weight: 1 }] };

/** Whether a resource stands for devices: then a node that does not offer it itself may still have some. */
type IsDevice = (resource: string) => boolean;
/** How many of those a node has, and how many of them are taken. */
type Totals = (resource: string, node: NodeState) => { readonly capacity: number; readonly taken: number };

/** Requests fit into what is left. */
export function nodeResourcesFit(args: FitArgs = DEFAULT_FIT, isDevice: IsDevice = () => false, totals?: Totals): Plugin {
  const ignored = new Set(args.ignoredResources);
  const countsDevices = ({ shape }: PodInfo): boolean => args.resources.some(({ name }) => isScalar(name) && amount(shape.requests, name) > 0 && isDevice(name));
  const ignoredGroups = new Set(args.ignoredResourceGroups);
  const isIgnored = (name: string): boolean => ignored.has(name) || (name.includes("/") && ignoredGroups.has(name.slice(0, name.indexOf("/"))));
  return {
    name: FIT,
    filterNode: (pod, node) => insufficient(pod, node, { isIgnored, isDevice }),
    nodeScore: { applies: (pod) => !countsDevices(pod), score: (pod, node) => allocationScore(pod, node, { args }) },
    // Devices come and go without a change of the node, so nothing is remembered about them.
    prepareScore: (pod) => (countsDevices(pod) ? { score: (node) => allocationScore(pod, node, { args, totals }) } : undefined),
    hint: { on: ["NodeAdd", "NodeUpdate", "AssignedPodDelete", "AssignedPodUpdate", "PodUpdate", "DeviceChange"], helps: (event, pod) => fitHint(event, pod, isDevice) },
  };
}

/** Prefers nodes where the pod leaves CPU and memory equally used. */
export function balancedAllocation(resources: readonly string[] = ["cpu", "memory"]): Plugin {
  return {
    name: "NodeResourcesBalancedAllocation",
    nodeScore: {
      applies: ({ shape }) => resources.some((name) => amount(shape.requests, name) > 0),
      score: (pod, node) => balanceScore(pod, node, resources),
    },
  };
}

function insufficient({ shape }: PodInfo, node: NodeState, { isIgnored, isDevice }: { isIgnored(name: string): boolean; isDevice: IsDevice }): Status | undefined {
  const { requests } = shape;
  const { allocatable } = node;
  let reasons: string[] | undefined;
  let isResolvable = true;
  const lacking = (reason: string, asked: number, capacity: number): void => {
    (reasons ??= []).push(reason);
    if (asked > capacity) isResolvable = false;
  };
  if (node.pods.size + 1 > node.allowedPods) lacking("Too many pods", 0, 0);
  if (requests.milliCpu > 0 && requests.milliCpu > allocatable.milliCpu - node.milliCpu) lacking("Insufficient cpu", requests.milliCpu, allocatable.milliCpu);
  if (requests.memory > 0 && requests.memory > allocatable.memory - node.memory) lacking("Insufficient memory", requests.memory, allocatable.memory);
  if (requests.ephemeralStorage > 0 && requests.ephemeralStorage > allocatable.ephemeralStorage - node.ephemeralStorage) {
    lacking("Insufficient ephemeral-storage", requests.ephemeralStorage, allocatable.ephemeralStorage);
  }
  for (const [name, asked] of requests.scalar ?? []) {
    if (asked === 0 || isIgnored(name)) continue;
    const capacity = allocatable.scalar?.get(name) ?? 0;
    if (capacity === 0 && isDevice(name)) continue;
    if (asked > capacity - (node.scalar.get(name) ?? 0)) lacking(`Insufficient ${name}`, asked, capacity);
  }
  if (!reasons) return undefined;
  return { code: isResolvable ? "Unschedulable" : "UnschedulableAndUnresolvable", reasons, plugin: FIT };
}

function allocationScore({ shape }: PodInfo, node: NodeState, { args, totals }: { readonly args: FitArgs; readonly totals?: Totals | undefined }): number {
  let total = 0;
  let weights = 0;
  for (const { name, weight } of args.resources) {
    let allocatable: number;
    let requested: number;
    if (name === "cpu") {
      allocatable = node.allocatable.milliCpu;
      requested = node.nonZeroMilliCpu + shape.nonZeroMilliCpu;
    } else if (name === "memory") {
      allocatable = node.allocatable.memory;
      requested = node.nonZeroMemory + shape.nonZeroMemory;
    } else {
      const asked = amount(shape.requests, name);
      if (asked === 0 && name !== "ephemeral-storage") continue;
      const own = amount(node.allocatable, name);
      const devices = own === 0 && isScalar(name) ? totals?.(name, node) : undefined;
      allocatable = devices?.capacity ?? own;
      requested = (devices?.taken ?? used(node, name)) + asked;
    }
    if (allocatable === 0) continue;
    const score = scoreOf(requested, allocatable, args);
    // Upstream leaves a zero of the ratio curve out of the average.
    if (args.strategy === "RequestedToCapacityRatio" && score <= 0) continue;
    total += score * weight;
    weights += weight;
  }
  if (weights === 0) return 0;
  return args.strategy === "RequestedToCapacityRatio" ? Math.round(total / weights) : Math.trunc(total / weights);
}

function scoreOf(requested: number, allocatable: number, { strategy, shape = [] }: FitArgs): number {
  if (strategy === "LeastAllocated") return requested > allocatable ? 0 : Math.trunc(((allocatable - requested) * MAX_NODE_SCORE) / allocatable);
  if (strategy === "MostAllocated") return Math.trunc((Math.min(requested, allocatable) * MAX_NODE_SCORE) / allocatable);
  return onCurve(shape, requested > allocatable ? 100 : Math.trunc((requested * 100) / allocatable));
}

/** A broken line through the shape's points; curve scores go to 10, node scores to 100. */
function onCurve(shape: NonNullable<FitArgs["shape"]>, utilization: number): number {
  const points = shape.map((p) => ({ at: p.utilization, score: p.score * (MAX_NODE_SCORE / 10) }));
  const next = points.findIndex((p) => utilization <= p.at);
  if (next < 0) return points.at(-1)?.score ?? 0;
  const [before, after] = [points[next - 1], points[next]];
  if (!before || !after) return after?.score ?? 0;
  return before.score + Math.trunc(((after.score - before.score) * (utilization - before.at)) / (after.at - before.at));
}

function balanceScore({ shape }: PodInfo, node: NodeState, resources: readonly string[]): number {
  const before: number[] = [];
  const after: number[] = [];
  for (const name of resources) {
    const asked = amount(shape.requests, name);
    const allocatable = amount(node.allocatable, name);
    if (allocatable === 0 || (asked === 0 && isScalar(name))) continue;
    before.push(Math.min(1, used(node, name) / allocatable));
    after.push(Math.min(1, (used(node, name) + asked) / allocatable));
  }
  return Math.trunc(MAX_NODE_SCORE / 2 + Math.trunc((MAX_NODE_SCORE / 2 + evenness(after) - evenness(before)) / 2));
}

function evenness(fractions: readonly number[]): number {
  let deviation = 0;
  if (fractions.length === 2) deviation = Math.abs(((fractions[0] as number) - (fractions[1] as number)) / 2);
  else if (fractions.length > 2) {
    const mean = fractions.reduce((a, b) => a + b, 0) / fractions.length;
    deviation = Math.sqrt(fractions.reduce((sum, f) => sum + (f - mean) ** 2, 0) / fractions.length);
  }
  return Math.trunc((1 - deviation) * MAX_NODE_SCORE);
}

function isScalar(name: string): boolean {
  return name !== "cpu" && name !== "memory" && name !== "ephemeral-storage";
}

function amount(of: PodInfo["shape"]["requests"], name: string): number {
  if (name === "cpu") return of.milliCpu;
  if (name === "memory") return of.memory;
  return name === "ephemeral-storage" ? of.ephemeralStorage : (of.scalar?.get(name) ?? 0);
}

function used(node: NodeState, name: string): number {
  if (name === "cpu") return node.milliCpu;
  if (name === "memory") return node.memory;
  return name === "ephemeral-storage" ? node.ephemeralStorage : (node.scalar.get(name) ?? 0);
}

/** Room appears with a node, with more allocatable, with a pod gone or shrunk. */
function fitHint(event: ClusterEvent, pod: PodInfo, isDevice: IsDevice): boolean {
  switch (event.type) {
    case "NodeAdd": return couldFit(pod, event.node, isDevice);
    case "NodeUpdate": return couldFit(pod, event.node, isDevice) && offersMore(event.node, event.old);
    case "AssignedPodDelete": return true;
    case "DeviceChange": return [...(pod.shape.requests.scalar ?? [])].some(([name]) => isDevice(name));
    case "AssignedPodUpdate": return event.pod.shape !== event.old.shape && (event.pod.shape.requests.milliCpu < event.old.shape.requests.milliCpu || event.pod.shape.requests.memory < event.old.shape.requests.memory);
    default: return isOwnUpdate(event, pod);
  }
}

function couldFit({ shape }: PodInfo, { allocatable }: NodeState, isDevice: IsDevice): boolean {
  const { requests } = shape;
  if (requests.milliCpu > allocatable.milliCpu || requests.memory > allocatable.memory || requests.ephemeralStorage > allocatable.ephemeralStorage) return false;
  for (const [name, asked] of requests.scalar ?? []) if (asked > (allocatable.scalar?.get(name) ?? 0) && !isDevice(name)) return false;
  return true;
}

function offersMore(node: NodeState, old: NodeSummary): boolean {
  if (node.allowedPods > old.allowedPods || node.allocatable.milliCpu > old.allocatable.milliCpu) return true;
  if (node.allocatable.memory > old.allocatable.memory || node.allocatable.ephemeralStorage > old.allocatable.ephemeralStorage) return true;
  for (const [name, now] of node.allocatable.scalar ?? []) if (now > (old.allocatable.scalar?.get(name) ?? 0)) return true;
  return false;
}
