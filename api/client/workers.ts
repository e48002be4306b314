// Workers that turn keys into reconciles: success forgets a key's failures, a throw tries it again later.
import { logger } from "../../lib/log.ts";
import { isAlreadyExists, isConflict, isNamespaceTerminating, isNotFound } from "../errors.ts";
import { queueLines } from "./queuefigures.ts";
import type { WorkQueue } from "./workqueue.ts";

export interface WorkersOptions {
  /** Whose work it is, for logs. */
  readonly name: string;
  /** What the queue is called in metrics, where that is not `name`. */
  readonly queueName?: string | undefined;
  readonly queue: WorkQueue;
  readonly workers: number;
  readonly signal: AbortSignal;
  /** Brings the world of one key to what is wanted. Safe to run twice; a throw means try again later. */
  readonly reconcile: (key: string) => Promise<void>;
  /** Told once of a key that failed many times in a row, with what it failed with last. */
  readonly onPoisoned?: ((key: string, error: unknown) => void) | undefined;
}

const log = logger("workers");
/** The queues being worked on in this process, for its metrics. */
const running = new Set<Pick<WorkersOptions, "name" | "queueName" | "queue">>();
/** A key that failed this often in a row is named: something is wrong with that object, not with the network. */
const POISONED_AFTER = 8;
const MAX_NAMED = 100;
/** Timers and sockets get a turn at least this often, however much is queued. */
const LONGEST_TURN_MS = 8;

/** Works on the queue until the signal aborts, then shuts it down and resolves once every worker has stopped. */
export async function runWorkers(options: WorkersOptions): Promise<void> {
  const { queue, signal, workers } = options;
  if (signal.aborted) return queue.shutDown();
  signal.addEventListener("abort", () => queue.shutDown(), { once: true });
  running.add(options);
  await Promise.all(Array.from({ length: workers }, () => work(options)));
  running.delete(options);
}

/** Has everything looked at again that waits for its time: the date was set, and what a date says may be due by now. */
export function wakeDelayed(): void {
  for (const { queue } of running) queue.wakeDelayed();
}

/** The queues' numbers as Prometheus reads them, under upstream's names; `reconcile_poisoned` names objects that keep failing. */
export function workQueueFigures(): string {
  const queues = [...running].map(({ name, queueName = name, queue }) => [queueName, queue] as const);
  const poisoned = queues.flatMap(([name, queue]) => [...queue.failing].filter(([, count]) => count >= POISONED_AFTER).map(([key, count]) => `minik8s_reconcile_poisoned{name="${name}",key="${key}"} ${count}`));
  return [
    ...queueLines(queues),
    "# HELP minik8s_reconcile_poisoned Objects whose reconcile failed many times in a row, by how often", "# TYPE minik8s_reconcile_poisoned gauge", ...poisoned.slice(0, MAX_NAMED),
    "",
  ].join("\n");
}

async function work({ name, queue, reconcile, signal, onPoisoned }: WorkersOptions): Promise<void> {
  let turnBegan = performance.now();
  for (let key = await queue.get(); key !== undefined; key = await queue.get()) {
    try {
      await reconcile(key);
      queue.forget(key);
    } catch (error) {
      if (!signal.aborted) report(name, key, error);
      queue.addRateLimited(key);
      if (queue.retries(key) === POISONED_AFTER) onPoisoned?.(key, error);
    } finally {
      queue.done(key);
    }
    if (performance.now() - turnBegan < LONGEST_TURN_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    turnBegan = performance.now();
  }
}

function report(controller: string, key: string, error: unknown): void {
  // A cache that was behind, or a namespace on its way out: the next try knows better.
  const isPassing = isConflict(error) || isAlreadyExists(error) || isNotFound(error) || isNamespaceTerminating(error);
  if (isPassing) log.debug({ controller, key, err: error }, "reconcile was overtaken; trying again");
  else log.warn({ controller, key, err: error }, "reconcile failed; trying again");
}
