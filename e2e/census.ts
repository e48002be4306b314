// Names what one node of the lab holds of its machine, so that a test can say that nothing leaked, or what did.
// Knows the lab's layout; what there should be is the tests' business.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { eventually, must } from "./support.ts";

/** By kind, the names of all there is of what could be left behind. */
export type Census = Readonly<Record<string, readonly string[]>>;

export interface CensusTarget {
  readonly dataDir: string;
  /** Of the lab's node. */
  readonly netns: string;
  readonly runtime: "containerd" | "docker";
}

/** What there is now. */
export async function census({ dataDir, netns, runtime }: CensusTarget): Promise<Census> {
  const rules = lines(await inNetwork(netns, ["iptables-save"]));
  return {
    processes: processesOf(dataDir),
    mounts: lines(readFileSync("/proc/mounts", "utf8")).filter((line) => line.includes(` ${dataDir}/`)).map((line) => line.split(" ").slice(0, 3).join(" ")),
    veths: lines(await inNetwork(netns, ["ip", "-oneline", "link", "show", "type", "veth"])),
    chains: rules.filter((line) => line.startsWith(":")).map((line) => line.split(" ")[0] as string),
    rules: rules.filter((line) => line.startsWith("-A")),
    cgroups: cgroupsOf(dataDir),
    addresses: filesIn(join(dataDir, "cni", "ipam", "minik8s")).filter((name) => /^\d+(\.\d+){3}$/.test(name)),
    "pod directories": filesIn(join(dataDir, "pods")),
    "log directories": filesIn(join(dataDir, "logs")),
    ...(runtime === "containerd" ? await onContainerd(dataDir) : await onDocker(dataDir)),
  };
}

/** What is new, as `kind: before -> after: names` lines; empty when nothing was left behind. */
export function growth(before: Census, after: Census): string[] {
  return Object.keys(after).flatMap((kind) => {
    const [old, now] = [before[kind] ?? [], after[kind] ?? []];
    const isNew = without(now, old);
    // What was killed and started again is another process.
    if (isNew.length === 0 || (kind === "processes" && now.length <= old.length)) return [];
    return [`${kind}: ${old.length} -> ${now.length}:${isNew.map((name) => `\n    ${name}`).join("")}`];
  });
}

/** Throws what is new. */
export function nothingLeft(before: Census, after: Census): true {
  const left = growth(before, after);
  if (left.length > 0) throw new Error(left.join("\n  "));
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

async function onContainerd(dataDir: string): Promise<Census> {
  const socket = join(dataDir, "containerd", "containerd.sock");
  const list = async (...what: string[]): Promise<string[]> => lines(await must(["ctr", "--address", socket, "--namespace", "k8s.io", ...what]));
  return { containers: await list("containers", "list"), tasks: await list("tasks", "list"), snapshots: await list("snapshots", "list"), leases: await list("leases", "list") };
}

async function onDocker(dataDir: string): Promise<Census> {
  const containers = await must(["docker", "--host", `unix://${join(dataDir, "engine", "docker.sock")}`, "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]);
  return { containers: lines(containers), attachments: filesIn(join(dataDir, "docker", "networks")) };
}

const inNetwork = (netns: string, command: readonly string[]): Promise<string> => must(["nsenter", `--net=/run/netns/${netns}`, ...command]);

/** Processes that name the node's directory, those in its cgroups, and all their children. */
function processesOf(dataDir: string): string[] {
  const group = cgroupRoot(dataDir);
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((name) => processOf(Number(name)));
  const ours = new Set(all.filter(({ command, cgroups }) => command.includes(dataDir) || cgroups.includes(group)).map(({ pid }) => pid));
  const isBelow = (pid: number): boolean => ours.has(pid) || all.some((other) => other.pid === pid && ours.has(other.parent));
  return all.filter(({ pid }) => isBelow(pid)).map(({ pid, parent, state, command, cgroups }) => `${command || "(no command)"} (${state}, pid ${pid} of ${parent}, ${/^1:name=systemd:(.*)$/m.exec(cgroups)?.[1] ?? cgroups.split("\n")[0]})`);
}

/** One process; all of it is empty when it is gone already. */
function processOf(pid: number): { pid: number; parent: number; state: string; command: string; cgroups: string } {
  const [, state = "", parent] = /^\d+ \(.*\) (\S) (\d+)/s.exec(readOrEmpty(`/proc/${pid}/stat`)) ?? [];
  return { pid, parent: Number(parent), state, command: readOrEmpty(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim(), cgroups: readOrEmpty(`/proc/${pid}/cgroup`) };
}

/** As the agent names the cgroup of a node that is not the machine's only one. */
const cgroupRoot = (dataDir: string): string => `minik8s-${createHash("sha256").update(dataDir).digest("hex").slice(0, 8)}`;

function cgroupsOf(dataDir: string): string[] {
  const below = (directory: string): string[] => (existsSync(directory) ? [directory, ...filesIn(directory).map((name) => join(directory, name)).filter(isDirectory).flatMap(below)] : []);
  return readdirSync("/sys/fs/cgroup").flatMap((controller) => below(join("/sys/fs/cgroup", controller, cgroupRoot(dataDir))));
}

/** What of `names` is not among `others`, each counted as often as it is there. */
function without(names: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return names.filter((name) => {
    const at = left.indexOf(name);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

const lines = (text: string): string[] => text.split("\n").filter(Boolean);

const filesIn = (directory: string): string[] => (existsSync(directory) ? readdirSync(directory) : []);

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
