// The certificates of one control plane: the cluster's authority, what is signed with it, and when each is replaced.
// Everything lies under `<data-dir>/pki`; deleting a leaf makes a new one at the next start.
import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/files.ts";
import { fingerprint } from "../../lib/fingerprint.ts";
import { systemClock, type Clock } from "../../lib/clock.ts";
import { createAuthority, DAY_MS, isDueForRenewal, issue, validity, type KeyPair, type LeafOptions } from "./certificates.ts";
import { loadKeyPair, loadOrCreate, saveKeyPair } from "./files.ts";

const YEAR_MS = 365 * DAY_MS;
const AUTHORITY_LIFETIME_MS = 10 * YEAR_MS;
const SERVICE_ACCOUNT_KEY = "sa.key";
/** Addresses change without notice; comparing them costs nothing. */
const CHECK_EVERY_MS = 60_000;

/** What an API server is reached under. */
export interface ServingNames {
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

export interface PkiOptions {
  readonly directory: string;
  /** Asked at every check; another answer issues a new serving certificate, nothing else breaks. */
  readonly names: () => ServingNames;
  readonly clock?: Clock;
}

/** How long something of the control plane's is good for. */
export interface Expiration {
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

/** The leaf certificates a control plane holds. */
export type LeafName = "apiserver" | "admin" | "kubelet-client" | "front-proxy-client";

/** What a `Pki` is made of, beside its leaves. */
export interface Roots {
  readonly authority: KeyPair;
  readonly frontProxyAuthority: KeyPair;
  /** PEM of the ECDSA key service-account tokens are signed with. */
  readonly serviceAccountKeyPem: string;
}

/** Opened by `openPki`; holds every leaf and renews them. */
export class Pki {
  readonly #options: PkiOptions;
  readonly #leaves = new Map<LeafName, KeyPair>();
  readonly #descriptions = new Map<LeafName, string>();
  readonly #listeners: ((name: LeafName, pair: KeyPair) => void)[] = [];

  constructor(options: PkiOptions, readonly roots: Roots) {
    this.#options = options;
  }

  /** Hex SHA-256 of the authority's certificate, the part of a join token that makes joining safe. */
  get authorityFingerprint(): string {
    return fingerprint(this.roots.authority.certPem);
  }

  leaf(name: LeafName): KeyPair {
    return this.#leaves.get(name) as KeyPair;
  }

  /** Hears of every leaf that is replaced while running. */
  onRenewed(listener: (name: LeafName, pair: KeyPair) => void): void {
    this.#listeners.push(listener);
  }

