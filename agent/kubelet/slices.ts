// Where systemd owns the cgroup tree, its slices must know the limits: what is only written into files is undone when it reloads.
// What to say is decided here, purely; systemd's own tool says it.
import { existsSync } from "node:fs";
import { run, type Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { CPU_PERIOD_US } from "./resources.ts";

const log = logger("slices");
const TIMEOUT_MS = 10_000;

interface LimitFile {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
}

/** The properties of a slice that has these limits, whose files belong together. */
export function sliceProperties(files: readonly LimitFile[]): string[] {
  const values = new Map(files.map(({ file, value }) => [file, value]));
  const period = Number(values.get("cpu.cfs_period_us") ?? CPU_PERIOD_US);
  return files.flatMap(({ file, value }) => {
    switch (file) {
      case "cpu.shares": return [`CPUShares=${value}`];
      case "cpu.weight": return [`CPUWeight=${value}`];
      case "cpu.cfs_quota_us": return [`CPUQuota=${value === "-1" ? "" : percent(Number(value), period)}`];
      case "cpu.max": return [`CPUQuota=${quotaOf(value)}`];
      case "memory.limit_in_bytes": return [`MemoryLimit=${unlimited(value)}`];
      case "memory.max": return [`MemoryMax=${unlimited(value)}`];
      case "pids.max": return [`TasksMax=${unlimited(value)}`];
      default: return [];
    }
  });
}

const unlimited = (value: string): string => (value === "-1" || value === "max" ? "infinity" : value);
const percent = (quota: number, period: number): string => `${Number(((quota * 100) / period).toFixed(1))}%`;

function quotaOf(value: string): string {
  const [quota = "max", period = String(CPU_PERIOD_US)] = value.split(" ");
  return quota === "max" ? "" : percent(Number(quota), Number(period));
}

/** Tells systemd, where it runs; a slice it will not change keeps what its files say. */
export async function setSlice(exec: Exec, slice: string, files: readonly LimitFile[]): Promise<void> {
  const properties = sliceProperties(files);
  if (properties.length === 0 || !runsSystemd()) return;
  try {
    await run(exec, ["systemctl", "set-property", "--runtime", slice, ...properties], { timeoutMs: TIMEOUT_MS });
    await run(exec, ["systemctl", "start", "--no-block", slice], { timeoutMs: TIMEOUT_MS });
  } catch (error) {
    log.warn({ err: error, slice }, "systemd was not told a slice's limits");
  }
}

/** Lets go of a pod's slice and of what was said about it. */
export async function dropSlice(exec: Exec, slice: string): Promise<void> {
  if (!runsSystemd()) return;
  await exec(["systemctl", "stop", slice], { timeoutMs: TIMEOUT_MS });
  await exec(["systemctl", "revert", slice], { timeoutMs: TIMEOUT_MS });
}

/** As systemd's own library tests it. */
const runsSystemd = (): boolean => existsSync("/run/systemd/system");
