// Certificates that come to their end: as numbers for those who watch, and as a word of warning well before.
import type { Expiration } from "./pki.ts";
import { DAY_MS } from "./certificates.ts";

/** Renewal begins a fifth of a year before the end; who is this near has failed at it for weeks. */
const LEAF_WARNING_MS = 30 * DAY_MS;
/** Nobody renews an authority but people, who need time. */
const AUTHORITY_WARNING_MS = 365 * DAY_MS;

/** Ends as seconds since the epoch, in Prometheus' text form. */
export function expirationFigures(expirations: readonly Expiration[]): string {
  return [
    "# HELP minik8s_certificate_expiration_timestamp_seconds When a certificate of the control plane ends, in seconds since the epoch.",
    "# TYPE minik8s_certificate_expiration_timestamp_seconds gauge",
    ...expirations.map(({ name, notAfter }) => `minik8s_certificate_expiration_timestamp_seconds{name="${name}"} ${Math.floor(notAfter / 1000)}`),
  ].join("\n");
}

/** One sentence for each certificate that ends soon although it should have been renewed. */
export function expirationWarnings(expirations: readonly Expiration[], now: number): string[] {
  return expirations.flatMap(({ name, notAfter }) => {
    const isAuthority = name.endsWith("ca");
    if (notAfter - now > (isAuthority ? AUTHORITY_WARNING_MS : LEAF_WARNING_MS)) return [];
    const end = `${notAfter < now ? "ended" : "ends"} on ${new Date(notAfter).toISOString().slice(0, 10)}`;
    return [isAuthority ? `the certificate authority ${name} ${end}: plan a new cluster, or a new authority, before that` : `the certificate ${name} ${end} and could not be renewed; the control plane's log says why`];
  });
}
