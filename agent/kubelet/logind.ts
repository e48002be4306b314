// Hears from systemd-logind that the machine shuts down, and holds that up while pods end.
// systemd's own tools speak to its bus; a machine without them is one where nobody announces a shutdown.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import type { Exec } from "../../lib/exec.ts";
import { logger } from "../../lib/log.ts";
import type { Shutdown } from "./shutdown.ts";

const log = logger("logind");
const MANAGER = ["org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];
const DROP_IN = "/etc/systemd/logind.conf.d/99-kubelet.conf";
const INHIBIT = ["systemd-inhibit", "--what=shutdown", "--who=kubelet", "--why=Kubelet needs time to handle node shutdown", "--mode=delay", "sleep", "infinity"];
const WATCH = ["dbus-monitor", "--system", "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'"];
const RETRY_MS = 1_000;
const SETTLE_TRIES = 5;
const SETTLE_MS = 100;

/** A program that runs until it is ended. */
export interface Running {
  readonly lines: AsyncIterable<string>;
  end(): void;
}

export interface LogindOptions {
  readonly exec: Exec;
  readonly start: (command: readonly string[]) => Running;
  readonly clock: Clock;
  readonly shutdown: Shutdown;
  /** What all groups of pods need together. */
  readonly totalMs: number;
  readonly dropIn?: string;
}

/** Follows logind until the signal aborts; says why and gives up where there is none. */
export async function followLogind(options: LogindOptions, signal: AbortSignal): Promise<void> {
  const delayMs = await inhibitDelayMs(options.exec);
  if (delayMs === undefined) {
    log.warn("no systemd-logind answers, so nothing announces that this machine shuts down; stop the agent with --drain-on-stop to end its pods first");
    return;
  }
  if (delayMs < options.totalMs && !(await raiseDelay(options))) log.warn({ neededMs: options.totalMs, delayMs }, "logind gives less time than pods are to have; raise InhibitDelayMaxSec in logind.conf");
  while (!signal.aborted) {
    await followOnce(options, signal).catch((error: unknown) => log.warn({ err: error }, "following logind failed"));
    await options.clock.sleep(RETRY_MS, signal);
  }
}

async function followOnce({ start, shutdown }: LogindOptions, signal: AbortSignal): Promise<void> {
  const monitor = start(WATCH);
  let lock: Running | undefined = start(INHIBIT);
  const stop = (): void => {
    monitor.end();
    lock?.end();
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const line of monitor.lines) {
      const announced = /^\s*boolean (true|false)/.exec(line)?.[1];
      if (announced === undefined) continue;
      log.info({ isShutdown: announced === "true" }, "logind announces");
      if (announced === "true") {
        await shutdown.begin();
        lock?.end();
        lock = undefined;
      } else {
        shutdown.cancel();
        lock ??= start(INHIBIT);
      }
    }
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

/** How long logind waits for those who ask it to; undefined without logind. */
async function inhibitDelayMs(exec: Exec): Promise<number | undefined> {
  const { exitCode, stdout } = await exec(["busctl", "get-property", ...MANAGER, "InhibitDelayMaxUSec"], { timeoutMs: 5_000 });
  const microseconds = /^t (\d+)/.exec(stdout)?.[1];
  return exitCode === 0 && microseconds !== undefined ? Number(microseconds) / 1000 : undefined;
}

/** Asks logind for as much time as the pods need; true once it grants that. */
async function raiseDelay({ exec, totalMs, clock, dropIn = DROP_IN }: LogindOptions): Promise<boolean> {
  await mkdir(dirname(dropIn), { recursive: true });
  await writeFile(dropIn, `# Kubelet logind override\n[Login]\nInhibitDelayMaxSec=${Math.ceil(totalMs / 1000)}\n`);
  await exec(["systemctl", "kill", "-s", "HUP", "systemd-logind"], { timeoutMs: 5_000 });
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    if (((await inhibitDelayMs(exec)) ?? 0) >= totalMs) return true;
    await clock.sleep(SETTLE_MS * 2 ** tries);
  }
  return false;
}

/** Starts a program on this machine, for `LogindOptions.start`. */
export function startProgram(command: readonly string[]): Running {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  return { lines: linesOf(child.stdout), end: () => child.kill("SIGTERM") };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}
