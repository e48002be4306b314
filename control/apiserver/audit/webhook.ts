// Audit events posted to a server elsewhere, many at a time and behind the back of those who are recorded.
// Batches, limits and retries: k8s.io/apiserver/plugin/pkg/audit/{buffered,webhook}.
import type { Clock } from "../../../lib/clock.ts";
import { logger } from "../../../lib/log.ts";
import type { AuditSink } from "./auditor.ts";

/** Where batches go; throws when they have not arrived. */
export type PostBatch = (body: string) => Promise<void>;

export interface AuditWebhookOptions {
  readonly post: PostBatch;
  readonly clock: Clock;
  /** The most events that wait to be sent; what comes after them is lost. */
  readonly bufferSize: number;
  readonly maxBatchSize: number;
  readonly maxBatchWaitMs: number;
  /** How long it waits before it sends a batch again, the first time. */
  readonly initialBackoffMs: number;
}

const log = logger("audit");
const ATTEMPTS = 5;
const FACTOR = 1.5;
const HEAD = '{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[';

/** Sends events as `EventList`s, one batch after another. */
export class AuditWebhook implements AuditSink {
  readonly plugin = "webhook";
  lost = 0;
  #waiting: string[] = [];
  #sending: Promise<void> | undefined;
  #timer: Timer | undefined;
  readonly #closing = new AbortController();

  constructor(private readonly options: AuditWebhookOptions) {}

  /** Adds an event; never waits, never throws. */
  add(line: string): void {
    const { bufferSize, maxBatchSize, maxBatchWaitMs } = this.options;
    if (this.#waiting.length >= bufferSize) return void this.lost++;
    this.#waiting.push(line);
    if (this.#waiting.length >= maxBatchSize) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), maxBatchWaitMs);
  }

  /** Sends what waits, each batch once. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#send();
    await this.#sending;
  }

  #send(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending ??= this.#sendAll().finally(() => (this.#sending = undefined));
  }

  async #sendAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.options.maxBatchSize);
      if (!(await this.#sendOne(`${HEAD}${batch.join(",")}]}`))) this.lost += batch.length;
    }
  }

  async #sendOne(body: string): Promise<boolean> {
    let delayMs = this.options.initialBackoffMs;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.options.post(body);
        return true;
      } catch (error) {
        const isLast = attempt === ATTEMPTS || this.#closing.signal.aborted;
        log.warn({ err: error, attempt }, isLast ? "audit events could not be sent and are lost" : "audit events could not be sent; tried again");
        if (isLast) return false;
      }
      await this.options.clock.sleep(delayMs, this.#closing.signal);
      delayMs *= FACTOR;
    }
  }
}
