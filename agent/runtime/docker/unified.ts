// What a container's cgroup of version 2 is set to beyond what the engine's API knows, such as `memory.oom.group`.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface UnifiedPlaces {
  /** Where cgroups are mounted. */
  readonly cgroups: string;
  readonly proc: string;
}

const MACHINE: UnifiedPlaces = { cgroups: "/sys/fs/cgroup", proc: "/proc" };

/** Writes the values into the cgroup of a process; one that has ended, or whose kernel does not know a file, is left alone. */
export async function setUnified(pid: number, values: Readonly<Record<string, string>>, { cgroups, proc }: UnifiedPlaces = MACHINE): Promise<void> {
  const membership = await readFile(join(proc, String(pid), "cgroup"), "utf8").catch(() => "");
  const path = /^0::(\/.+)$/m.exec(membership)?.[1];
  if (path === undefined) return;
  for (const [file, value] of Object.entries(values)) await writeFile(join(cgroups, path, file), value, { flag: "r+" }).catch(() => undefined);
}
