// Times to live as etcd leases: keys that are written about the same time share one, because etcd pays for every lease.
// A key therefore lives up to a twentieth, and at most a minute, longer than asked.
import type { Clock } from "../../../lib/clock.ts";
import type { EtcdConnection } from "./connection.ts";
import { LEASE_GRANT } from "./messages.ts";

interface Shared {
  readonly id: Promise<number>;
  readonly goodUntilMs: number;
  keys: number;
}

const MAX_KEYS = 1000;
const MAX_EXTRA_SECONDS = 60;
const PATIENCE_MS = 10_000;

/** Gives out lease IDs. */
export class Leases {
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #shared = new Map<number, Shared>();

  constructor(connection: EtcdConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** A lease that lasts at least this long from now. */
  async for(ttlSeconds: number): Promise<number> {
    const known = this.#shared.get(ttlSeconds);
    if (known && known.keys < MAX_KEYS && this.#clock.now() < known.goodUntilMs) {
      known.keys++;
      return known.id;
    }
    const extraSeconds = Math.min(MAX_EXTRA_SECONDS, Math.floor(ttlSeconds / 20));
    const shared: Shared = { id: this.#grant(ttlSeconds + extraSeconds), goodUntilMs: this.#clock.now() + extraSeconds * 1000, keys: 1 };
    this.#shared.set(ttlSeconds, shared);
    shared.id.catch(() => this.#shared.delete(ttlSeconds));
    return shared.id;
  }

  async #grant(ttlSeconds: number): Promise<number> {
    // Chosen here so that it fits a JavaScript number; one granted twice after a lost answer runs out unused.
    return this.#connection.retry(async () => (await this.#connection.call(LEASE_GRANT, { TTL: ttlSeconds, ID: randomId() })).ID, PATIENCE_MS);
  }
}

/** 52 random bits, never 0. */
function randomId(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 12) * 2 ** 32 + low + 1;
}
