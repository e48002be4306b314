// Links to container logs under one flat directory with telling names, where log collectors look for them.
import { access, mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { ContainerRecord } from "../runtime/runtime.ts";
import { POD_NAME, POD_NAMESPACE } from "./labels.ts";
import type { Paths } from "./paths.ts";

/** Links the log of a container that runs; without a log there is no link. */
export async function linkLog(paths: Paths, record: ContainerRecord): Promise<void> {
  try {
    await access(record.logPath);
    await mkdir(paths.containerLogs, { recursive: true });
    await symlink(record.logPath, linkPath(paths, record));
  } catch {
    // A convenience: a container runs without it just as well.
  }
}

export async function unlinkLog(paths: Paths, record: ContainerRecord): Promise<void> {
  await rm(linkPath(paths, record), { force: true });
}

function linkPath(paths: Paths, { id, name, labels }: ContainerRecord): string {
  return join(paths.containerLogs, `${labels[POD_NAME]}_${labels[POD_NAMESPACE]}_${name}-${id}.log`);
}
