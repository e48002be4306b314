// The certificates a node holds: kept in its data directory, loaded at start, renewed at 70 to 90% of their life.
// Whoever uses one asks for the current one each time, so that renewal needs no restart.
import { X509Certificate } from "node:crypto";
import { chmod, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Client } from "../../api/client/client.ts";
import type { ClientCertificate } from "../../api/client/transport.ts";
import type { Clock } from "../../lib/clock.ts";
import { logger } from "../../lib/log.ts";
import { requestCertificate, type NodeCertificateRequest } from "./csr.ts";

const log = logger("node-certificates");
const RETRY_MS = 10_000;
/** The last part of a certificate's life, in which whoever failed to renew it has tried for weeks. */
const OVERDUE = 0.1;
/** Sleepers do not hear of a date that was set forward, nor of a machine that slept: the date is looked at this often. */
const LOOK_MS = 60_000;

/** Key and certificate in one file, so that they are replaced together. */
export async function loadCertificate(path: string): Promise<ClientCertificate | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  const key = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----\n?/.exec(text)?.[0];
  if (!key) return undefined;
  return { keyPem: key, certPem: text.replace(key, "") };
}

/** Writes atomically, readable by root only. */
export async function saveCertificate(path: string, pair: ClientCertificate): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.new`;
  await writeFile(fresh, `${pair.certPem.trimEnd()}\n${pair.keyPem}`, { mode: 0o600 });
  await chmod(fresh, 0o600);
  await rename(fresh, path);
}

/** Whether the certificate is good now. */
export function isValid(pair: ClientCertificate | undefined, now: number): pair is ClientCertificate {
  if (!pair) return false;
  try {
    const certificate = new X509Certificate(pair.certPem);
    return certificate.validFromDate.getTime() <= now && certificate.validToDate.getTime() > now;
  } catch {
    return false;
  }
}

/** Whether it names everything that is asked for now: a machine may have got another address. */
export function isFor(pair: ClientCertificate, { dnsNames = [], ipAddresses = [] }: NodeCertificateRequest): boolean {
  const certificate = new X509Certificate(pair.certPem);
  return dnsNames.every((name) => certificate.checkHost(name) !== undefined) && ipAddresses.every((address) => certificate.checkIP(address) !== undefined);
}

/** When it ends, in milliseconds since the epoch. */
export function expiryOf(pair: ClientCertificate): number {
  return new X509Certificate(pair.certPem).validToDate.getTime();
}

/** When to renew: a moment of its own in the last third, so that a cluster's nodes do not all ask at once. */
export function renewalTime(certPem: string, random: number): number {
  const { validFromDate, validToDate } = new X509Certificate(certPem);
  const life = validToDate.getTime() - validFromDate.getTime();
  return validFromDate.getTime() + life * (0.7 + 0.2 * random);
}

export interface RotatingOptions {
  readonly path: string;
  readonly request: NodeCertificateRequest;
  readonly clock: Clock;
}

/** One certificate of the node, current at any time. */
export class RotatingCertificate {
  #current: ClientCertificate | undefined;
  #failures = 0;
  #ended: number | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(readonly options: RotatingOptions, current?: ClientCertificate) {
    this.#current = current;
  }

  get current(): ClientCertificate | undefined {
    return this.#current;
  }

  /** Calls back whenever a new certificate is in use. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** How often asking for a new one has failed. */
  get failures(): number {
    return this.#failures;
  }

  /** Loads what is on disk; true when it is good, and for what is asked for now. */
  async load(): Promise<boolean> {
    const stored = await loadCertificate(this.options.path);
    if (!isValid(stored, this.options.clock.now())) {
      if (stored) this.#ended = endOf(stored);
      return false;
    }
    if (!isFor(stored, this.options.request)) return false;
    this.#current = stored;
    return true;
  }

  /** When the one that was found at start had ended, in milliseconds since the epoch; undefined when there was none. */
  get ended(): number | undefined {
    return this.#ended;
  }

  /** Asks for a new certificate now and keeps it. */
  async renew(client: Client, signal: AbortSignal): Promise<void> {
    const { request, clock, path } = this.options;
    const fresh = await requestCertificate({ client, clock }, request, signal);
    await saveCertificate(path, fresh);
    this.#current = fresh;
    for (const listener of this.#listeners) listener();
  }

  /** Keeps it fresh until the signal aborts; `onOverdue` hears of every failure once the end is near or past. */
  async keepFresh(client: Client, signal: AbortSignal, onOverdue?: (overdue: Overdue) => void | Promise<void>): Promise<void> {
    const { clock, request } = this.options;
    while (!signal.aborted) {
      const due = this.#current ? renewalTime(this.#current.certPem, Math.random()) : 0;
      while (!signal.aborted && clock.now() < due) await clock.sleep(Math.min(due - clock.now(), LOOK_MS), signal);
      if (signal.aborted) return;
      try {
        await this.renew(client, signal);
        log.info({ signer: request.signerName }, "certificate renewed");
      } catch (error) {
        if (signal.aborted) return;
        this.#failures++;
        log.warn({ err: error, signer: request.signerName }, "renewing a certificate failed");
        await this.#complain(onOverdue, error as Error);
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }

  async #complain(onOverdue: ((overdue: Overdue) => void | Promise<void>) | undefined, error: Error): Promise<void> {
    if (!this.#current || !onOverdue) return;
    const expiresAt = expiryOf(this.#current);
    const life = expiresAt - new X509Certificate(this.#current.certPem).validFromDate.getTime();
    if (this.options.clock.now() > expiresAt - life * OVERDUE) await onOverdue({ expiresAt, error });
  }
}

/** A certificate that should have been renewed long ago. */
export interface Overdue {
  readonly expiresAt: number;
  readonly error: Error;
}

function endOf(pair: ClientCertificate): number | undefined {
  try {
    return expiryOf(pair);
  } catch {
    return undefined;
  }
}

/** Where a node keeps its credentials. */
export const identityPaths = (dataDir: string): { ca: string; client: string; serving: string } => ({
  ca: join(dataDir, "pki", "ca.crt"),
  client: join(dataDir, "pki", "kubelet-client-current.pem"),
  serving: join(dataDir, "pki", "kubelet-server-current.pem"),
});
