// What a process takes of the machine, from /proc.
import { readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

/** Resident memory in MB. */
export function memoryMB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** CPU time so far, in ticks of a hundredth of a second. */
export function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** Percent of one core over the next `forMs`. */
export async function cpuPercent(pid: number, forMs: number): Promise<number> {
  const before = cpuTicks(pid);
  await Bun.sleep(forMs);
  return ((cpuTicks(pid) - before) / TICKS_PER_SECOND / (forMs / 1000)) * 100;
}
