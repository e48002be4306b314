// The machine is going down: pods end first, group by group from the least important, each within its time.
// Who says that the machine goes down is `logind.ts`, or whoever stops the agent.
import type { Pod } from "../../api/types.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import type { Refusal } from "./admission.ts";
import type { ShutdownPeriod } from "./settings.ts";
import type { PodWorker } from "./worker.ts";

const log = logger("shutdown");
const REASON = "Terminated";
const MESSAGE = "Pod was terminated in response to imminent node shutdown.";
const DEFAULT_GRACE_SECONDS = 30;

export const SHUTDOWN_REFUSAL: Refusal = { reason: "NodeShutdown", message: "Pod was rejected as the node is shutting down." };

export interface ShutdownOptions {
  readonly periods: readonly ShutdownPeriod[];
  readonly clock: Clock;
  readonly workers: () => readonly PodWorker[];
  /** Waits for what the API has not been told yet. */
  readonly flush: (uid: string) => Promise<void>;
  /** Called when `isOn` changes. */
  readonly onChange: (isOn: boolean) => void;
}

export class Shutdown {
  #isOn = false;

  constructor(readonly options: ShutdownOptions) {}

  /** While it is on, the node is not ready and takes no pods. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Ends every pod; resolves when all have ended, or the time of all groups is over. */
  async begin(): Promise<void> {
    if (this.#isOn) return;
    this.#set(true);
    for (const group of groupByPriority(this.options.periods, this.options.workers().filter(isActive))) {
      if (group.workers.length > 0) await this.#end(group);
    }
    log.info("every pod has had its time");
  }

  /** The shutdown was called off; pods that ended stay ended. */
  cancel(): void {
    this.#set(false);
  }

  #set(isOn: boolean): void {
    if (this.#isOn === isOn) return;
    this.#isOn = isOn;
    this.options.onChange(isOn);
  }

  async #end({ seconds, workers }: Group): Promise<void> {
    const { clock, flush } = this.options;
    log.info({ pods: workers.length, seconds }, "ending pods, because the node shuts down");
    for (const worker of workers) {
      const graceSeconds = Math.min(seconds, worker.pod.spec?.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS);
      worker.fail({ phase: "Failed", reason: REASON, message: MESSAGE, graceSeconds, disruption: { reason: "TerminationByKubelet", message: MESSAGE } });
    }
    const timer = new AbortController();
    const all = Promise.all(workers.map(async (worker) => {
      await worker.ended;
      await flush(worker.pod.metadata.uid ?? "");
    }));
    await Promise.race([all, clock.sleep(seconds * 1000, timer.signal)]);
    timer.abort();
  }
}

interface Group {
  readonly priority: number;
  readonly seconds: number;
  readonly workers: PodWorker[];
}

const isActive = (worker: PodWorker): boolean => worker.phase === "syncing" || worker.phase === "terminating";

/** Each pod in the group with the highest priority that is not above its own; the least important first. */
export function groupByPriority<T extends { readonly pod: Pod }>(periods: readonly ShutdownPeriod[], workers: readonly T[]): { priority: number; seconds: number; workers: T[] }[] {
  const groups = periods.map((period) => ({ ...period, workers: [] as T[] }));
  for (const worker of workers) {
    const priority = worker.pod.spec?.priority ?? 0;
    const group = groups.findLast((one) => one.priority <= priority) ?? groups[0];
    group?.workers.push(worker);
  }
  return groups;
}
