// Facts about this machine that containerd's configuration depends on.
// What is made of them is `config.ts`.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readOrEmpty } from "../../../lib/files.ts";
import type { Exec } from "../../../lib/exec.ts";

/** Major version of the installed containerd; undefined when there is none. */
export async function containerdMajorVersion(exec: Exec): Promise<number | undefined> {
  const { exitCode, stdout } = await exec(["containerd", "--version"], { timeoutMs: 10_000 });
  const version = /\sv?(\d+)\.\d+/.exec(stdout);
  return exitCode === 0 && version ? Number(version[1]) : undefined;
}

/** Whether the kernel lets this process lower its oom_score_adj; tried, because capabilities alone do not say. */
export function canLowerOomScore(): boolean {
  const path = "/proc/self/oom_score_adj";
  try {
    const current = Number(readFileSync(path, "utf8"));
    if (current <= -1000) return true;
    writeFileSync(path, String(current - 1));
    writeFileSync(path, String(current));
    return true;
  } catch {
    return false;
  }
}

/** overlayfs where a trial mount on the data's own file system works, native (plain copies) elsewhere. */
export async function chooseSnapshotter(directory: string, exec: Exec): Promise<"overlayfs" | "native"> {
  const probe = join(directory, "overlay-probe");
  const [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map((name) => join(probe, name)) as [string, string, string, string];
  for (const path of [lower, upper, work, merged]) mkdirSync(path, { recursive: true });
  try {
    const mounted = await exec(["mount", "-t", "overlay", "overlay", "-o", `lowerdir=${lower},upperdir=${upper},workdir=${work}`, merged], { timeoutMs: 10_000 });
    if (mounted.exitCode !== 0) return "native";
    await exec(["umount", merged], { timeoutMs: 10_000 });
    return "overlayfs";
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

/** Whether the kernel enforces AppArmor and its parser is installed, both of which containerd needs. */
export function hasApparmor(): boolean {
  try {
    return readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y") && ["/sbin/apparmor_parser", "/usr/sbin/apparmor_parser"].some((path) => existsSync(path));
  } catch {
    return false;
  }
}

/** Process ids whose command line holds `arguments` one after another. */
export function findProcesses(commandArguments: readonly string[]): number[] {
  const wanted = `\0${commandArguments.join("\0")}\0`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => `\0${readOrEmpty(`/proc/${pid}/cmdline`)}`.includes(wanted))
    .map(Number);
}

/** As `findProcesses`, without what one of them is just starting: a child has its parent's command line until it has its own. */
export function findDaemons(commandArguments: readonly string[]): number[] {
  const found = findProcesses(commandArguments);
  const children = new Set(found.length > 1 ? found.flatMap(descendantsOf) : []);
  return found.filter((pid) => !children.has(pid));
}

/** What follows `flag` on a process's command line; undefined when it is not there, or the process is gone. */
export function argumentAfter(flag: string, pid: number): string | undefined {
  const words = readOrEmpty(`/proc/${pid}/cmdline`).split("\0");
  const at = words.indexOf(flag);
  return at < 0 ? undefined : words[at + 1];
}

/** Process ids of a process's children, their children and so on. */
export function descendantsOf(pid: number): number[] {
  const parents = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((name) => [Number(name), Number(/^\d+ \(.*\) \S (\d+)/s.exec(readOrEmpty(`/proc/${name}/stat`))?.[1])] as const);
  const below = (parent: number): number[] => parents.filter(([, its]) => its === parent).flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}

/** Whether a process exists and is not a zombie. */
export function isAlive(pid: number): boolean {
  const stat = readOrEmpty(`/proc/${pid}/stat`);
  return stat !== "" && !/^\d+ \(.*\) [ZX]/s.test(stat);
}
