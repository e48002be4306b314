// Everything that is not the cluster's: asked of the node's resolvers, kept for as long as they allow.
// Bounded in questions under way and in answers kept; equal questions at once are asked once.
import { decode, encode, type Answer, type DecodedPacket } from "dns-packet";
import type { Clock } from "../../lib/clock.ts";
import { exchange, HEADER_BYTES, questionBytes, type Resolver } from "./upstream.ts";

export interface ForwarderOptions {
  /** The resolvers right now, in order of preference. */
  readonly resolvers: () => readonly Resolver[];
  readonly clock: Clock;
  readonly timeoutMs?: number;
  readonly maxConcurrent?: number;
  readonly maxCached?: number;
}

interface Cached {
  readonly packet: DecodedPacket;
  readonly storedAt: number;
  readonly expiresAt: number;
}

const MAX_TTL_SECONDS = 3600;
/** A negative answer without a SOA, and failures, are not kept. */
const MAX_NEGATIVE_TTL_SECONDS = 30;

/** No resolver answered; the client is told SERVFAIL. */
export class ForwardError extends Error {
  override readonly name = "ForwardError";
}

/** Asks resolvers on behalf of clients. */
export class Forwarder {
  readonly #options: Required<ForwarderOptions>;
  readonly #cache = new Map<string, Cached>();
  readonly #pending = new Map<string, Promise<Buffer>>();
  #preferred = 0;

  constructor(options: ForwarderOptions) {
    this.#options = { timeoutMs: 2000, maxConcurrent: 1000, maxCached: 10_000, ...options };
  }

  /** The reply to a query message, with the query's id; throws ForwardError when nobody answers or too much is under way. */
  async forward(message: Buffer, query: DecodedPacket): Promise<Buffer> {
    const key = keyOf(query);
    const cached = this.#fresh(key);
    if (cached) return addressedTo(message, encode(cached));
    let pending = this.#pending.get(key);
    if (!pending) {
      if (this.#pending.size >= this.#options.maxConcurrent) throw new ForwardError(`more than ${this.#options.maxConcurrent} questions are waiting for resolvers`);
      pending = this.#ask(message).finally(() => this.#pending.delete(key));
      this.#pending.set(key, pending);
    }
    const reply = await pending;
    this.#keep(key, reply);
    return addressedTo(message, reply);
  }

  async #ask(message: Buffer): Promise<Buffer> {
    const resolvers = this.#options.resolvers();
    const failures: string[] = [];
    for (let attempt = 0; attempt < resolvers.length; attempt++) {
      const index = (this.#preferred + attempt) % resolvers.length;
      try {
        const reply = await exchange(message, resolvers[index] as Resolver, this.#options.timeoutMs);
        // One that refuses may be alive but unwilling; the next may know.
        if (attempt < resolvers.length - 1 && isRefusal(reply)) continue;
        this.#preferred = index;
        return reply;
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
    throw new ForwardError(failures.length === 0 ? "the node has no resolvers" : failures.join("; "));
  }

  #fresh(key: string): DecodedPacket | undefined {
    const cached = this.#cache.get(key);
    if (!cached) return undefined;
    const now = this.#options.clock.monotonic();
    if (now >= cached.expiresAt) {
      this.#cache.delete(key);
      return undefined;
    }
    const ageSeconds = Math.floor((now - cached.storedAt) / 1000);
    const aged = (records: readonly Answer[] | undefined): Answer[] => (records ?? []).map((record) => ("ttl" in record ? { ...record, ttl: Math.max(0, (record.ttl ?? 0) - ageSeconds) } : record)) as Answer[];
    return { ...cached.packet, answers: aged(cached.packet.answers), authorities: aged(cached.packet.authorities), additionals: aged(cached.packet.additionals) };
  }

  #keep(key: string, reply: Buffer): void {
    const packet = tryDecode(reply);
    const ttlSeconds = packet ? ttlOf(packet) : 0;
    if (!packet || ttlSeconds <= 0) return;
    const storedAt = this.#options.clock.monotonic();
    this.#cache.delete(key);
    this.#cache.set(key, { packet, storedAt, expiresAt: storedAt + ttlSeconds * 1000 });
    // Maps keep insertion order: the first is the one stored longest ago.
    if (this.#cache.size > this.#options.maxCached) this.#cache.delete(this.#cache.keys().next().value as string);
  }
}

/** A reply that dns-packet cannot read still goes to the client, but is not kept. */
function tryDecode(reply: Buffer): DecodedPacket | undefined {
  try {
    const packet = decode(reply);
    // What cannot be written again exactly must not be kept either.
    encode(packet);
    return packet;
  } catch {
    return undefined;
  }
}

function ttlOf(packet: DecodedPacket): number {
  const code = (packet as { rcode?: string }).rcode;
  if (code !== "NOERROR" && code !== "NXDOMAIN") return 0;
  const ttls = [...(packet.answers ?? []), ...(packet.authorities ?? [])].map((record) => ("ttl" in record ? (record.ttl ?? 0) : 0));
  if (ttls.length === 0) return 0;
  return Math.min(...ttls, (packet.answers ?? []).length > 0 ? MAX_TTL_SECONDS : MAX_NEGATIVE_TTL_SECONDS);
}

function keyOf(query: DecodedPacket): string {
  const question = query.questions?.[0];
  const dnssec = (query.additionals ?? []).some((record) => record.type === "OPT" && (record as { flag_do?: boolean }).flag_do);
  const extended = (query.additionals ?? []).some((record) => record.type === "OPT");
  return `${question?.name.toLowerCase()} ${question?.type} ${question?.class} ${extended} ${dnssec} ${query.flag_cd}`;
}

function isRefusal(reply: Buffer): boolean {
  const code = (reply[3] as number) & 0x0f;
  return code === 2 || code === 5;
}

/** The reply under the query's own id and spelling of the name, which some clients vary and compare. */
function addressedTo(query: Buffer, reply: Buffer): Buffer {
  const copy = Buffer.from(reply);
  query.copy(copy, 0, 0, 2);
  questionBytes(query).copy(copy, HEADER_BYTES);
  return copy;
}