  /** When each authority and each leaf ends. */
  expirations(): Expiration[] {
    const { authority, frontProxyAuthority } = this.roots;
    const all: (readonly [string, KeyPair])[] = [["ca", authority], ["front-proxy-ca", frontProxyAuthority], ...this.#leaves];
    return all.map(([name, { certPem }]) => ({ name, notAfter: validity(certPem).notAfter }));
  }

  /** Issues every leaf that is missing, due, or names other addresses than wanted now. */
  async renew(): Promise<void> {
    const names = this.#options.names();
    await Promise.all((Object.keys(LEAVES) as LeafName[]).map((name) => this.#renewOne(name, names)));
  }

  /** Checks every minute until the signal aborts; what fails is told and tried again a minute later. */
  async keepFresh(signal: AbortSignal, onError: (error: unknown) => void): Promise<void> {
    const { clock = systemClock } = this.#options;
    for (await clock.sleep(CHECK_EVERY_MS, signal); !signal.aborted; await clock.sleep(CHECK_EVERY_MS, signal)) await this.renew().catch(onError);
  }

  async #renewOne(name: LeafName, names: ServingNames): Promise<void> {
    const { directory, clock = systemClock } = this.#options;
    const now = clock.now();
    const wanted = { ...LEAVES[name](names), lifetimeMs: YEAR_MS, now };
    const signer = name === "front-proxy-client" ? this.roots.frontProxyAuthority : this.roots.authority;
    const description = JSON.stringify([fingerprint(signer.certPem), wanted.commonName, wanted.organizations, wanted.dnsNames, wanted.ipAddresses]);
    const held = this.#leaves.get(name);
    if (held && this.#descriptions.get(name) === description && !isDueForRenewal(held.certPem, now)) return;
    const pair = (held ? undefined : keptLeaf(directory, { name, description, now })) ?? (await this.#issue(signer, { name, wanted, description }));
    this.#descriptions.set(name, description);
    this.#leaves.set(name, pair);
    if (held) for (const listener of this.#listeners) listener(name, pair);
  }

  async #issue(signer: KeyPair, { name, wanted, description }: { name: LeafName; wanted: LeafOptions; description: string }): Promise<KeyPair> {
    const { directory } = this.#options;
    const pair = await issue(signer, wanted);
    saveKeyPair(directory, name, pair);
    writeFileAtomic(descriptionPath(directory, name), description, 0o644);
    return pair;
  }
}

function descriptionPath(directory: string, name: LeafName): string {
  return join(directory, `${name}.names`);
}

/** The leaf on disk, as long as it says what is wanted and is not due. */
function keptLeaf(directory: string, { name, description, now }: { name: LeafName; description: string; now: number }): KeyPair | undefined {
  const kept = loadKeyPair(directory, name);
  const path = descriptionPath(directory, name);
  return kept && existsSync(path) && readFileSync(path, "utf8") === description && !isDueForRenewal(kept.certPem, now) ? kept : undefined;
}

/** Loads or creates everything a control plane needs to prove who it is. */
export async function openPki(options: PkiOptions): Promise<Pki> {
  const { directory, clock = systemClock } = options;
  const now = clock.now();
  const [authority, frontProxyAuthority] = await Promise.all([
    loadOrCreate(directory, "ca", () => createAuthority("minik8s-ca", AUTHORITY_LIFETIME_MS, now)),
    loadOrCreate(directory, "front-proxy-ca", () => createAuthority("minik8s-front-proxy-ca", AUTHORITY_LIFETIME_MS, now)),
  ]);
  const pki = new Pki(options, { authority, frontProxyAuthority, serviceAccountKeyPem: loadServiceAccountKey(directory) });
  await pki.renew();
  return pki;
}

/** The roots under a directory where `openPki` has been; throws when a file is missing. */
export function readRoots(directory: string): Roots {
  const pair = (name: string): KeyPair => {
    const found = loadKeyPair(directory, name);
    if (!found) throw new Error(`${directory} holds no ${name}.crt and ${name}.key: this is to be run where a control plane keeps its data, as root`);
    return found;
  };
  return { authority: pair("ca"), frontProxyAuthority: pair("front-proxy-ca"), serviceAccountKeyPem: readFileSync(join(directory, SERVICE_ACCOUNT_KEY), "utf8") };
}

/** Puts another control plane's roots where `openPki` will find them. */
export function saveRoots(directory: string, { authority, frontProxyAuthority, serviceAccountKeyPem }: Roots): void {
  saveKeyPair(directory, "front-proxy-ca", frontProxyAuthority);
  writeFileAtomic(join(directory, SERVICE_ACCOUNT_KEY), serviceAccountKeyPem, 0o600);
  saveKeyPair(directory, "ca", authority);
}

type LeafWish = Omit<LeafOptions, "lifetimeMs" | "now">;

const LEAVES: Readonly<Record<LeafName, (names: ServingNames) => LeafWish>> = {
  apiserver: ({ dnsNames, ipAddresses }) => ({ commonName: "kube-apiserver", dnsNames, ipAddresses, usages: ["server auth"] }),
  admin: () => ({ commonName: "kubernetes-admin", organizations: ["system:masters"], usages: ["client auth"] }),
  "kubelet-client": () => ({ commonName: "kube-apiserver-kubelet-client", organizations: ["system:masters"], usages: ["client auth"] }),
  "front-proxy-client": () => ({ commonName: "front-proxy-client", usages: ["client auth"] }),
};

function loadServiceAccountKey(directory: string): string {
  const path = join(directory, SERVICE_ACCOUNT_KEY);
  if (existsSync(path)) return readFileSync(path, "utf8");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keyPem = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  writeFileAtomic(path, keyPem, 0o600);
  return keyPem;
}
