// What a process takes of the machine, from /proc.
import { readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

/** Resident memory in MB. */
export function memoryMB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

/** CPU time so far in microseconds, the kernel's share included; steps of 10 ms. */
export function cpuMicros(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

/** Percent of one core over the next `forMs`. */
export async function cpuPercent(pid: number, forMs: number): Promise<number> {
  const before = cpuMicros(pid);
  await Bun.sleep(forMs);
  return ((cpuMicros(pid) - before) / (forMs * 1000)) * 100;
}
