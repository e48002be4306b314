// What a containerd that was killed in the midst of its work leaves behind: shims, network namespaces and leases it knows nothing of.
// Looked for before this agent asks for anything, because whatever is there by then cannot be of its own work under way.
import { existsSync, readdirSync, readFileSync, rmSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Exec } from "../../../lib/exec.ts";
import { logger } from "../../../lib/log.ts";
import type { CriClient } from "./cri.ts";
import { descendantsOf, findProcesses, isAlive } from "./machine.ts";
import type { ContainerdPaths } from "./private.ts";

const log = logger("containerd");
const NAMESPACE = "k8s.io";
const CTR_TIMEOUT_MS = 30_000;
/** ctr tells times in whole seconds, rounded down: a lease taken just now must not look older than it is. */
const CTR_STEP_MS = 1_000;
/** A shim's start and the shim, and once more for what was forked while they were looked for. */
const MAX_ROUNDS = 3;

/** Candidates: most of them belong to pods that go on. */
export interface Remnants {
  /** Sandboxes and containers that have a shim, or had one being started. */
  readonly ids: readonly string[];
  readonly networks: readonly string[];
  /** Leases from before then were of a containerd that is dead; in milliseconds since the epoch. */
  readonly diedBefore: number;
}

/** What there is, of a containerd that was dead at `diedBefore`. */
export function findRemnants(paths: ContainerdPaths, diedBefore: number): Remnants {
  const shims = findProcesses(["-address", paths.socket]).map((pid) => argumentAfter("-id", pid));
  const directory = networkDirectory(paths);
  return { ids: [...new Set(shims.filter((id) => id !== undefined))], networks: existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [], diedBefore };
}

/** Removes those that the containerd started since does not know. Rejects without having removed anything when it cannot be asked. */
export async function removeRemnants(paths: ContainerdPaths, remnants: Remnants, deps: { readonly cri: CriClient; readonly exec: Exec; readonly kill: (pid: number) => void }): Promise<void> {
  const { cri, exec } = deps;
  const [{ items }, { containers }] = await Promise.all([cri.call<{ items: { id: string }[] }>("listPodSandbox"), cri.call<{ containers: { id: string }[] }>("listContainers")]);
  const known = new Set([...items, ...containers].map(({ id }) => id));
  const used = new Set(await Promise.all(items.map(({ id }) => networkOf(cri, id))));
  const ids = remnants.ids.filter((id) => !known.has(id));
  for (const id of ids) {
    endShims(paths, id, deps.kill);
    await removeBundle(paths, id, exec);
  }
  const networks = remnants.networks.filter((path) => !used.has(path));
  for (const path of networks) {
    await exec(["umount", "--lazy", path]);
    rmSync(path, { force: true });
  }
  const leases = await removeLeases(paths, remnants.diedBefore, exec);
  if (ids.length + networks.length + leases > 0) log.info({ shims: ids.length, networks: networks.length, leases }, "removed what the former containerd left behind");
}

/** Not the processes seen before: what starts a shim outlives containerd, and the shim comes after it, under a process id of its own. */
function endShims({ socket }: ContainerdPaths, id: string, kill: (pid: number) => void): void {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const shims = findProcesses(["-address", socket]).filter((pid) => isAlive(pid) && argumentAfter("-id", pid) === id);
    if (shims.length === 0) return;
    for (const pid of shims) for (const each of [...descendantsOf(pid), pid]) kill(each);
  }
}

const networkDirectory = ({ state }: ContainerdPaths): string => join(state, "io.containerd.grpc.v1.cri", "netns");

async function networkOf(cri: CriClient, podSandboxId: string): Promise<string | undefined> {
  const status = await cri.callIfPresent<{ info: Record<string, string> }>("podSandboxStatus", { podSandboxId, verbose: true });
  if (!status?.info["info"]) return undefined;
  const { runtimeSpec } = JSON.parse(status.info["info"]) as { runtimeSpec?: { linux?: { namespaces?: { type: string; path?: string }[] } } };
  return runtimeSpec?.linux?.namespaces?.find(({ type }) => type === "network")?.path;
}

/** A task's working directory; its root file system may still be mounted. */
async function removeBundle({ state, root }: ContainerdPaths, id: string, exec: Exec): Promise<void> {
  const bundle = join(state, "io.containerd.runtime.v2.task", NAMESPACE, id);
  await exec(["umount", "--lazy", join(bundle, "rootfs")]);
  try {
    // Never through a mount that is still there: below it is a container's file system.
    rmdirSync(join(bundle, "rootfs"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") return;
  }
  rmSync(bundle, { recursive: true, force: true });
  rmSync(join(root, "io.containerd.runtime.v2.task", NAMESPACE, id), { recursive: true, force: true });
}

/** A lease keeps snapshots and content from being collected for a day; the call that took it has died with the former containerd. */
async function removeLeases({ socket }: ContainerdPaths, before: number, exec: Exec): Promise<number> {
  const ctr = (...args: string[]): ReturnType<Exec> => exec(["ctr", "--connect-timeout", "30s", "--address", socket, "--namespace", NAMESPACE, "leases", ...args], { timeoutMs: CTR_TIMEOUT_MS });
  const lines = (await ctr("list")).stdout.split("\n").slice(1).map((line) => line.trim().split(/\s+/));
  const old = lines.filter(([id, createdAt = "", labels = ""]) => id && Date.parse(createdAt) + CTR_STEP_MS <= before && labels.includes("containerd.io/gc.expire")).map(([id]) => id as string);
  if (old.length > 0) await ctr("delete", "--sync", ...old);
  return old.length;
}

function argumentAfter(flag: string, pid: number): string | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const at = words.indexOf(flag);
    return at < 0 ? undefined : words[at + 1];
  } catch {
    return undefined;
  }
}
