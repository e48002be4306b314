// Gives memory back to the machine while there is little to do: the engine keeps what a burst needed, compiled code
// included, until somebody asks for it. What a process holds at its busiest is not this file's business.
import { readFileSync } from "node:fs";
import type { Clock } from "./clock.ts";
import { logger } from "./log.ts";

const log = logger("footprint");
const CHECK_MS = 10_000;
/** Compiled code is given back too and made again when needed, so not more often than this. */
const REST_MS = 60_000;
const SETTLE_MS = 1_000;
const SLACK_BYTES = 4 << 20;
/** Share of a core above which the process is at work. */
const BUSY = 0.05;

export interface FootprintDeps {
  readonly clock: Clock;
  /** Memory of the process that no file backs. */
  readonly anonymousBytes?: () => number;
  /** Processor time of the process so far, in microseconds. */
  readonly cpuMicros?: () => number;
  readonly shrink?: () => void;
}

/** Watches the process until the signal aborts; asks for memory back when it has grown and the work is done. */
export async function keepSmall(deps: FootprintDeps, signal: AbortSignal): Promise<void> {
  const { clock, anonymousBytes = readAnonymousBytes, cpuMicros = readCpuMicros, shrink = shrinkEngine } = deps;
  let floorBytes = 0;
  let lastCpu = cpuMicros();
  while (!signal.aborted) {
    await clock.sleep(CHECK_MS, signal);
    const cpu = cpuMicros();
    const isBusy = cpu - lastCpu > BUSY * CHECK_MS * 1000;
    lastCpu = cpu;
    if (signal.aborted || isBusy || anonymousBytes() <= floorBytes + SLACK_BYTES) continue;
    const before = anonymousBytes();
    shrink();
    await clock.sleep(SETTLE_MS, signal);
    floorBytes = anonymousBytes();
    log.debug({ before, after: floorBytes }, "gave memory back");
    await clock.sleep(REST_MS, signal);
    lastCpu = cpuMicros();
  }
}

function shrinkEngine(): void {
  // Not in Bun's type declarations.
  (Bun as unknown as { shrink(): void }).shrink();
}

function readCpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function readAnonymousBytes(): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
}
