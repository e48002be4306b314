// The certificates of one control plane: the cluster's authority, what is signed with it, and when each is replaced.
// Everything lies under `<data-dir>/pki`; deleting a leaf makes a new one at the next start.
import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../lib/files.ts";
import { fingerprint } from "../../lib/fingerprint.ts";
import { createAuthority, DAY_MS, isDueForRenewal, issue, type KeyPair, type LeafOptions } from "./certificates.ts";
import { loadKeyPair, loadOrCreate, saveKeyPair } from "./files.ts";

const YEAR_MS = 365 * DAY_MS;
const AUTHORITY_LIFETIME_MS = 10 * YEAR_MS;
const SERVICE_ACCOUNT_KEY = "sa.key";
const RENEWAL_CHECK_MS = 3_600_000;

export interface PkiOptions {
  readonly directory: string;
  /** What the API server is reached under; a change of either issues a new serving certificate, nothing else breaks. */
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  readonly now?: () => number;
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

  /** Issues every leaf that is missing, due, or names other addresses than wanted now. */
  async renew(): Promise<void> {
    await Promise.all((Object.keys(LEAVES) as LeafName[]).map((name) => this.#renewOne(name)));
  }

  /** Checks hourly until the signal aborts. */
  renewWhile(signal: AbortSignal, onError: (error: unknown) => void): void {
    const timer = setInterval(() => void this.renew().catch(onError), RENEWAL_CHECK_MS);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  }

  async #renewOne(name: LeafName): Promise<void> {
    const { directory, now = Date.now } = this.#options;
    const wanted = { ...LEAVES[name](this.#options), lifetimeMs: YEAR_MS, now: now() };
    const signer = name === "front-proxy-client" ? this.roots.frontProxyAuthority : this.roots.authority;
    const description = JSON.stringify([fingerprint(signer.certPem), wanted.commonName, wanted.organizations, wanted.dnsNames, wanted.ipAddresses]);
    const descriptionPath = join(directory, `${name}.names`);
    const existing = loadKeyPair(directory, name);
    const isCurrent = existing && existsSync(descriptionPath) && readFileSync(descriptionPath, "utf8") === description && !isDueForRenewal(existing.certPem, now());
    if (isCurrent) {
      this.#leaves.set(name, existing);
      return;
    }
    const pair = await issue(signer, wanted);
    saveKeyPair(directory, name, pair);
    writeFileAtomic(descriptionPath, description, 0o644);
    const isReplacement = this.#leaves.has(name);
    this.#leaves.set(name, pair);
    if (isReplacement) for (const listener of this.#listeners) listener(name, pair);
  }
}

/** Loads or creates everything a control plane needs to prove who it is. */
export async function openPki(options: PkiOptions): Promise<Pki> {
  const { directory, now = Date.now } = options;
  const [authority, frontProxyAuthority] = await Promise.all([
    loadOrCreate(directory, "ca", () => createAuthority("minik8s-ca", AUTHORITY_LIFETIME_MS, now())),
    loadOrCreate(directory, "front-proxy-ca", () => createAuthority("minik8s-front-proxy-ca", AUTHORITY_LIFETIME_MS, now())),
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

const LEAVES: Readonly<Record<LeafName, (options: PkiOptions) => LeafWish>> = {
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
