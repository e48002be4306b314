// Counts what one node of the lab holds of its machine, so that a test can say that nothing leaked.
// Knows the lab's layout; what the counts should be is the tests' business.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { eventually, must } from "./support.ts";

/** One number for each thing that could be left behind. */
export type Census = Readonly<Record<string, number>>;

export interface CensusTarget {
  readonly dataDir: string;
  /** Of the lab's node. */
  readonly netns: string;
  readonly runtime: "containerd" | "docker";
}

/** What there is now. */
export async function census({ dataDir, netns, runtime }: CensusTarget): Promise<Census> {
  const links = (await inNetwork(netns, ["ip", "-oneline", "link", "show", "type", "veth"])).split("\n").filter(Boolean);
  const rules = (await inNetwork(netns, ["iptables-save"])).split("\n");
  return {
    processes: processesOf(dataDir),
    mounts: readFileSync("/proc/mounts", "utf8").split("\n").filter((line) => line.includes(` ${dataDir}/`)).length,
    veths: links.length,
    chains: rules.filter((line) => line.startsWith(":")).length,
    rules: rules.filter((line) => line.startsWith("-A")).length,
    cgroups: cgroupsOf(dataDir),
    addresses: filesIn(join(dataDir, "cni", "ipam", "minik8s")).filter((name) => /^\d+(\.\d+){3}$/.test(name)).length,
    "pod directories": filesIn(join(dataDir, "pods")).length,
    "log directories": filesIn(join(dataDir, "logs")).length,
    ...(runtime === "containerd" ? await containerdCounts(dataDir) : await dockerCounts(dataDir)),
  };
}

/** What there is more of, as `name: before -> after` lines; empty when nothing was left behind. */
export function growth(before: Census, after: Census): string[] {
  return Object.keys({ ...before, ...after }).filter((name) => (before[name] ?? 0) < (after[name] ?? 0)).map((name) => `${name}: ${before[name] ?? 0} -> ${after[name] ?? 0}`);
}

/** Throws what there is more of. */
export function nothingLeft(before: Census, after: Census): true {
  const left = growth(before, after);
  if (left.length > 0) throw new Error(left.join(", "));
  return true;
}

/** The census once two in a row agree. */
export async function settledCensus(target: CensusTarget): Promise<Census> {
  let last = await census(target);
  return eventually("the node comes to rest", async () => {
    await Bun.sleep(1_000);
    const next = await census(target);
    const isSettled = growth(last, next).length + growth(next, last).length === 0;
    last = next;
    return isSettled ? next : undefined;
  });
}

async function containerdCounts(dataDir: string): Promise<Census> {
  const socket = join(dataDir, "containerd", "containerd.sock");
  const list = async (...what: string[]): Promise<number> => (await must(["ctr", "--address", socket, "--namespace", "k8s.io", ...what])).split("\n").filter(Boolean).length;
  return { containers: await list("containers", "list", "--quiet"), tasks: await list("tasks", "list", "--quiet"), snapshots: await list("snapshots", "list"), leases: await list("leases", "list", "--quiet") };
}

async function dockerCounts(dataDir: string): Promise<Census> {
  const containers = await must(["docker", "--host", `unix://${join(dataDir, "engine", "docker.sock")}`, "ps", "--all", "--quiet"]);
  return { containers: containers.split("\n").filter(Boolean).length, attachments: filesIn(join(dataDir, "docker", "networks")).length };
}

const inNetwork = (netns: string, command: readonly string[]): Promise<string> => must(["nsenter", `--net=/run/netns/${netns}`, ...command]);

/** Processes that name the node's directory, those in its cgroups, and all their children. */
function processesOf(dataDir: string): number {
  const group = cgroupRoot(dataDir);
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((pid) => ({ pid: Number(pid), parent: Number(/^\d+ \(.*\) \S (\d+)/s.exec(readOrEmpty(`/proc/${pid}/stat`))?.[1]), command: readOrEmpty(`/proc/${pid}/cmdline`), cgroups: readOrEmpty(`/proc/${pid}/cgroup`) }));
  const ours = new Set(all.filter(({ command, cgroups }) => command.includes(dataDir) || cgroups.includes(group)).map(({ pid }) => pid));
  const isBelow = (pid: number): boolean => ours.has(pid) || all.some((other) => other.pid === pid && ours.has(other.parent));
  // An engine that was killed forgets shims of its own; what ran in them is in our cgroups.
  const isEngines = (command: string): boolean => command.includes(join(dataDir, "engine"));
  return all.filter(({ pid, command }) => isBelow(pid) && !isEngines(command)).length;
}

/** As the agent names the cgroup of a node that is not the machine's only one. */
const cgroupRoot = (dataDir: string): string => `minik8s-${createHash("sha256").update(dataDir).digest("hex").slice(0, 8)}`;

function cgroupsOf(dataDir: string): number {
  const below = (directory: string): number => (existsSync(directory) ? 1 + readdirSync(directory).filter((name) => isDirectory(join(directory, name))).reduce((sum, name) => sum + below(join(directory, name)), 0) : 0);
  return readdirSync("/sys/fs/cgroup").reduce((sum, controller) => sum + below(join("/sys/fs/cgroup", controller, cgroupRoot(dataDir))), 0);
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const filesIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : []);

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
