// Where a process is among the cgroups, and where on disk these are.
// Mounts are taken to be where every distribution has them.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

export interface CgroupPlaces {
  /** Where cgroups are mounted. */
  readonly cgroups: string;
  readonly proc: string;
}

export const MACHINE: CgroupPlaces = { cgroups: "/sys/fs/cgroup", proc: "/proc" };

/** The path of a process by controller of version 1, and under `""` that of version 2; empty for one that has ended. */
export async function membershipOf(pid: number, proc: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(join(proc, String(pid), "cgroup"), "utf8").catch(() => "");
  return new Map([...text.matchAll(/^\d+:([^:]*):(\/.+)$/gm)].flatMap(([, controllers = "", path = ""]) => controllers.split(",").map((controller) => [controller, path] as const)));
}
