// Of several processes that could lead, exactly one does: whoever holds a Lease and keeps renewing it.
// Timing follows upstream: 15 s lease, given up after 10 s without a renewal, tried every 2 s.
import { jittered } from "../../lib/backoff.ts";
import { microTimestamp, systemClock, type Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { isNotFound } from "../errors.ts";
import { builtinKind } from "../registry.ts";
import type { Lease, LeaseSpec, Stored } from "../types.ts";
import type { Client } from "./client.ts";

export interface LeaderElectionOptions {
  readonly client: Client;
  readonly lease: { readonly namespace: string; readonly name: string };
  /** Unique among the candidates, and over restarts. */
  readonly identity: string;
  readonly clock?: Clock;
  readonly leaseMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryMs?: number;
  /** Runs while leading; its signal aborts when leadership ends, and leading again waits for it to return. */
  readonly lead: (signal: AbortSignal) => Promise<void>;
}

const LEASE = builtinKind("coordination.k8s.io", "v1", "Lease");
const log = logger("election");

/** One candidate. */
export class LeaderElector {
  readonly #options: Required<LeaderElectionOptions>;
  /** The lease as last seen, and when: only this process's clock is trusted to tell that it ran out. */
  #seen: { lease: Stored<Lease>; at: number } | undefined;
  #renewedAt = 0;

  constructor(options: LeaderElectionOptions) {
    this.#options = { clock: systemClock, leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2000, ...options };
  }

  /** Stands for election until the signal aborts; leads as often as it is elected; gives the lease back at the end. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, retryMs } = this.#options;
    while (!signal.aborted) {
      if (await this.#tryAcquire()) await this.#leadWhileRenewed(signal);
      else await clock.sleep(jittered(retryMs, 0.2), signal);
    }
  }

  async #leadWhileRenewed(signal: AbortSignal): Promise<void> {
    const { lead, lease, identity } = this.#options;
    log.info({ lease: `${lease.namespace}/${lease.name}`, identity }, "became leader");
    const term = new AbortController();
    const end = (): void => term.abort();
    signal.addEventListener("abort", end, { once: true });
    const leading = lead(term.signal);
    const ended = leading.then(end, end);
    await this.#renewUntilLost(term.signal);
    term.abort();
    await ended;
    signal.removeEventListener("abort", end);
    await this.#release();
    await leading;
  }

  async #renewUntilLost(signal: AbortSignal): Promise<void> {
    const { clock, retryMs, renewDeadlineMs } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(retryMs, signal);
      if (signal.aborted || (await this.#tryAcquire())) continue;
      if (clock.monotonic() - this.#renewedAt < renewDeadlineMs) continue;
      log.warn({ lease: this.#options.lease.name }, "lost the lease");
      return;
    }
  }

  /** Takes or renews the lease; false when another holds it or the server is out of reach. */
  async #tryAcquire(): Promise<boolean> {
    const { clock } = this.#options;
    const begin = clock.monotonic();
    try {
      if (!(await this.#write())) return false;
      this.#renewedAt = begin;
      return true;
    } catch (error) {
      log.debug({ lease: this.#options.lease.name, err: error }, "the lease was not written");
      return false;
    }
  }

  async #write(): Promise<boolean> {
    const { client, lease: name, identity, clock, leaseMs } = this.#options;
    const current = await this.#read();
    const now = microTimestamp(clock.now());
    const spec: LeaseSpec = { holderIdentity: identity, leaseDurationSeconds: Math.ceil(leaseMs / 1000), acquireTime: now, renewTime: now, leaseTransitions: 0 };
    if (!current) {
      await client.create<Lease>(LEASE, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: { ...name }, spec });
      return true;
    }
    const holder = current.spec?.holderIdentity;
    const isMine = holder === identity;
    if (!isMine && holder && this.#isHeld(current)) return false;
    const transitions = current.spec?.leaseTransitions ?? 0;
    await client.update<Lease>(LEASE, {
      ...current,
      spec: { ...current.spec, ...spec, acquireTime: isMine ? current.spec?.acquireTime : now, leaseTransitions: isMine ? transitions : transitions + 1 },
    });
    return true;
  }

  async #read(): Promise<Stored<Lease> | undefined> {
    try {
      return await this.#options.client.get<Lease>(LEASE, this.#options.lease);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  #isHeld(lease: Stored<Lease>): boolean {
    const now = this.#options.clock.monotonic();
    if (this.#seen?.lease.metadata.resourceVersion !== lease.metadata.resourceVersion) this.#seen = { lease, at: now };
    return now < this.#seen.at + (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
  }

  /** Lets the next candidate in without waiting for the lease to run out. */
  async #release(): Promise<void> {
    const { client, identity, clock } = this.#options;
    try {
      const current = await this.#read();
      if (current?.spec?.holderIdentity !== identity) return;
      const now = microTimestamp(clock.now());
      await client.update<Lease>(LEASE, { ...current, spec: { ...current.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: now, acquireTime: now } });
    } catch (error) {
      log.debug({ err: error }, "the lease was not released; it will run out");
    }
  }
}
