// Client certificates: the common name is the user, organizations are the groups.
// TLS proved that the peer holds the key; whether our authority signed the certificate for a client is checked here.
import { createHash, X509Certificate, type KeyObject } from "node:crypto";
import { unauthorized } from "../../../api/errors.ts";
import type { Clock } from "../../../lib/clock.ts";
import type { UserInfo } from "../request.ts";
import type { Authenticator, Credentials } from "./auth.ts";
import { BoundedMap } from "./bounded.ts";
import { ClientCertificateExpirations } from "./expirations.ts";
import { authenticated, EXTRA } from "./user.ts";

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const ANY_USAGE = "2.5.29.37.0";
const MAX_REMEMBERED = 4_096;

interface Verified {
  readonly user: UserInfo;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface CertificateOptions {
  /** PEM of the authorities that may sign client certificates; more than one while one replaces another. */
  readonly authorities: readonly string[];
  readonly clock: Clock;
}

/** Knows users by their client certificate. */
export class CertificateAuthenticator implements Authenticator {
  readonly expirations = new ClientCertificateExpirations();
  readonly #authorities: readonly { certificate: X509Certificate; key: KeyObject }[];
  /** A connection presents the same bytes again and again. */
  readonly #byBytes = new WeakMap<Uint8Array, Verified>();
  readonly #byFingerprint = new BoundedMap<string, Verified>(MAX_REMEMBERED);

  constructor(private readonly options: CertificateOptions) {
    this.#authorities = options.authorities.map((pem) => new X509Certificate(pem)).map((certificate) => ({ certificate, key: certificate.publicKey }));
  }

  authenticate({ peerCertificate }: Credentials): UserInfo | undefined {
    if (!peerCertificate) return undefined;
    const verified = this.#byBytes.get(peerCertificate) ?? this.#recall(peerCertificate);
    const now = this.options.clock.now();
    if (now < verified.notBefore || now > verified.notAfter) throw unauthorized();
    this.expirations.observe((verified.notAfter - now) / 1000);
    return verified.user;
  }

  #recall(der: Uint8Array): Verified {
    const fingerprint = createHash("sha256").update(der).digest("hex");
    let verified = this.#byFingerprint.get(fingerprint);
    if (!verified) {
      verified = this.#verify(der, fingerprint);
      this.#byFingerprint.set(fingerprint, verified);
    }
    this.#byBytes.set(der, verified);
    return verified;
  }

  #verify(der: Uint8Array, fingerprint: string): Verified {
    const certificate = parse(der);
    const authority = this.#authorities.find((a) => certificate.checkIssued(a.certificate) && certificate.verify(a.key));
    const usages = certificate.keyUsage ?? [];
    const isForClients = usages.length === 0 || usages.includes(CLIENT_AUTH) || usages.includes(ANY_USAGE);
    const user = userOf(certificate, fingerprint);
    if (!authority || !isForClients || !user) throw unauthorized();
    return {
      user,
      notBefore: Math.max(Date.parse(certificate.validFrom), Date.parse(authority.certificate.validFrom)),
      notAfter: Math.min(Date.parse(certificate.validTo), Date.parse(authority.certificate.validTo)),
    };
  }
}

function parse(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch {
    throw unauthorized();
  }
}

/** The last common name counts, as in Go; without one there is no user. */
function userOf(certificate: X509Certificate, fingerprint: string): UserInfo | undefined {
  const subject = certificate.toLegacyObject().subject as unknown as Readonly<Record<string, string | string[] | undefined>>;
  const name = valuesOf(subject["CN"]).at(-1);
  if (!name) return undefined;
  return authenticated({ name, groups: valuesOf(subject["O"]), extra: { [EXTRA.credentialId]: [`X509SHA256=${fingerprint}`] } });
}

function valuesOf(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}
