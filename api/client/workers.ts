// Workers that turn keys into reconciles: success forgets a key's failures, a throw tries it again later.
import { logger } from "../../lib/log.ts";
import { isAlreadyExists, isConflict, isNamespaceTerminating, isNotFound } from "../errors.ts";
import type { WorkQueue } from "./workqueue.ts";

export interface WorkersOptions {
  /** Whose work it is, for logs. */
  readonly name: string;
  readonly queue: WorkQueue;
  readonly workers: number;
  readonly signal: AbortSignal;
  /** Brings the world of one key to what is wanted. Safe to run twice; a throw means try again later. */
  readonly reconcile: (key: string) => Promise<void>;
}

const log = logger("workers");
/** Timers and sockets get a turn at least this often, however much is queued. */
const LONGEST_TURN_MS = 8;

/** Works on the queue until the signal aborts, then shuts it down and resolves once every worker has stopped. */
export async function runWorkers(options: WorkersOptions): Promise<void> {
  const { queue, signal, workers } = options;
  if (signal.aborted) return queue.shutDown();
  signal.addEventListener("abort", () => queue.shutDown(), { once: true });
  await Promise.all(Array.from({ length: workers }, () => work(options)));
}

async function work({ name, queue, reconcile, signal }: WorkersOptions): Promise<void> {
  let turnBegan = performance.now();
  for (let key = await queue.get(); key !== undefined; key = await queue.get()) {
    try {
      await reconcile(key);
      queue.forget(key);
    } catch (error) {
      if (!signal.aborted) report(name, key, error);
      queue.addRateLimited(key);
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
