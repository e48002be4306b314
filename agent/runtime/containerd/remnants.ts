// What a containerd that was killed in the midst of its work leaves behind: shims, network namespaces and leases it knows nothing of.
// Looked for before this agent asks for anything, because whatever is there by then cannot be of its own work under way.
import { existsSync, readdirSync, rmSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Exec } from "../../../lib/exec.ts";
import { logger } from "../../../lib/log.ts";
import type { CriClient } from "./cri.ts";
import { argumentAfter, descendantsOf, findProcesses, isAlive } from "./machine.ts";
import type { WireContainer, WireSandbox } from "./messages.ts";
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
  /** Sandboxes and containers that have a shim, or have one being started. */
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

/** Those that no living sandbox needs: of one that is unknown, or that containerd has given up, also when its shim goes on. */
export async function unneeded(remnants: Remnants, cri: CriClient): Promise<Remnants> {
  const [{ items }, { containers }] = await Promise.all([cri.call<{ items: WireSandbox[] }>("listPodSandbox"), cri.call<{ containers: WireContainer[] }>("listContainers")]);
  const needed = new Set([...items.filter(({ state }) => state === "SANDBOX_READY"), ...containers].map(({ id }) => id));
  const used = new Set(await Promise.all(items.map(({ id }) => networkOf(cri, id))));
  return { ...remnants, ids: remnants.ids.filter((id) => !needed.has(id)), networks: remnants.networks.filter((path) => !used.has(path)) };
}

/** Ends what serves them and takes them away. */
export async function removeRemnants(paths: ContainerdPaths, { ids, networks, diedBefore }: Remnants, { exec, kill }: { readonly exec: Exec; readonly kill: (pid: number) => void }): Promise<void> {
  const left = ids.filter((id) => endShims(paths, id, kill));
  for (const id of left) await removeBundle(paths, id, exec);
  const networksLeft = networks.filter((path) => existsSync(path));
  for (const path of networksLeft) {
    await exec(["umount", "--lazy", path]);
    rmSync(path, { force: true });
  }
  const leases = await removeLeases(paths, diedBefore, exec);
  if (left.length + networksLeft.length + leases > 0) log.info({ shims: left.length, networks: networksLeft.length, leases }, "removed what the former containerd left behind");
}

/** Whether there was any. Not by a process seen before: what starts a shim outlives containerd, and the shim comes after it. */
function endShims({ socket }: ContainerdPaths, id: string, kill: (pid: number) => void): boolean {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const shims = findProcesses(["-address", socket]).filter((pid) => isAlive(pid) && argumentAfter("-id", pid) === id);
    if (shims.length === 0) return round > 0;
    for (const pid of shims) for (const each of [...descendantsOf(pid), pid]) kill(each);
  }
  return true;
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
