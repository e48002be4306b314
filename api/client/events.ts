// What happens to a new event before it is sent: spam is dropped, floods of similar ones are combined, repeats are counted.
// Rules and limits: k8s.io/client-go/tools/record/events_cache.go. Sending is the recorder's business.
import type { Clock } from "../../lib/clock.ts";
import { timestamp } from "../../lib/clock.ts";
import { LruMap } from "../../lib/lru.ts";
import type { Event } from "../types.ts";

/** What to send: a new event, or the repeat of one sent before, by its name. */
export interface Correlated {
  readonly event: Event;
  readonly isRepeat: boolean;
}

interface Bucket { tokens: number; refilledAt: number }
interface Similar { readonly messages: Set<string>; lastAt: number }
interface Sent { readonly name: string; readonly firstTimestamp: string | undefined; count: number }

const MAX_ENTRIES = 4096;
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;
const SIMILAR_LIMIT = 10;
const SIMILAR_WINDOW_MS = 600_000;

/** Keeps, within fixed bounds, what has been sent about what. */
export class EventCorrelator {
  readonly #buckets = new LruMap<string, Bucket>(MAX_ENTRIES);
  readonly #similar = new LruMap<string, Similar>(MAX_ENTRIES);
  readonly #sent = new LruMap<string, Sent>(MAX_ENTRIES);

  constructor(private readonly clock: Clock) {}

  /** Undefined when this source has said too much about this object lately. */
  correlate(event: Event): Correlated | undefined {
    const combined = this.#combine(event);
    if (!this.#accepts(event)) return undefined;
    return this.#count(combined.event, combined.key);
  }

  /** The server no longer has the event a repeat was counted on. */
  forget(event: Event): void {
    for (const key of [combinedKey(event), fullKey(event)]) this.#sent.delete(key);
  }

  #accepts(event: Event): boolean {
    const key = sourceKey(event);
    const now = this.clock.monotonic();
    const bucket = this.#buckets.get(key) ?? { tokens: SPAM_BURST, refilledAt: now };
    bucket.tokens = Math.min(SPAM_BURST, bucket.tokens + (now - bucket.refilledAt) / SPAM_REFILL_MS);
    bucket.refilledAt = now;
    this.#buckets.set(key, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  /** More than ten different messages for one reason within ten minutes become one event. */
  #combine(event: Event): { event: Event; key: string } {
    const key = combinedKey(event);
    const now = this.clock.monotonic();
    const known = this.#similar.get(key);
    const similar = known && now - known.lastAt <= SIMILAR_WINDOW_MS ? known : { messages: new Set<string>(), lastAt: now };
    similar.lastAt = now;
    similar.messages.add(event.message ?? "");
    this.#similar.set(key, similar);
    if (similar.messages.size < SIMILAR_LIMIT) return { event, key: fullKey(event) };
    similar.messages.delete(similar.messages.values().next().value as string);
    return { event: { ...event, message: `(combined from similar events): ${event.message ?? ""}` }, key };
  }

  #count(event: Event, key: string): Correlated {
    const sent = this.#sent.get(key);
    if (!sent) {
      this.#sent.set(key, { name: event.metadata.name as string, firstTimestamp: event.firstTimestamp, count: 1 });
      return { event, isRepeat: false };
    }
    sent.count++;
    const repeated: Event = {
      ...event, count: sent.count, firstTimestamp: sent.firstTimestamp, lastTimestamp: timestamp(this.clock.now()),
      metadata: { ...event.metadata, name: sent.name },
    };
    return { event: repeated, isRepeat: true };
  }
}

function sourceKey({ source, involvedObject: object }: Event): string {
  return [source?.component, source?.host, object.kind, object.namespace, object.name, object.uid, object.apiVersion].join("|");
}

function combinedKey(event: Event): string {
  return [sourceKey(event), event.involvedObject.fieldPath, event.type, event.reason, event.reportingComponent].join("|");
}

function fullKey(event: Event): string {
  return `${combinedKey(event)}|${event.message}`;
}
