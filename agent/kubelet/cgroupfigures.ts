// What the kernel counts of a cgroup, read off its files when somebody asks; both versions in one shape.
// Where a pod's cgroups are is `cgroupfs.ts`'s.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** One cgroup with all below it. Totals are since it was made. */
export interface CgroupFigures {
  readonly processes: number;
  /** One of its own processes, none of those below; undefined when there is none. */
  readonly pid: number | undefined;
  readonly memory: { readonly limitBytes: number | undefined; /** What cannot be dropped at once. */ readonly workingSetBytes: number; readonly cacheBytes: number; readonly mappedFileBytes: number; readonly swapBytes: number; readonly pageFaults: number; readonly majorPageFaults: number; readonly failures: number };
  readonly cpu: { readonly shares: number; readonly quotaUs: number | undefined; readonly periodUs: number; readonly periods: number; readonly throttledPeriods: number; readonly throttledSeconds: number };
  /** Pressure stall information, where the kernel gives it. */
  readonly psi: Readonly<Partial<Record<"cpu" | "memory" | "io", Psi>>>;
}

/** A pod's cgroup, and its containers' (its sandbox's too) by the names the runtime gave them. */
export interface PodCgroupFigures {
  readonly own: CgroupFigures;
  readonly below: ReadonlyMap<string, CgroupFigures>;
}

/** Percentages of the last 10, 60 and 300 seconds, and all waiting so far in nanoseconds. */
export interface PsiLine {
  readonly total: number;
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

export interface Psi {
  readonly full: PsiLine;
  readonly some: PsiLine;
}

export interface CgroupLocation {
  readonly version: 1 | 2;
  /** The mounts of the controllers. */
  readonly mounts: ReadonlyMap<string, string>;
  readonly path: string;
}

/** Above this a version 1 limit means none. */
const NO_LIMIT = 2 ** 62;
const PSI_KINDS = ["cpu", "memory", "io"] as const;

/** The figures of one cgroup; of one that is gone all are zero. */
export async function readCgroup(location: CgroupLocation): Promise<CgroupFigures> {
  const read = (controller: string, file: string): Promise<string> => text(join(location.mounts.get(controller) ?? "", location.path, file));
  const isV1 = location.version === 1;
  const [usage, stat, limit, failures, cpu, quota, period, weight, running, pids] = await Promise.all([
    read("memory", isV1 ? "memory.usage_in_bytes" : "memory.current"), read("memory", "memory.stat"), read("memory", isV1 ? "memory.limit_in_bytes" : "memory.max"), isV1 ? read("memory", "memory.failcnt") : "0",
    read("cpu", "cpu.stat"), read("cpu", isV1 ? "cpu.cfs_quota_us" : "cpu.max"), isV1 ? read("cpu", "cpu.cfs_period_us") : "", isV1 ? read("cpu", "cpu.shares") : "", read("pids", "pids.current"), read("pids", "cgroup.procs"),
  ]);
  const memory = keyed(stat);
  const total = (name: string): number => memory.get(isV1 ? `total_${name}` : name) ?? 0;
  const throttling = keyed(cpu);
  const [quotaUs, periodUs] = isV1 ? [quota, period] : (quota.split(" ") as [string, string | undefined]);
  return {
    processes: Number(running) || 0,
    pid: Number(pids.split("\n")[0]) || undefined,
    memory: {
      limitBytes: limitOf(limit), workingSetBytes: Math.max(0, (Number(usage) || 0) - total("inactive_file")), cacheBytes: total(isV1 ? "cache" : "file"), mappedFileBytes: total(isV1 ? "mapped_file" : "file_mapped"), swapBytes: isV1 ? total("swap") : Number(await read("memory", "memory.swap.current")) || 0,
      pageFaults: total("pgfault"), majorPageFaults: total("pgmajfault"), failures: Number(failures) || 0,
    },
    cpu: {
      shares: Number(weight) || 0, quotaUs: limitOf(quotaUs ?? ""), periodUs: Number(periodUs) || 0,
      periods: throttling.get("nr_periods") ?? 0, throttledPeriods: throttling.get("nr_throttled") ?? 0,
      throttledSeconds: isV1 ? (throttling.get("throttled_time") ?? 0) / 1e9 : (throttling.get("throttled_usec") ?? 0) / 1e6,
    },
    psi: isV1 ? {} : await readPsi((kind) => read("memory", `${kind}.pressure`)),
  };
}

/** A pod's, and one level below. */
export async function readPodCgroup(location: CgroupLocation): Promise<PodCgroupFigures> {
  const entries = await readdir(join(location.mounts.get("memory") ?? "", location.path), { withFileTypes: true }).catch(() => []);
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const [own, ...below] = await Promise.all([readCgroup(location), ...names.map((name) => readCgroup({ ...location, path: join(location.path, name) }))]);
  return { own, below: new Map(names.map((name, i) => [name, below[i] as CgroupFigures])) };
}

/** The pressure of the whole machine or of a cgroup; `read` gives the text of one kind's file, empty where there is none. */
export async function readPsi(read: (kind: (typeof PSI_KINDS)[number]) => Promise<string>): Promise<CgroupFigures["psi"]> {
  const found = await Promise.all(PSI_KINDS.map(async (kind) => [kind, psiOf(await read(kind))] as const));
  return Object.fromEntries(found.filter(([, psi]) => psi !== undefined));
}

function psiOf(content: string): Psi | undefined {
  const line = (name: string): PsiLine | undefined => {
    const match = new RegExp(`^${name} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)$`, "m").exec(content);
    // The kernel counts microseconds.
    return match ? { total: Number(match[4]) * 1000, avg10: Number(match[1]), avg60: Number(match[2]), avg300: Number(match[3]) } : undefined;
  };
  const some = line("some");
  return some && { full: line("full") ?? { total: 0, avg10: 0, avg60: 0, avg300: 0 }, some };
}

function keyed(content: string): Map<string, number> {
  return new Map(content.split("\n").flatMap((line) => {
    const [key, value] = line.split(" ");
    return key && value ? [[key, Number(value)] as const] : [];
  }));
}

function limitOf(content: string): number | undefined {
  const value = Number(content);
  return content === "" || Number.isNaN(value) || value < 0 || value >= NO_LIMIT ? undefined : value;
}

function text(path: string): Promise<string> {
  return readFile(path, "utf8").then((content) => content.trim(), () => "");
}
