// The control plane's certificates while it runs: renewed, put to use without a restart, counted, and complained about before they end.
import type { BackgroundEventRecorder } from "../api/client/recorder.ts";
import { builtinKind } from "../api/registry.ts";
import type { Namespace } from "../api/types.ts";
import type { Client } from "../api/client/client.ts";
import { expirationFigures, expirationWarnings } from "../control/pki/expiry.ts";
import type { LeafName, Pki } from "../control/pki/pki.ts";
import type { KeyPair } from "../control/pki/certificates.ts";
import type { Clock } from "../lib/clock.ts";
import { logger } from "../lib/log.ts";

const log = logger("certificates");
const NAMESPACE = builtinKind("", "v1", "Namespace");
const WARN_EVERY_MS = 3_600_000;

export interface CertificateDeps {
  readonly pki: Pki;
  readonly client: Client;
  readonly recorder: BackgroundEventRecorder;
  readonly figures: Set<() => string>;
  readonly clock: Clock;
  /** Puts a renewed certificate to use. */
  readonly use: (name: LeafName, pair: KeyPair) => void;
}

/** Goes on until the signal aborts. */
export async function keepCertificates({ pki, client, recorder, figures, clock, use }: CertificateDeps, signal: AbortSignal): Promise<void> {
  figures.add(() => expirationFigures(pki.expirations()));
  pki.onRenewed((name, pair) => {
    log.info({ name }, "certificate renewed");
    use(name, pair);
  });
  const warning = (async () => {
    for (; !signal.aborted; await clock.sleep(WARN_EVERY_MS, signal)) await warn({ pki, client, recorder, clock }).catch((error: unknown) => log.warn({ err: error }, "could not tell of certificates that end soon"));
  })();
  await Promise.all([warning, pki.keepFresh(signal, (error) => log.error({ err: error }, "certificates could not be renewed; tried again in a minute"))]);
}

async function warn({ pki, client, recorder, clock }: Pick<CertificateDeps, "pki" | "client" | "recorder" | "clock">): Promise<void> {
  const warnings = expirationWarnings(pki.expirations(), clock.now());
  if (warnings.length === 0) return;
  const about = await client.get<Namespace>(NAMESPACE, { name: "kube-system" });
  for (const text of warnings) {
    log.warn(text);
    recorder.event(about, "Warning", "CertificateExpiring", text);
  }
}
