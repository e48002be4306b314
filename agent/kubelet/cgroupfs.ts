// The cgroup tree on the host's file system, version 1 or 2.
// Names and limits are decided in `cgroups.ts`; containers' own cgroups are the runtime's.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Pod } from "../../api/types.ts";
import { hostExec, type Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import { readCgroup, readPodCgroup, type CgroupFigures, type CgroupLocation, type PodCgroupFigures } from "./cgroupfigures.ts";
import { allPodsFiles, cgroupName, cgroupParent, cgroupPath, limitFiles, pidsFile, possibleNames, uidOfDirectory, type AllPods, type CgroupDriver, type CgroupName, type Cgroups } from "./cgroups.ts";
import { podRequest } from "./qos.ts";
import { CPU_PERIOD_US, cpuShares, noHugepages, podResources } from "./resources.ts";
import { dropSlice, keepableQuota, setSlice } from "./slices.ts";

const log = logger("cgroups");
const ROOT = "/sys/fs/cgroup";
/** Controllers pods are limited by. */
const NEEDED = ["cpu", "memory", "pids"] as const;
/** A pod that forks without end fails by itself, long before the machine has no process ids left. */
const POD_PIDS_LIMIT = 4096;
const KILL_ROUNDS = 20;
const KILL_PAUSE_MS = 50;

/** This machine cannot limit pods; the message says what is missing and how to get it. */
export class CgroupError extends Error {
  override readonly name = "CgroupError";
}

/** Where each controller is mounted. */
export interface CgroupMounts {
  readonly version: 1 | 2;
  /** By controller; on version 2 they all share one mount. */
  readonly mounts: ReadonlyMap<string, string>;
}

/** Finds the mounts; throws CgroupError in one line when a controller is missing. */
export function detectCgroups(root = ROOT, mountTable = readFileSync("/proc/mounts", "utf8")): CgroupMounts {
  const unified = join(root, "cgroup.controllers");
  const mounts = new Map<string, string>();
  if (existsSync(unified)) for (const name of readFileSync(unified, "utf8").split(/\s+/).filter(Boolean)) mounts.set(name, root);
  const version = mounts.size > 0 ? 2 : 1;
  if (version === 1) {
    for (const line of mountTable.split("\n")) {
      const [, target = "", type, options = ""] = line.split(" ");
      // It limits nothing beside version 1, but the runtime makes its directories there too.
      if (type === "cgroup2" && !mounts.has("unified")) mounts.set("unified", target);
      if (type === "cgroup") for (const option of options.split(",")) if (!mounts.has(option)) mounts.set(option, target);
    }
  }
  const missing = NEEDED.filter((controller) => !mounts.has(controller));
  if (missing.length > 0) throw new CgroupError(`cgroup controllers are missing: ${missing.join(", ")}; mount them below ${root}, for example: mount -t cgroup -o ${missing[0]} cgroup ${root}/${missing[0]}`);
  return { version, mounts };
}

export interface CgroupFsOptions {
  readonly driver: CgroupDriver;
  readonly mounts: CgroupMounts;
  /** What all pods together may use. */
  readonly allPods?: AllPods;
  /** Processes and threads one pod may have. */
  readonly podPidsLimit?: number | undefined;
  /** False where cpu limits are not enforced. */
  readonly limitsCpu?: boolean;
  /** The kernel's own when left out. */
  readonly hugepageSizes?: readonly string[];
  readonly exec?: Exec;
  /** A parent of `kubepods`, for several nodes on one machine; empty or starting with `/`. */
  readonly root?: string;
}

/** The tree below `<root>/kubepods`. */
export class CgroupFs implements Cgroups {
  /** Cpu requests of burstable pods in thousandths, whose sum is their parent's share. */
  readonly #burstable = new Map<string, number>();
  readonly #made = new Set<string>();
  /** What systemd was told last of each slice. */
  readonly #told = new Map<string, string>();

  readonly hugepageSizes: readonly string[];

  constructor(readonly options: CgroupFsOptions) {
    this.hugepageSizes = options.hugepageSizes ?? (options.mounts.mounts.has("hugetlb") ? kernelHugepageSizes() : []);
  }

  get version(): 1 | 2 {
    return this.options.mounts.version;
  }

  parentOf(pod: Pod): string {
    return cgroupParent(cgroupName(pod), this.options.driver, this.options.root ?? "");
  }

  async ensure(pod: Pod): Promise<void> {
    const name = cgroupName(pod);
    for (let depth = 1; depth < name.length; depth++) await this.#make(name.slice(0, depth));
    const files = this.#podFiles(pod);
    if (!(await this.#make(name, files))) await this.#limit(name, files);
    if (name[1] === "burstable" && this.#burstable.get(pod.metadata.uid ?? "") === undefined) {
      this.#burstable.set(pod.metadata.uid ?? "", podRequest(pod, "cpu"));
      await this.#shareOut();
    }
  }

  async resize(pod: Pod, step: "grow" | "settle"): Promise<void> {
    const name = cgroupName(pod);
    for (const { controller, file, value } of this.#podFiles(pod)) await this.#write(controller, name, { file, value, onlyRaise: step === "grow" });
    if (step === "settle") await this.#tellSystemd(name, this.#podFiles(pod));
    if (step === "grow" || name[1] !== "burstable") return;
    this.#burstable.set(pod.metadata.uid ?? "", podRequest(pod, "cpu"));
    await this.#shareOut();
  }

  async remove(uid: string): Promise<void> {
    for (const name of possibleNames(uid)) {
      const path = cgroupPath(name, this.options.driver, this.options.root ?? "");
      if (this.#told.delete(sliceOf(name)) || this.#isSlice(path)) await dropSlice(this.options.exec ?? hostExec, sliceOf(name));
      this.#made.delete(path);
      for (const mount of await this.#allMounts()) await removeTree(join(mount, path));
    }
    if (this.#burstable.delete(uid)) await this.#shareOut();
  }

  async refusedForks(pod: Pod): Promise<number> {
    const directory = join(this.options.mounts.mounts.get("pids") as string, cgroupPath(cgroupName(pod), this.options.driver, this.options.root ?? ""));
    // Kernels before 6.11 count in the cgroup of whoever forks, not in the one whose limit it is.
    const containers = (await readdir(directory, { withFileTypes: true }).catch(() => [])).filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
    const counts = await Promise.all([directory, ...containers].map(async (path) => Number(/^max (\d+)$/m.exec(await readFile(join(path, "pids.events"), "utf8").catch(() => ""))?.[1] ?? 0)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  figures(pod: Pod): Promise<PodCgroupFigures> {
    return readPodCgroup(this.#location(cgroupName(pod)));
  }

  allFigures(): Promise<CgroupFigures> {
    return readCgroup(this.#location(["kubepods"]));
  }

  #location(name: CgroupName): CgroupLocation {
    return { ...this.options.mounts, path: cgroupPath(name, this.options.driver, this.options.root ?? "") };
  }

  async removeStale(isWanted: (uid: string) => boolean): Promise<void> {
    const { driver, root = "", exec = hostExec } = this.options;
    for (const mount of await this.#allMounts()) {
      for (const parent of [["kubepods"], ["kubepods", "burstable"], ["kubepods", "besteffort"]]) {
        const directory = join(mount, cgroupPath(parent, driver, root));
        for (const name of await readdir(directory).catch(() => [])) {
          const uid = uidOfDirectory(name, driver);
          if (uid === undefined || isWanted(uid)) continue;
          if (driver === "systemd") await dropSlice(exec, name);
          await removeTree(join(directory, name)).catch((error: unknown) => log.warn({ err: error, name }, "a stale cgroup stays"));
        }
      }
    }
  }

  /** Removes everything below the root, ending what still runs there: for taking a node away. */
  async removeAll(): Promise<void> {
    const root = this.options.root || cgroupPath(["kubepods"], this.options.driver);
    if (this.#isSlice(root)) await dropSlice(this.options.exec ?? hostExec, sliceOf(["kubepods"]));
    for (const mount of await this.#allMounts()) await removeTree(join(mount, root));
    this.#made.clear();
  }

  /** Makes the cgroup with its limits; false when it was there already. */
  async #make(name: CgroupName, files = this.#sharedFiles(name)): Promise<boolean> {
    const path = cgroupPath(name, this.options.driver, this.options.root ?? "");
    if (this.#made.has(path)) return false;
    for (const controller of [...NEEDED, "hugetlb"]) {
      const mount = this.options.mounts.mounts.get(controller);
      if (mount !== undefined) await mkdir(join(mount, path), { recursive: true });
    }
    // A pod's own cgroup passes controllers on too: containers stand below it.
    if (this.options.mounts.version === 2) await this.#delegate(path);
    await this.#limit(name, files);
    this.#made.add(path);
    return true;
  }

  async #limit(name: CgroupName, files: ReturnType<typeof limitFiles>): Promise<void> {
    for (const { controller, file, value } of files) await this.#write(controller, name, { file, value });
    await this.#tellSystemd(name, files);
  }

  /** All pods together against the rest of the machine, and those without a promise against the others. */
  #sharedFiles(name: CgroupName): ReturnType<typeof limitFiles> {
    const { allPods, mounts: { version } } = this.options;
    if (name.length === 1) return allPodsFiles(allPods ?? { cpuMilli: availableParallelism() * 1000, memoryBytes: undefined, pids: undefined }, version);
    return name.at(-1) === "besteffort" ? limitFiles({ cpuShares: cpuShares(0) }, version).slice(0, 1) : [];
  }

  #podFiles(pod: Pod): ReturnType<typeof limitFiles> {
    const { podPidsLimit, limitsCpu, driver, mounts: { version } } = this.options;
    const { cpuQuotaUs, hugepageLimits, ...rest } = podResources(pod);
    const quota = cpuQuotaUs === undefined || limitsCpu === false ? undefined : driver === "systemd" ? keepableQuota(cpuQuotaUs, rest.cpuPeriodUs ?? CPU_PERIOD_US) : cpuQuotaUs;
    const files = limitFiles({ ...rest, hugepageLimits: { ...noHugepages(this.hugepageSizes), ...hugepageLimits }, ...(quota !== undefined && { cpuQuotaUs: quota }) }, version);
    return [...files, pidsFile(podPidsLimit ?? POD_PIDS_LIMIT)];
  }

  async #tellSystemd(name: CgroupName, files: ReturnType<typeof limitFiles>): Promise<void> {
    if (this.options.driver !== "systemd") return;
    const slice = sliceOf(name);
    const said = JSON.stringify(files);
    if (this.#told.get(slice) === said) return;
    if (await setSlice(this.options.exec ?? hostExec, slice, { files, isKnown: this.#told.has(slice) })) this.#told.set(slice, said);
  }

  #isSlice(path: string): boolean {
    return this.options.driver === "systemd" && existsSync(join(this.options.mounts.mounts.get("memory") as string, path));
  }

  async #delegate(path: string): Promise<void> {
    const mount = this.options.mounts.mounts.get("memory") as string;
    const parts = path.split("/").filter(Boolean);
    for (let depth = 0; depth <= parts.length; depth++) {
      const file = join(mount, ...parts.slice(0, depth), "cgroup.subtree_control");
      await writeFile(file, [...this.options.mounts.mounts.keys()].map((c) => `+${c}`).join(" ")).catch((error: unknown) => log.debug({ err: error, file }, "delegating controllers failed"));
    }
  }

  async #shareOut(): Promise<void> {
    const milli = [...this.#burstable.values()].reduce((sum, value) => sum + value, 0);
    const [cpu] = limitFiles({ cpuShares: cpuShares(milli) }, this.options.mounts.version);
    if (cpu) await this.#write(cpu.controller, ["kubepods", "burstable"], cpu);
    if (cpu) await this.#tellSystemd(["kubepods", "burstable"], [cpu]);
  }

  async #write(controller: string, name: CgroupName, { file, value, onlyRaise = false }: { file: string; value: string; onlyRaise?: boolean }): Promise<void> {
    const path = join(this.options.mounts.mounts.get(controller) as string, cgroupPath(name, this.options.driver, this.options.root ?? ""), file);
    const present = await readFile(path, "utf8").catch(() => undefined);
    if (present === undefined || present.trim() === value || (onlyRaise && limitOf(value) < limitOf(present))) return;
    await writeFile(path, value).catch((error: unknown) => log.warn({ err: error, path, value }, "setting a cgroup limit failed"));
  }

  /** The runtime makes the pod's cgroup in every hierarchy there is. */
  async #allMounts(): Promise<string[]> {
    return [...new Set(this.options.mounts.mounts.values())];
  }
}

function kernelHugepageSizes(root = "/sys/kernel/mm/hugepages"): string[] {
  const kibibytes = (existsSync(root) ? readdirSync(root) : []).flatMap((name) => /^hugepages-(\d+)kB$/.exec(name)?.[1] ?? []).map(Number);
  return kibibytes.map((kib) => (kib >= 1 << 20 ? `${kib >> 20}GB` : kib >= 1 << 10 ? `${kib >> 10}MB` : `${kib}KB`));
}

/** The slice's own name, which holds those of its parents. */
const sliceOf = (name: CgroupName): string => cgroupParent(name, "systemd");

/** A limit file's first word as a number; none is infinite. */
function limitOf(text: string): number {
  const first = text.trim().split(" ")[0] ?? "";
  return first === "max" || first === "-1" ? Infinity : Number(first);
}

/** Removes a cgroup and all below it, ending whatever still runs inside. */
async function removeTree(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  for (let round = 0; round < KILL_ROUNDS; round++) {
    try {
      return await rmdir(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      if (code !== "EBUSY") throw error;
      await killAll(path);
      await Bun.sleep(KILL_PAUSE_MS);
    }
  }
  throw new CgroupError(`cgroup ${path} is still in use`);
}

async function killAll(path: string): Promise<void> {
  const pids = (await readFile(join(path, "cgroup.procs"), "utf8").catch(() => "")).split("\n").filter(Boolean);
  for (const pid of pids) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It ended by itself meanwhile.
    }
  }
}
