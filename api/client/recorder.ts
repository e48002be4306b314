// Says what happened to an object, as core/v1 Events, in the background.
// Recording never blocks and never throws: an event that cannot be sent is dropped.
import { systemClock, timestamp, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { ApiError, isNotFound } from "../errors.ts";
import { builtinKind } from "../registry.ts";
import type { Event, KubeObject, ObjectReference } from "../types.ts";
import type { Client } from "./client.ts";
import { keyOf } from "./informer.ts";
import { EventCorrelator, type Correlated } from "./events.ts";

/** Records events about objects; `regarding` is the object itself (with apiVersion and kind) or a reference to it. */
export interface EventRecorder {
  event(regarding: KubeObject | ObjectReference, type: "Normal" | "Warning", reason: string, message: string): void;
}

export interface EventRecorderOptions {
  readonly client: Client;
  /** `deployment-controller`, `kubelet`, ... */
  readonly component: string;
  /** The node the component runs on, where that matters. */
  readonly host?: string;
  readonly clock?: Clock;
}

const EVENT = builtinKind("", "v1", "Event");
const MAX_QUEUED = 1000;
const MAX_TRIES = 5;
const RETRY_MS = 1000;
const MAX_MESSAGE = 1024;
const log = logger("events");
let sequence = 0;

/** The recorder programs use; what is queued when the process ends is lost. */
export class BackgroundEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #correlator: EventCorrelator;
  /** What is to be sent, by the event's key: repeats of what is still waiting go with it. */
  readonly #queue = new Map<string, Correlated>();
  #sending: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#correlator = new EventCorrelator(this.#clock);
  }

  event(regarding: KubeObject | ObjectReference, type: "Normal" | "Warning", reason: string, message: string): void {
    // Correlated before it is queued: a flood about one object must not crowd out what is said about others.
    const correlated = this.#correlator.correlate(this.#build(referenceTo(regarding), type, reason, message));
    if (!correlated) return;
    const key = keyOf(correlated.event);
    const waiting = this.#queue.get(key);
    if (!waiting && this.#queue.size >= MAX_QUEUED) {
      log.debug({ reason, message }, "event queue is full; event dropped");
      return;
    }
    this.#queue.set(key, waiting ? { ...correlated, isRepeat: waiting.isRepeat } : correlated);
    this.#sending ??= this.#sendAll();
  }

  /** Resolves once everything recorded so far has been sent or dropped. */
  async flush(): Promise<void> {
    await this.#sending;
  }

  // The four parts of an event plus nothing: an object would only repeat their names.
  #build(involvedObject: ObjectReference, type: string, reason: string, message: string): Event {
    const { component, host } = this.#options;
    const now = this.#clock.now();
    const suffix = (BigInt(now) * 1_000_000n + BigInt(sequence++ % 1_000_000)).toString(16);
    return {
      apiVersion: "v1", kind: "Event",
      metadata: { name: `${involvedObject.name}.${suffix}`, namespace: involvedObject.namespace || "default" },
      involvedObject, type, reason, message: message.slice(0, MAX_MESSAGE), count: 1,
      firstTimestamp: timestamp(now), lastTimestamp: timestamp(now),
      source: { component, ...(host && { host }) }, reportingComponent: component, reportingInstance: host ?? "",
    };
  }

  async #sendAll(): Promise<void> {
    // Never done before it is noted as begun: a first event that is dropped would leave the recorder silent for ever.
    await Promise.resolve();
    for (const [key, { event, isRepeat }] of this.#queue) {
      this.#queue.delete(key);
      await this.#send(event, isRepeat);
    }
    this.#sending = undefined;
  }

  async #send(event: Event, isRepeat: boolean): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#write(event, isRepeat);
        return;
      } catch (error) {
        // What the server refuses once it refuses again; only a server out of reach is worth waiting for.
        if (error instanceof ApiError || attempt >= MAX_TRIES) {
          log.debug({ event: event.metadata.name, err: error }, "event dropped");
          return;
        }
        await this.#clock.sleep(RETRY_MS * attempt);
      }
    }
  }

  async #write(event: Event, isRepeat: boolean): Promise<void> {
    const { client } = this.#options;
    if (isRepeat) {
      const { name, namespace } = event.metadata;
      const change = { count: event.count, lastTimestamp: event.lastTimestamp, message: event.message };
      try {
        await client.patch(EVENT, { name: name as string, namespace }, change, { type: "merge" });
        return;
      } catch (error) {
        // Events expire; the next repeat starts a new one.
        if (!isNotFound(error)) throw error;
      }
    }
    await client.create(EVENT, event);
  }
}

/** The reference an event carries to its object. */
export function referenceTo(regarding: KubeObject | ObjectReference): ObjectReference {
  if (!("metadata" in regarding)) return regarding;
  const { apiVersion, kind, metadata } = regarding;
  const { name, namespace, uid, resourceVersion } = metadata;
  return { apiVersion, kind, name, ...(namespace && { namespace }), uid, resourceVersion };
}
