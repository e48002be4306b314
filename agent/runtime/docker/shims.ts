// Shims whose containers an engine's death has ended: the engine that comes after it forgets them, and nobody else knows them.
// Only shims of this node's own containers are ended, and only when nothing runs below them any more.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import { argumentAfter, descendantsOf, findProcesses } from "../containerd/machine.ts";

const log = logger("runtime");
/** A shim that ends in order does so within seconds. */
const SETTLE_MS = 20_000;

export interface ShimsDeps {
  /** Where ids are noted until they have been looked after, for an agent that ends before. */
  readonly file: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Whether a container of this id runs. */
  readonly isRunning: (id: string) => Promise<boolean>;
}

/** The shims of one engine's containers. */
export class Shims {
  readonly #deps: ShimsDeps;

  constructor(deps: ShimsDeps) {
    this.#deps = deps;
  }

  /** Ends the shims that these containers, and those an earlier agent had no time for, have left; to be called when an engine was found or has come back. */
  async tidy(stopped: readonly string[]): Promise<void> {
    const { file, clock, signal, isRunning } = this.#deps;
    const suspects = shimsOf(new Set([...stopped, ...noted(file)]));
    if (suspects.size === 0) return rmSync(file, { force: true });
    writeFileSync(file, JSON.stringify([...suspects.keys()]));
    await clock.sleep(SETTLE_MS, signal);
    if (signal.aborted) return;
    for (const [id, pid] of shimsOf(new Set(suspects.keys()))) {
      if (suspects.get(id) !== pid || descendantsOf(pid).length > 0 || (await isRunning(id))) continue;
      end(pid);
      log.info({ pid, container: id }, "ended a shim that the engine has forgotten");
    }
    rmSync(file, { force: true });
  }
}

/** Those that serve one of these containers, by container. */
function shimsOf(ids: ReadonlySet<string>): Map<string, number> {
  if (ids.size === 0) return new Map();
  const shims = findProcesses(["-namespace"]).map((pid) => [argumentAfter("-id", pid) ?? "", pid] as const);
  return new Map(shims.filter(([id]) => ids.has(id)));
}

function noted(file: string): string[] {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as string[];
  } catch {
    return [];
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself meanwhile.
  }
}
