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
/** Node's timers overflow beyond this. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

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

  /** Loads what is on disk; true when it is good. */
  async load(): Promise<boolean> {
    const stored = await loadCertificate(this.options.path);
    if (!isValid(stored, this.options.clock.now())) return false;
    this.#current = stored;
    return true;
  }

  /** Asks for a new certificate now and keeps it. */
  async renew(client: Client, signal: AbortSignal): Promise<void> {
    const { request, clock, path } = this.options;
    const fresh = await requestCertificate({ client, clock }, request, signal);
    await saveCertificate(path, fresh);
    this.#current = fresh;
    for (const listener of this.#listeners) listener();
  }

  /** Keeps it fresh until the signal aborts. */
  async keepFresh(client: Client, signal: AbortSignal): Promise<void> {
    const { clock, request } = this.options;
    while (!signal.aborted) {
      const due = this.#current ? renewalTime(this.#current.certPem, Math.random()) : 0;
      while (!signal.aborted && clock.now() < due) await clock.sleep(Math.min(due - clock.now(), MAX_SLEEP_MS), signal);
      if (signal.aborted) return;
      try {
        await this.renew(client, signal);
        log.info({ signer: request.signerName }, "certificate renewed");
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, signer: request.signerName }, "renewing a certificate failed");
        await clock.sleep(RETRY_MS, signal);
      }
    }
  }
}

/** Where a node keeps its credentials. */
export const identityPaths = (dataDir: string): { ca: string; client: string; serving: string } => ({
  ca: join(dataDir, "pki", "ca.crt"),
  client: join(dataDir, "pki", "kubelet-client-current.pem"),
  serving: join(dataDir, "pki", "kubelet-server-current.pem"),
});
