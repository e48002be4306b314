// The cgroup tree the pods of a node live in: where each pod goes, and what its limits are called. Pure.
// `cgroupfs.ts` makes it real.
import type { Pod } from "../../api/types.ts";
import type { LinuxResources } from "../runtime/runtime.ts";
import type { CgroupFigures, PodCgroupFigures } from "./cgroupfigures.ts";
import { qosClass } from "./qos.ts";
import { CPU_PERIOD_US, cpuShares as cpuSharesOf } from "./resources.ts";

/** Pod-level cgroups. All calls are idempotent; removal succeeds on absence. */
export interface Cgroups {
  readonly version: 1 | 2;
  /** Sizes of large pages that can be limited, as the kernel names them (`2MB`). */
  readonly hugepageSizes?: readonly string[];
  /** What the runtime is told as the parent of the pod's containers. */
  parentOf(pod: Pod): string;
  /** Makes the pod's cgroup with its limits, or brings the limits up to date. */
  ensure(pod: Pod): Promise<void>;
  /** Changes the limits of a pod that runs: "grow" only raises them, "settle" sets them as they shall be. */
  resize(pod: Pod, step: "grow" | "settle"): Promise<void>;
  remove(uid: string): Promise<void>;
  /** How often the pod was refused a process since its containers started, because it has as many as one pod may have. */
  refusedForks(pod: Pod): Promise<number>;
  /** What the kernel counts of the pod. */
  figures(pod: Pod): Promise<PodCgroupFigures>;
  /** What it counts of all pods together. */
  allFigures(): Promise<CgroupFigures>;
  /** Removes what is left of pods nobody wants, ending what still runs there, as upstream does; asks anew for each. */
  removeStale(isWanted: (uid: string) => boolean): Promise<void>;
}

export type CgroupDriver = "cgroupfs" | "systemd";

/** A node of the tree as the path of its names: `["kubepods", "burstable", "pod<uid>"]`. */
export type CgroupName = readonly string[];

/** Where a pod's containers live. Guaranteed pods stand directly below the root, as upstream has it. */
export function cgroupName(pod: Pod): CgroupName {
  const qos = qosClass(pod).toLowerCase();
  const own = `pod${pod.metadata.uid}`;
  return qos === "guaranteed" ? ["kubepods", own] : ["kubepods", qos, own];
}

/** Whose cgroup this directory is; undefined when it is no pod's. systemd's names have no dashes of a uid. */
export function uidOfDirectory(name: string, driver: CgroupDriver): string | undefined {
  const pattern = driver === "cgroupfs" ? /^pod(.+)$/ : /^kubepods(?:-burstable|-besteffort)?-pod([^-]+)\.slice$/;
  return pattern.exec(name)?.[1]?.replaceAll("_", driver === "systemd" ? "-" : "_");
}

/** The places a pod of this uid may be in, for removal without its spec. */
export function possibleNames(uid: string): CgroupName[] {
  return [["kubepods", `pod${uid}`], ["kubepods", "burstable", `pod${uid}`], ["kubepods", "besteffort", `pod${uid}`]];
}

/** The path below a cgroup mount. systemd repeats all parents in every name, and dashes in a name would be parents. */
export function cgroupPath(name: CgroupName, driver: CgroupDriver, root = ""): string {
  if (driver === "cgroupfs") return `${root}/${name.join("/")}`;
  const escaped = name.map((part) => part.replaceAll("-", "_"));
  return `${root}/${escaped.map((_, i) => `${escaped.slice(0, i + 1).join("-")}.slice`).join("/")}`;
}

/** What the runtime wants as cgroup parent: a path, or a slice's name. */
export function cgroupParent(name: CgroupName, driver: CgroupDriver, root = ""): string {
  const path = cgroupPath(name, driver, root);
  return driver === "cgroupfs" ? path : (path.split("/").at(-1) as string);
}

/** Files to write for these limits, by controller. A limit that is not set is lifted. */
export function limitFiles(resources: LinuxResources, version: 1 | 2): { controller: string; file: string; value: string }[] {
  const { cpuShares = 2, cpuQuotaUs, cpuPeriodUs = CPU_PERIOD_US, memoryLimitBytes } = resources;
  const hugepages = Object.entries(resources.hugepageLimits ?? {}).flatMap(([size, bytes]) => hugepageFiles(size, bytes, version));
  if (version === 1) {
    return [
      { controller: "cpu", file: "cpu.shares", value: String(cpuShares) },
      { controller: "cpu", file: "cpu.cfs_period_us", value: String(cpuPeriodUs) },
      { controller: "cpu", file: "cpu.cfs_quota_us", value: String(cpuQuotaUs ?? -1) },
      { controller: "memory", file: "memory.limit_in_bytes", value: String(memoryLimitBytes ?? -1) },
      ...hugepages,
    ];
  }
  return [
    { controller: "cpu", file: "cpu.weight", value: String(cpuWeight(cpuShares)) },
    { controller: "cpu", file: "cpu.max", value: `${cpuQuotaUs ?? "max"} ${cpuPeriodUs}` },
    { controller: "memory", file: "memory.max", value: String(memoryLimitBytes ?? "max") },
    ...hugepages,
  ];
}

/** Pages in use, and pages promised: a program that maps what it may not have is refused at once instead of killed later. */
function hugepageFiles(size: string, bytes: number, version: 1 | 2): { controller: string; file: string; value: string }[] {
  const limit = version === 1 ? "limit_in_bytes" : "max";
  return ["", "rsvd."].map((kind) => ({ controller: "hugetlb", file: `hugetlb.${size}.${kind}${limit}`, value: String(bytes) }));
}

/** How many processes and threads may be below a cgroup. */
export function pidsFile(limit: number): { controller: string; file: string; value: string } {
  return { controller: "pids", file: "pids.max", value: String(limit) };
}

/** What all pods together may use of the machine, so that the rest of it goes on whatever they do. */
export interface AllPods {
  readonly cpuMilli: number;
  readonly memoryBytes: number | undefined;
  readonly pids: number | undefined;
}

/** Files to write for the root of all pods. */
export function allPodsFiles({ cpuMilli, memoryBytes, pids }: AllPods, version: 1 | 2): { controller: string; file: string; value: string }[] {
  const [shares] = limitFiles({ cpuShares: cpuSharesOf(cpuMilli) }, version);
  return [
    ...(shares ? [shares] : []),
    ...(memoryBytes === undefined ? [] : [{ controller: "memory", file: version === 1 ? "memory.limit_in_bytes" : "memory.max", value: String(memoryBytes) }]),
    ...(pids === undefined ? [] : [pidsFile(pids)]),
  ];
}

/** cgroup v1 shares (2..262144) on v2's scale of weights (1..10000). */
export function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}
