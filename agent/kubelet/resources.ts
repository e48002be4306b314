// Requests and limits in the kernel's units: cpu shares and quota, memory, OOM scores. Pure.
import type { Container, Pod } from "../../api/types.ts";
import type { LinuxResources } from "../runtime/runtime.ts";
import { isSidecar } from "./observed.ts";
import { amount, milliCpu, podLimit, podRequest, qosClass, requestOf } from "./qos.ts";

const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const MIN_QUOTA_US = 1_000;
export const CPU_PERIOD_US = 100_000;

/** Facts of the machine that limits depend on. */
export interface Machine {
  readonly memoryBytes: number;
  /** The lowest oom_score_adj this process may give to others; -1000 where it may do anything. */
  readonly oomFloor: number;
  readonly cgroupVersion: 1 | 2;
  /** False where cpu limits are not enforced. */
  readonly limitsCpu?: boolean;
  /** Sizes of large pages that can be limited, as the kernel names them. */
  readonly hugepageSizes?: readonly string[];
}

/** Thousandths of a core as cgroup cpu shares. */
export function cpuShares(milli: number): number {
  return milli === 0 ? MIN_SHARES : Math.min(MAX_SHARES, Math.max(MIN_SHARES, Math.floor((milli * 1024) / 1000)));
}

/** Thousandths of a core as microseconds per period; undefined for no limit. */
export function cpuQuota(milli: number): number | undefined {
  return milli === 0 ? undefined : Math.max(MIN_QUOTA_US, Math.floor((milli * CPU_PERIOD_US) / 1000));
}

/** What a container gets, pod-level limits filling in for its own. */
export function containerResources(pod: Pod, container: Container, machine: Machine): LinuxResources {
  const limits = { ...pod.spec?.resources?.limits, ...container.resources?.limits };
  const quota = machine.limitsCpu === false ? undefined : cpuQuota(milliCpu(limits));
  const memory = amount(limits, "memory");
  const hugepages = Object.keys(limits).filter((name) => name.startsWith("hugepages-")).map((name) => [kernelSize(name), amount(limits, name)] as const);
  const hugepageLimits = { ...noHugepages(machine.hugepageSizes), ...Object.fromEntries(hugepages) };
  return {
    cpuShares: cpuShares(requestOf(container, "cpu")),
    cpuPeriodUs: CPU_PERIOD_US,
    ...(quota !== undefined && { cpuQuotaUs: quota }),
    ...(memory > 0 && { memoryLimitBytes: memory }),
    oomScoreAdj: oomScoreAdj(pod, container, machine),
    ...(Object.keys(hugepageLimits).length > 0 && { hugepageLimits }),
    ...(machine.cgroupVersion === 2 && { unified: { "memory.oom.group": "1" } }),
  };
}

/** The limits of the pod's own cgroup. */
export function podResources(pod: Pod): LinuxResources {
  const limit = podLimit(pod, "cpu");
  const quota = limit === undefined ? undefined : cpuQuota(limit);
  const memory = podLimit(pod, "memory");
  const isBestEffort = qosClass(pod) === "BestEffort";
  const hugepages = podHugepages(pod);
  return {
    cpuShares: isBestEffort ? MIN_SHARES : cpuShares(podRequest(pod, "cpu")),
    ...(quota !== undefined && !isBestEffort && { cpuQuotaUs: quota, cpuPeriodUs: CPU_PERIOD_US }),
    ...(memory !== undefined && memory > 0 && !isBestEffort && { memoryLimitBytes: memory }),
    ...(Object.keys(hugepages).length > 0 && { hugepageLimits: hugepages }),
  };
}

/** Bytes by the kernel's name of the page size; none of a size that no container asks for. */
function podHugepages(pod: Pod): Record<string, number> {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const names = new Set([pod.spec?.resources?.limits, ...containers.map(({ resources }) => resources?.limits)].flatMap((limits) => Object.keys(limits ?? {})).filter((name) => name.startsWith("hugepages-")));
  return Object.fromEntries([...names].map((name) => [kernelSize(name), podRequest(pod, name)]));
}

/** Who asks for no large pages gets none, whatever is left of those that others asked for. */
export function noHugepages(sizes: readonly string[] = []): Record<string, number> {
  return Object.fromEntries(sizes.map((size) => [size, 0]));
}

/** `hugepages-2Mi` as the kernel and the runtime name its size: `2MB`. */
function kernelSize(name: string): string {
  return name.slice("hugepages-".length).replace(/i$/, "B");
}

/** Who dies first when memory runs out: best effort, then those far over their request; guaranteed last. */
export function oomScoreAdj(pod: Pod, container: Container, machine: Machine): number {
  return Math.max(machine.oomFloor, wantedOomScore(pod, container, machine));
}

function wantedOomScore(pod: Pod, container: Container, machine: Machine): number {
  if ((pod.spec?.priority ?? 0) >= 2_000_000_000) return -997;
  const qos = qosClass(pod);
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  // A sidecar must not die before the container it serves, so it scores like the most protected of them.
  const own = requestOf(container, "memory");
  const isInitSidecar = isSidecar(container) && (pod.spec?.initContainers?.includes(container) ?? false);
  const request = isInitSidecar ? Math.max(own, Math.min(...(pod.spec?.containers ?? []).map((c) => requestOf(c, "memory")))) : own;
  const score = 1000 - Math.floor((1000 * request) / machine.memoryBytes);
  return Math.min(999, Math.max(3, score));
}
