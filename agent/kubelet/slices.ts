// Where systemd owns the cgroup tree, its slices must know the limits: what is only written into files is undone when it reloads.
// What to say is decided here, purely; systemd's own tool for its bus says it, in one call a change and without a reload.
import { existsSync } from "node:fs";
import { run, type Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { CPU_PERIOD_US } from "./resources.ts";

const log = logger("slices");
const TIMEOUT_MS = 10_000;
const MANAGER = ["busctl", "call", "--quiet", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
const INFINITY = "18446744073709551615";
/** systemd keeps quotas in whole percents of a core. */
const QUOTA_STEP_US = 10_000;

interface LimitFile {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
}

/** A property as `busctl` takes it: name, signature, value. */
type Property = readonly [name: string, ...typedValue: string[]];

/** The properties of a slice that has these limits, whose files belong together. */
export function sliceProperties(files: readonly LimitFile[]): Property[] {
  const values = new Map(files.map(({ file, value }) => [file, value]));
  const period = Number(values.get("cpu.cfs_period_us") ?? CPU_PERIOD_US);
  return files.flatMap(({ file, value }): Property[] => {
    switch (file) {
      case "cpu.shares": return [["CPUShares", "t", value]];
      case "cpu.weight": return [["CPUWeight", "t", value]];
      case "cpu.cfs_quota_us": return quotaProperties(value, period);
      case "cpu.max": return quotaProperties(...(value.split(" ").map((word, i) => (i === 0 ? word : Number(word))) as [string, number]));
      case "memory.limit_in_bytes": return [["MemoryLimit", "t", bounded(value)]];
      case "memory.max": return [["MemoryMax", "t", bounded(value)]];
      case "pids.max": return [["TasksMax", "t", bounded(value)]];
      default: return [];
    }
  });
}

const bounded = (value: string): string => (value === "-1" || value === "max" ? INFINITY : value);

function quotaProperties(quota: string, periodUs: number): Property[] {
  const perSecond = bounded(quota) === INFINITY ? INFINITY : String(Math.ceil((Number(quota) * 1_000_000) / periodUs / QUOTA_STEP_US) * QUOTA_STEP_US);
  return [["CPUQuotaPeriodUSec", "t", String(periodUs)], ["CPUQuotaPerSecUSec", "t", perSecond]];
}

/** A quota no smaller than this one that systemd can keep; containers' own are rounded by the runtime in the same way. */
export function keepableQuota(quotaUs: number, periodUs: number): number {
  return (Math.ceil((quotaUs * 1_000_000) / periodUs / QUOTA_STEP_US) * QUOTA_STEP_US * periodUs) / 1_000_000;
}

/** Says what a new slice is: without its parents' names it would not start them, and with default dependencies a shutdown would end it before its pods had their time. */
export function startCall(slice: string, files: readonly LimitFile[]): string[] {
  const parent = /^(.+)-[^-]+\.slice$/.exec(slice)?.[1];
  const properties: Property[] = [
    ["Description", "s", `pods below ${slice}`],
    ...(parent === undefined ? [] : [["Wants", "as", "1", `${parent}.slice`] as const]),
    ...["CPUAccounting", "MemoryAccounting", "TasksAccounting"].map((name) => [name, "b", "true"] as const),
    ["DefaultDependencies", "b", "false"],
    ...sliceProperties(files),
  ];
  return [...MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", slice, "replace", String(properties.length), ...properties.flat(), "0"];
}

/** Says new limits of a slice that is there; they hold until the machine ends. */
export function changeCall(slice: string, files: readonly LimitFile[]): string[] {
  const properties = sliceProperties(files);
  return [...MANAGER, "SetUnitProperties", "sba(sv)", slice, "true", String(properties.length), ...properties.flat()];
}

/** Tells systemd, where it runs, and whether it took it; a slice it will not change keeps what its files say. */
export async function setSlice(exec: Exec, slice: string, { files, isKnown }: { files: readonly LimitFile[]; isKnown: boolean }): Promise<boolean> {
  if (!runsSystemd() || (isKnown && sliceProperties(files).length === 0)) return true;
  try {
    // One that an earlier agent made is there already.
    const isStarted = !isKnown && (await exec(startCall(slice, files), { timeoutMs: TIMEOUT_MS })).exitCode === 0;
    if (!isStarted && sliceProperties(files).length > 0) await run(exec, changeCall(slice, files), { timeoutMs: TIMEOUT_MS });
    return true;
  } catch (error) {
    log.warn({ err: error, slice }, "systemd was not told a slice's limits");
    return false;
  }
}

/** Lets go of a slice, what runs in it and what was said about it. */
export async function dropSlice(exec: Exec, slice: string): Promise<void> {
  if (runsSystemd()) await exec(["systemctl", "stop", slice], { timeoutMs: TIMEOUT_MS });
}

/** As systemd's own library tests it. */
const runsSystemd = (): boolean => existsSync("/run/systemd/system");
