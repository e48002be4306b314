// Issuing X.509 certificates: authorities, leaf certificates, and signing what others request.
// Keys are ECDSA P-256; what a certificate is for is the caller's decision, never guessed here.
// The certificate library needs its metadata store before it is loaded.
// oxlint-disable-next-line no-unassigned-import
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { X509Certificate } from "node:crypto";

/** PEM texts of a certificate and its private key (PKCS#8). */
export interface KeyPair {
  readonly certPem: string;
  readonly keyPem: string;
}

export type Usage = "client auth" | "server auth";

/** Who a certificate names and for how long it is good. */
export interface LeafOptions {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  readonly usages: readonly Usage[];
  readonly lifetimeMs: number;
  readonly now?: number;
}

export const DAY_MS = 86_400_000;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const USAGE_OIDS: Readonly<Record<Usage, string>> = { "client auth": x509.ExtendedKeyUsage.clientAuth, "server auth": x509.ExtendedKeyUsage.serverAuth };
/** Clocks of joining machines may lag; upstream backdates by the same five minutes. */
const BACKDATE_MS = 5 * 60_000;

/** A new self-signed authority. */
export async function createAuthority(commonName: string, lifetimeMs: number, now = Date.now()): Promise<KeyPair> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: [{ CN: [commonName] }],
    notBefore: new Date(now - BACKDATE_MS),
    notAfter: new Date(now + lifetimeMs),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certPem: pem(certificate), keyPem: await exportKey(keys.privateKey) };
}

/** A new key and a certificate for it, signed by `authority`. */
export async function issue(authority: KeyPair, options: LeafOptions): Promise<KeyPair> {
  const keys = await generateKeys();
  const certPem = await sign(authority, { ...options, subject: subjectOf(options), publicKey: keys.publicKey });
  return { certPem, keyPem: await exportKey(keys.privateKey) };
}

/** What a certificate signing request asks for. */
export interface RequestedNames {
  readonly commonName: string;
  readonly organizations: string[];
  readonly dnsNames: string[];
  readonly ipAddresses: string[];
  readonly emails: string[];
  readonly uris: string[];
}

/** Reads a request; throws when the text is no request or its signature is wrong. */
export async function readRequest(csrPem: string): Promise<RequestedNames> {
  const request = new x509.Pkcs10CertificateRequest(csrPem);
  if (!(await request.verify())) throw new Error("the certificate request is not signed by the key it names");
  const extension = request.getExtension("2.5.29.17");
  const names = extension ? new x509.SubjectAlternativeNameExtension(extension.rawData).names.items : [];
  const ofType = (type: string): string[] => names.filter((name) => name.type === type).map((name) => name.value);
  return {
    commonName: request.subjectName.getField("CN")[0] ?? "",
    organizations: request.subjectName.getField("O"),
    dnsNames: ofType("dns"), ipAddresses: ofType("ip"), emails: ofType("email"), uris: ofType("url"),
  };
}

/** Signs a request: its subject and names are kept, usages and lifetime are the signer's. */
export async function signRequest(authority: KeyPair, csrPem: string, options: { usages: readonly Usage[]; lifetimeMs: number; now?: number }): Promise<string> {
  const wanted = await readRequest(csrPem);
  const request = new x509.Pkcs10CertificateRequest(csrPem);
  return sign(authority, { ...wanted, ...options, subject: subjectOf(wanted), publicKey: await request.publicKey.export() });
}

/** Validity bounds in milliseconds since the epoch. */
export function validity(certPem: string): { notBefore: number; notAfter: number } {
  const certificate = new X509Certificate(certPem);
  return { notBefore: Date.parse(certificate.validFrom), notAfter: Date.parse(certificate.validTo) };
}

/** True once four fifths of a certificate's life are over: time to issue the next one. */
export function isDueForRenewal(certPem: string, now: number): boolean {
  const { notBefore, notAfter } = validity(certPem);
  return now >= notBefore + (notAfter - notBefore) * 0.8;
}

interface SignOptions extends Pick<LeafOptions, "dnsNames" | "ipAddresses" | "usages" | "lifetimeMs" | "now"> {
  readonly subject: x509.JsonName;
  readonly publicKey: CryptoKey;
}

async function sign(authority: KeyPair, options: SignOptions): Promise<string> {
  const issuer = new x509.X509Certificate(authority.certPem);
  const now = options.now ?? Date.now();
  const names = [...(options.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })), ...(options.ipAddresses ?? []).map((value) => ({ type: "ip" as const, value }))];
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: options.subject,
    issuer: issuer.subject,
    notBefore: new Date(now - BACKDATE_MS),
    // A leaf never outlives the authority that vouches for it.
    notAfter: new Date(Math.min(now + options.lifetimeMs, issuer.notAfter.getTime())),
    publicKey: options.publicKey,
    signingKey: await importKey(authority.keyPem),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension(options.usages.map((usage) => USAGE_OIDS[usage])),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return pem(certificate);
}

function subjectOf({ commonName, organizations }: { commonName: string; organizations?: readonly string[] }): x509.JsonName {
  return [...(organizations ?? []).map((name) => ({ O: [name] })), { CN: [commonName] }];
}

async function generateKeys(): Promise<CryptoKeyPair> {
  return (await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as CryptoKeyPair;
}

async function exportKey(key: CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY")}\n`;
}

async function importKey(keyPem: string): Promise<CryptoKey> {
  return crypto.subtle.importKey("pkcs8", x509.PemConverter.decodeFirst(keyPem), ALGORITHM, false, ["sign"]);
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

/** 63 random bits: positive, and never zero for practical purposes. */
function serial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  bytes[0] = (bytes[0] as number) & 0x7f;
  return Buffer.from(bytes).toString("hex");
}
