// Background processes of this executable: started with a log and a pid file, found again, stopped.
// A pid file is believed only while the process it names still runs this program in that mode.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readlinkSync, rmSync, statSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** The two modes that run in the background. */
export type Mode = "control" | "agent";

const STOP_TIMEOUT_MS = 30_000;
const MAX_LOG_BYTES = 32 * 1024 * 1024;

const pidFile = (dataDir: string, mode: Mode): string => join(dataDir, "run", `${mode}.pid`);

/** Where a mode's output goes when it runs in the background. */
export const logFile = (dataDir: string, mode: Mode): string => join(dataDir, "log", `${mode}.log`);

/** The pid of a running mode, or undefined. */
export function runningPid(dataDir: string, mode: Mode): number | undefined {
  const path = pidFile(dataDir, mode);
  if (!existsSync(path)) return undefined;
  const pid = Number(readFileSync(path, "utf8"));
  return isMode(pid, mode) ? pid : undefined;
}

/** Leaves this process's pid for others to find; removed when it exits in order. */
export function claimPidFile(dataDir: string, mode: Mode): void {
  const other = runningPid(dataDir, mode);
  if (other !== undefined && other !== process.pid) throw new Error(`minik8s ${mode} already runs on ${dataDir} as process ${other}; stop it first: kill ${other}`);
  const path = pidFile(dataDir, mode);
  writePid(path, process.pid);
  // Unless a successor has written its own by then.
  process.once("exit", () => {
    if (readPid(path) === process.pid) rmSync(path, { force: true });
  });
}

/** Starts `minik8s <mode> ...args` in the background, detached from this terminal, and returns its pid. What `env` adds no other user can see, as they can see arguments. */
export function startDetached(dataDir: string, mode: Mode, { args, env = {} }: { args: readonly string[]; env?: Readonly<Record<string, string>> }): number {
  const log = logFile(dataDir, mode);
  mkdirSync(dirname(log), { recursive: true });
  if (existsSync(log) && statSync(log).size > MAX_LOG_BYTES) renameSync(log, `${log}.1`);
  const output = openSync(log, "a", 0o640);
  const child = Bun.spawn([...selfCommand(), mode, ...args], { stdin: "ignore", stdout: output, stderr: output, detached: true, env: { ...process.env, ...env } });
  closeSync(output);
  child.unref();
  writePid(pidFile(dataDir, mode), child.pid);
  return child.pid;
}

/** Asks a mode to stop and waits until it is gone, using force after half a minute. True when something was running. */
export async function stopMode(dataDir: string, mode: Mode): Promise<boolean> {
  const pid = runningPid(dataDir, mode);
  if (pid !== undefined) {
    signal(pid, "SIGTERM");
    const deadline = Date.now() + STOP_TIMEOUT_MS;
    while (isMode(pid, mode) && Date.now() < deadline) await Bun.sleep(50);
    if (isMode(pid, mode)) signal(pid, "SIGKILL");
  }
  rmSync(pidFile(dataDir, mode), { force: true });
  return pid !== undefined;
}

/** True while the process lives and is this program in this mode. */
export function isMode(pid: number, mode: Mode): boolean {
  try {
    if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return false;
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(1, 4).includes(mode);
  } catch {
    return false;
  }
}

/** How to start this very program again: the compiled executable, or Bun with the source. */
export function selfCommand(): string[] {
  const isCompiled = !readlinkSync("/proc/self/exe").endsWith("bun") && !process.execPath.includes("bun");
  return isCompiled ? [process.execPath] : [process.execPath, join(import.meta.dir, "main.ts")];
}

/** The last lines of a mode's log, for when it did not come up. */
export function logTail(dataDir: string, mode: Mode, lines = 15): string {
  const path = logFile(dataDir, mode);
  return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n").slice(-lines).join("\n") : "";
}

function readPid(path: string): number | undefined {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** By rename: others read it at any moment. */
function writePid(path: string, pid: number): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, String(pid));
  renameSync(`${path}.${process.pid}`, path);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone meanwhile, which is what was wanted.
  }
}
