// What a container's cgroup of version 2 is set to beyond what the engine's API knows, such as `memory.oom.group`.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MACHINE, membershipOf, type CgroupPlaces } from "./membership.ts";

/** Writes the values into the cgroup of a process; one that has ended, or whose kernel does not know a file, is left alone. */
export async function setUnified(pid: number, values: Readonly<Record<string, string>>, { cgroups, proc }: CgroupPlaces = MACHINE): Promise<void> {
  const path = (await membershipOf(pid, proc)).get("");
  if (path === undefined) return;
  for (const [file, value] of Object.entries(values)) await writeFile(join(cgroups, path, file), value, { flag: "r+" }).catch(() => undefined);
}
