// How a certificate is named where it is pinned: in join tokens, and wherever an authority has to be known by its face.
import { createHash, X509Certificate } from "node:crypto";

/** Hex SHA-256 of a PEM certificate's DER: what a join token pins. Throws for what is no certificate. */
export function fingerprint(certPem: string): string {
  return createHash("sha256").update(new X509Certificate(certPem).raw).digest("hex");
}
